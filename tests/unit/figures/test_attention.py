"""The figure of attention: what is drawn is what was measured, and a folder that is missing is named."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from workflow_scripts.analysis.attention import measure
from workflow_scripts.analysis.boxes import Asked
from workflow_scripts.analysis.concentration import concentration
from workflow_scripts.figures import attention
from workflow_scripts.settings import AttentionSettings, InputError, ModelSettings
from workflow_scripts.vlm.observe import Seen

GRID = np.array([[x, y, x + 16, y + 16] for y in (0, 16) for x in (0, 16)], dtype=float)
MODELS = {"qwen2.5-vl-3b": 3.0, "qwen2.5-vl-7b": 7.0}


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Looks of two models, before and after, at twelve pictures."""
    draw = np.random.default_rng(0)
    asked = [
        Asked(f"q{k}", Image.new("RGB", (32, 32), (k, 90, 90)), "What is it?", "red", (0.0, 0.0, 16.0, 20.0))
        for k in range(12)
    ]
    found = []
    for place in [f"base/{m}" for m in MODELS] + [f"tuned/full/{m}/uniform-16/seed-1" for m in MODELS]:
        found.append(tmp_path / "looks" / place)
        measure(asked, lambda *_: Seen(draw.dirichlet([4, 1, 1, 1], size=3) / 2, GRID), AttentionSettings(), found[-1])
    return found


def run(folders: list[Path], table: Path, stem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"figure": "attention", "recipe": "full", "models": list(MODELS), "allocations": ["uniform-16"]}
    flags = ["--table", str(table), "--pictures", *map(str, folders), "--dpi", "40", "--output-stem", str(stem)]
    monkeypatch.setattr(sys, "argv", ["attention", *flags, "--settings", json.dumps(settings | {"seeds": [1]})])
    importlib.import_module("workflow_scripts.figures.attention").main()


@pytest.fixture
def table(folders: list[Path], tmp_path: Path) -> Path:
    models = [ModelSettings(name=name, family="qwen2.5-vl", source="x", size_b=size) for name, size in MODELS.items()]
    concentration(folders, models, 200, 0).to_csv(tmp_path / "concentration.csv", index=False)
    return tmp_path / "concentration.csv"


def test_all_files_and_equal_bytes(folders, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for turn in ("one", "two"):
        run(folders, table, tmp_path / turn / "attention", monkeypatch)
        files = sorted((tmp_path / turn).iterdir())
        assert [file.suffix for file in files] == [".csv", ".pdf", ".png", ".svg"]
        found.append([file.read_bytes() for file in files])
    assert found[0] == found[1]
    assert len(pd.read_csv(tmp_path / "one" / "attention.csv")) == len(pd.read_csv(table))


def test_levels_and_changes_drawn_are_those_of_the_table(folders, table: Path) -> None:
    read = attention.read_concentration(table)
    pictures = {
        (model, state): attention.read_pictures(folder)
        for folder in folders
        for model in MODELS
        for state, kind in (("base", "/base/"), ("tuned", "/tuned/"))
        if kind in folder.as_posix() and model in folder.as_posix()
    }
    figure = attention.draw(read, pictures)
    axes = {one.get_ylabel().split("\n")[0]: one for one in figure.axes}
    levels = read[(read["effect"] == "level") & (read["layer"] == -1)].sort_values("size_b")
    lines = [line for line in axes["attention in the box"].lines if line.get_marker() in ("o", "s")]
    for line, state in zip(lines, ("base", "tuned"), strict=True):
        assert line.get_ydata().tolist() == pytest.approx(levels.loc[levels["state"] == state, "value"].tolist())
    marks = [line for line in figure.axes[-1].lines if line.get_marker() in ("s", "D")]
    rest = read[read["effect"] != "level"]
    assert sorted(float(line.get_xdata()[0]) for line in marks) == pytest.approx(sorted(rest["value"]))
    heats = [image for one in figure.axes for image in one.images if image.get_alpha() == 0.7]
    assert len(heats) == 2 * 2 * 2, "two questions, two models, before and after"
    np.testing.assert_allclose(heats[0].get_array(), pictures["qwen2.5-vl-3b", "base"][0]["attention"])


def test_a_model_without_pictures_is_named(folders, table: Path, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(InputError, match=r"none of qwen2.5-vl-7b, tuned"):
        run(folders[:-1], table, tmp_path / "attention", monkeypatch)
