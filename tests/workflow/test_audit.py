"""The audit as a user calls it, in a clone where the smoke study is done: what it finds, and what it repairs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository import copy_to as clone
from workflow_scripts.provenance.findings import Kind
from workflow_scripts.provenance.records import read_records

from .stand_ins import STUDY, done

pytestmark = [pytest.mark.xdist_group("reruns"), pytest.mark.slow]

FIGURE = f"{STUDY}/figures/overview.png"
RECORD = f"{STUDY}/provenance/study.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which the smoke study is done, with records; its files are stood in for, so no process left a note."""
    return done(clone(tmp_path_factory.mktemp("made")))


@pytest.fixture
def study(made: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    shutil.copytree(made, tmp_path / "clone")
    return tmp_path / "clone"


def audit(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workflow_scripts.provenance.audit", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def flip(path: Path) -> None:
    """Flip a bit and leave size and times as they were."""
    times, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_figure_leads_to_videos_annotations_and_base_weights(made: Path) -> None:
    found = audit(made, FIGURE)
    assert found.returncode == Kind.MISSING, found.stdout + found.stderr
    jobs = ("overview", "figure_scores figure=overview", "train ", "world", "manifest")
    assert all(re.search(rf"── {job}|^{job}", found.stdout, re.MULTILINE) for job in jobs)
    for source in ("videos the sample", "annotations drawn", "weights qwen2.5-vl-7b: resources/miniature"):
        assert f"── {source}" in found.stdout
    assert "edited" not in found.stdout
    assert "stale" not in found.stdout


def test_a_changed_setting_makes_a_figure_stale_and_names_the_value(study: Path) -> None:
    preset = study / "presets" / "smoke.yaml"
    preset.write_text(preset.read_text() + "\nfigures: {dpi: 77}\n")
    found = audit(study, FIGURE)
    assert found.returncode == Kind.MISSING | Kind.STALE, found.stdout + found.stderr
    assert re.search(r"setting \d+ -> 77", found.stdout)


def test_changed_code_makes_stale_what_ran_it(study: Path) -> None:
    path = study / "workflow_scripts" / "figures" / "style.py"
    path.write_text(path.read_text() + "\nX = 1\n")
    stale = audit(study, FIGURE)
    assert stale.returncode == Kind.MISSING | Kind.STALE
    assert (
        f"stale: {STUDY}/figures/overview.pdf: code has changed since: workflow_scripts.figures.style" in stale.stdout
    )
    assert audit(study, f"{STUDY}/analysis/overview/scores.csv").returncode == Kind.MISSING


def test_one_command_makes_a_flipped_bit_right_by_the_job_that_wrote_the_file(study: Path) -> None:
    before = (study / RECORD).read_bytes()
    flip(study / RECORD)
    found = audit(study, RECORD)
    assert found.returncode == Kind.MISSING | Kind.EDITED, found.stdout + found.stderr
    assert f"{RECORD} is not as it was" in found.stdout
    command = re.search(r"^To make it right: python -m workflow_scripts.provenance.audit (.*)$", found.stdout, re.M)
    assert command is not None
    repaired = audit(study, *command[1].split())
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert re.findall(r"^Job \d+: (.*)$", repaired.stdout + repaired.stderr, re.M) == [
        "recording settings, versions, commit and machine"
    ]
    record = read_records(study / STUDY).of(RECORD)
    assert record is not None
    assert record.run is not None
    assert record.run.packages["pydantic"] == record.code.packages["pydantic"]  # type: ignore[union-attr]
    assert (study / RECORD).read_bytes() != before
    assert not Kind(audit(study, RECORD).returncode) & Kind.EDITED


def test_what_no_job_made_is_not_repaired(study: Path) -> None:
    flip(study / "resources/miniature/qwen2.5-vl-7b/model.safetensors")
    found = audit(study, FIGURE)
    assert Kind(found.returncode) & Kind.EDITED
    assert "resources/miniature/qwen2.5-vl-7b/model.safetensors is not as it was" in found.stdout
    repaired = audit(study, FIGURE, "--repair")
    assert repaired.returncode == 2
    assert "was made by no job of the study; put back what it was" in repaired.stderr
