"""The figure of abilities from a made-up table."""

import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from workflow_scripts.analysis.abilities import COLUMNS
from workflow_scripts.figures import abilities
from workflow_scripts.settings import InputError

Tables = Callable[..., list[str]]
PLANTED = {
    ("image", "mme", "OCR", "perception"): (-4.0, 0.2),
    ("image", "mme", "code_reasoning", "cognition"): (-30.0, 0.001),
    ("image", "pope", "random", "hallucination"): (-9.0, 0.04),
    ("image", "image", "perception", "perception"): (-4.0, 0.2),
    ("image", "image", "cognition", "cognition"): (-30.0, 0.001),
    ("video", "videomme", "Temporal Reasoning", "cognition"): (2.0, 0.5),
    ("video", "mvbench", "moving_direction", "perception"): (12.0, 0.001),
}


@pytest.fixture
def flags(tables: Tables, tmp_path: Path) -> list[str]:
    """Flags of the tables of one run, and of an abilities.csv with the planted changes, in points of 200."""
    rows = [
        {"recipe": "full", "model": "qwen2.5-vl-7b", "allocation": "uniform-16", "suite": suite, "view": ""}
        | {"eval_frames": 1 if suite == "image" else 64, "benchmark": benchmark, "ability": ability, "area": area}
        | {"metric": "m", "maximum": 200.0, "n_questions": 40, "base": 120.0, "blind": 50.0, "tuned": 120 + 2 * change}
        | {"delta": 2 * change, "ci_low": 2 * change - 10, "ci_high": 2 * change + 10, "p_value": p_value}
        | {"n_seeds": 1, "n_clusters": 40, "se_questions": 5.0, "mdd": 14.0, "seed_1": 2 * change}
        for (suite, benchmark, ability, area), (change, p_value) in PLANTED.items()
    ]
    pd.DataFrame(rows, columns=[*COLUMNS, "seed_1"]).to_csv(tmp_path / "abilities.csv", index=False)
    return [*tables(allocations=("uniform-16",)), "--abilities", str(tmp_path / "abilities.csv")]


def made(flags: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    monkeypatch.setattr(sys, "argv", ["abilities", *flags, "--dpi", "40", "--output-stem", str(folder / "abilities")])
    abilities.main()
    return pd.read_csv(folder / "abilities.csv")


def test_the_strongest_fall_is_on_top_below_the_areas(
    flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = made(flags, tmp_path / "one", monkeypatch)
    assert table["ability"].tolist() == [
        "cognition", "perception", "code_reasoning", "random", "OCR", "Temporal Reasoning", "moving_direction",
    ]  # fmt: skip
    assert table.set_index("ability").loc["random", ["delta", "base", "blind", "mdd"]].tolist() == [-9, 60, 25, 7]
    made(flags, tmp_path / "two", monkeypatch)
    kinds = ("csv", "pdf", "png", "svg")
    one, two = ([(tmp_path / turn / f"abilities.{kind}").read_bytes() for kind in kinds] for turn in ("one", "two"))
    assert one == two


def test_marks_are_filled_where_holm_lets_them(
    flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.04 of three is not significant after correction; the numbers beside are n, base and blind in percent."""
    kept: list[object] = []
    monkeypatch.setattr(abilities, "save_figure", lambda figure, *_: kept.append(figure))
    monkeypatch.setattr(sys, "argv", ["abilities", *flags, "--output-stem", str(tmp_path / "a")])
    abilities.main()
    image = kept[0].axes[0]  # type: ignore[attr-defined]
    marks = {
        round(float(line.get_xdata()[0]), 6): to_hex(line.get_markerfacecolor())
        for line in image.lines
        if line.get_marker() in ("o", "D", "^")
    }
    assert marks[-30.0] != "#ffffff"
    assert marks[-9.0] == marks[-4.0] == "#ffffff"
    texts = [text.get_text() for text in image.texts]
    assert texts[:3] == ["40", "60", "25"]
    assert texts[-3:] == ["n", "base", "blind"]
    assert [label.get_text() for label in image.get_yticklabels()] == [
        "cognition (mean)", "perception (mean)", "code reasoning, MME", "random, POPE", "OCR, MME",
    ]  # fmt: skip


def test_labels_are_words() -> None:
    assert abilities.label("mmbench", "finegrained_perception (instance-level)") == "instance-level, MMBench"
    assert abilities.label("videomme", "OCR Problems") == "OCR problems, Video-MME"


def test_one_model_and_one_allocation(
    tables: Tables, flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = [*tables(), *flags[4:]]
    with pytest.raises(InputError, match="one allocation"):
        made(several, tmp_path / "out", monkeypatch)
