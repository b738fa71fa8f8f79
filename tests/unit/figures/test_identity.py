"""Figures carry what they were made of, in every format, and carry the same for the same making."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from PIL import Image

from workflow_scripts.figures import identity as module
from workflow_scripts.figures.identity import identity
from workflow_scripts.figures.save import save_figure
from workflow_scripts.figures.style import RC
from workflow_scripts.notes import job
from workflow_scripts.provenance.loose import carried


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """A process that looks like a figure's command; gives the stem it writes to."""
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", SimpleNamespace(name="workflow_scripts.figures.frames"))
    (tmp_path / "scores.csv").write_text("scores")

    def call(*flags: str, study: str = "tiny") -> Path:
        module._digest.cache_clear()
        module._commit.cache_clear()
        monkeypatch.setattr(sys, "argv", ["frames.py", "--scores", str(tmp_path / "scores.csv"), *flags])
        return tmp_path / "results" / study / "figures" / "frames"

    return call


def draw(stem: Path) -> None:
    with matplotlib.rc_context(RC):
        figure, axes = plt.subplots(figsize=(1, 1))
        axes.plot([1, 2])
        save_figure(figure, pd.DataFrame({"x": [1, 2]}), stem, dpi=30)
        plt.close(figure)


def test_every_format_carries_study_commit_and_digest_and_bytes_repeat(command: Callable[..., Path]) -> None:
    stem = command()
    draw(stem)
    paths = [stem.parent / f"frames.{kind}" for kind in ("png", "pdf", "svg")]
    first = [path.read_bytes() for path in paths]
    found = {carried(path) for path in paths}
    assert len(found) == 1
    [known] = found
    assert known is not None
    head = subprocess.run(["git", "-C", str(job.ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    assert (known.study, known.commit.rstrip("+")) == ("tiny", head.stdout.strip())
    command()
    draw(stem)
    assert [path.read_bytes() for path in paths] == first


def test_other_programs_read_it(command: Callable[..., Path]) -> None:
    stem = command()
    draw(stem)
    with Image.open(stem.parent / "frames.png") as picture:
        assert picture.info["Comment"] == identity(stem)


def test_what_a_figure_is_made_of_decides_its_digest(command: Callable[..., Path], tmp_path: Path) -> None:
    plain = identity(command())
    assert identity(command()) == plain
    assert identity(command("--dpi", "150")) != plain
    assert identity(command('--settings={"figure": "frames"}')) != plain
    (tmp_path / "scores.csv").write_text("other scores")
    assert identity(command()) != plain


def test_figures_elsewhere_and_by_no_command_carry_nothing(
    command: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command()
    assert identity(tmp_path / "frames") is None
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    stem = command()
    assert identity(stem) is None
    draw(stem)
    assert carried(stem.parent / "frames.png") is None
