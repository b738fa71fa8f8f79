"""The paper's claims judged on planted changes."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from workflow_scripts.figures import claims

UNIFORM = ("uniform-8", "uniform-16", "uniform-32", "uniform-64")
HYBRID = "hybrid-qwen3-vl-8b"
Planted = dict[tuple[str, str, str], tuple[float, float]]  # (model, allocation, benchmark): change, half width


def judge(
    tables: Callable[..., list[str]],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    figure: str,
    models: tuple[str, ...],
    allocations: tuple[str, ...],
    planted: Planted,
) -> dict[tuple[str, str], str]:
    """Verdict by (claim, model), of one experiment with these changes; the others are 0, give or take 3."""
    flags = tables(models, allocations)
    deltas = pd.read_csv(flags[3])
    for i, row in deltas.iterrows():
        change, half = planted.get((row["model"], row["allocation"], row["benchmark"]), (0.0, 3.0))
        for column, value in (("delta", change), ("ci_low", change - half), ("ci_high", change + half)):
            deltas.loc[i, column] = value * row["maximum"] / 100
    deltas.to_csv(flags[3], index=False)
    settings = {"figure": figure, "recipe": "full", "models": models, "allocations": allocations, "seeds": [1]}
    experiment = ["--experiment", json.dumps(settings | {"eval_frames": [64]}), flags[1], flags[3]]
    monkeypatch.setattr(sys, "argv", ["claims", *experiment, "--output-stem", str(folder / "claims")])
    claims.main()
    table = pd.read_csv(folder / "claims.csv", keep_default_na=False)
    page = (folder / "claims.html").read_text()
    assert all(verdict in page for verdict in table["verdict"])
    row = table.iloc[0]
    assert f"(detectable {row['mdd']:.1f}; base {row['base']:.1f}, blind {row['blind']:.1f})" in page
    assert {path.name for path in folder.glob("claims.*")} == {
        f"claims.{kind}" for kind in ("csv", "html", "md", "tex")
    }
    return {(row["claim"], row["model"]): row["verdict"] for row in table.to_dict("records")}


def test_gain_and_cost(tables: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = ("qwen2.5-vl-3b", "qwen2.5-vl-7b", "llava-1.5-7b")
    planted: Planted = {
        (models[0], "uniform-16", "video"): (5.0, 2.0),
        (models[0], "uniform-16", "image"): (1.0, 1.5),
        (models[1], "uniform-16", "video"): (-4.0, 2.0),
        (models[1], "uniform-16", "image"): (4.0, 2.0),
        (models[2], "uniform-16", "image"): (-2.0, 3.0),
    }
    found = judge(tables, tmp_path, monkeypatch, "overview", models, ("uniform-16",), planted)
    gain, cost = "Video-SFT improves video", "Video-SFT worsens images, or improves them less than video"
    assert [found[gain, model] for model in models] == ["supported", "contradicted", "not decided"]
    assert [found[cost, model] for model in models] == ["supported", "contradicted", "not decided"]


@pytest.mark.parametrize(
    ("costs", "expected"),
    [((-9.0, -5.0, -1.0), "supported"), ((-9.0, -8.0, -1.0), "not decided"), ((-1.0, -5.0, -9.0), "contradicted")],
)
def test_order_of_architectures(
    tables: Callable[..., list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    costs: tuple[float, ...],
    expected: str,
) -> None:
    models = ("llava-1.5-7b", "llava-next-video-7b", "qwen2.5-vl-7b")
    planted: Planted = {(model, "uniform-16", "image"): (cost, 1.0) for model, cost in zip(models, costs, strict=True)}
    found = judge(tables, tmp_path, monkeypatch, "architectures", models[::-1], ("uniform-16",), planted)
    assert list(found.values()) == [expected]


def test_size(tables: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = ("qwen2.5-vl-3b", "qwen2.5-vl-7b", "qwen2.5-vl-72b")
    planted: Planted = {(models[0], "uniform-16", "image"): (-6.0, 1.0), (models[2], "uniform-16", "image"): (0.0, 1.0)}
    assert list(judge(tables, tmp_path, monkeypatch, "scale", models, ("uniform-16",), planted).values()) == [
        "supported"
    ]


def test_frames(tables: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, planted = "qwen2.5-vl-7b", Planted()
    changes = {
        "video": (1.0, 3.0, 5.0, 6.0),
        "mmstar": (6.0, 5.0, 3.0, 1.0),
        "mme": (-9.0, -9.0, -9.0, -0.5),
        "mmbench": (0.0, 4.0, 1.0, 0.0),
        "pope": (8.0, 4.0, 1.0, 0.0),
    }
    for name, values in changes.items():
        planted |= {(model, a, name): (value, 1.0) for a, value in zip(UNIFORM, values, strict=True)}
    found = judge(tables, tmp_path, monkeypatch, "frames", (model,), UNIFORM, planted)
    assert list(found.values()) == ["supported", "contradicted", "not decided", "supported", "contradicted"]


def test_hybrid(tables: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = "qwen2.5-vl-7b"
    planted: Planted = {
        (model, HYBRID, "mmstar"): (3.0, 1.0),
        (model, "uniform-32", "mmstar"): (-1.0, 1.0),
        (model, "uniform-64", "mmstar"): (-2.0, 1.0),
        (model, HYBRID, "pope"): (-9.0, 1.0),
        (model, HYBRID, "video"): (-0.5, 1.0),
    }
    found = judge(tables, tmp_path, monkeypatch, "hybrid", (model,), (*UNIFORM, HYBRID), planted)
    assert list(found.values()) == ["supported", "contradicted", "not decided"]
