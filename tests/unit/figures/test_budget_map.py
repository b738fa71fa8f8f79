"""The map of training against evaluation frames from made-up tables."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from workflow_scripts.analysis.frame_effects import COLUMNS
from workflow_scripts.figures import budget_map
from workflow_scripts.settings import InputError

Tables = Callable[..., list[str]]
FRAMES = (8, 16, 32, 64)
UNIFORM = ("uniform-8", "uniform-64")


@pytest.fixture
def flags(tables: Tables, tmp_path: Path) -> list[str]:
    """Flags of tables with four numbers of evaluation frames: base 31 + frames, change frames / 8, give or take 3; of
    which only that of 64 frames is significant after correction; and of the effects, 7 and 3 points."""
    flags = tables(allocations=UNIFORM)
    scores, deltas = (pd.read_csv(flags[at]) for at in (1, 3))
    for path, table in ((flags[1], scores), (flags[3], deltas)):
        video = table[table["suite"] == "video"]
        pd.concat([table[table["suite"] == "image"], *(video.assign(eval_frames=n) for n in FRAMES)]).to_csv(
            path, index=False
        )
    deltas = pd.read_csv(flags[3])
    whole = deltas["benchmark"] == "video"
    frames = deltas.loc[whole, "eval_frames"]
    deltas.loc[whole, "base"] = 31 + frames
    for column, value in (("delta", 0), ("ci_low", -3), ("ci_high", 3)):
        deltas.loc[whole, column] = frames / 8 + value
    deltas.loc[whole, "p_value"] = frames.map({8: 0.5, 16: 0.2, 32: 0.02, 64: 0.001})
    deltas.to_csv(flags[3], index=False)
    effect = {"model": "qwen2.5-vl-7b", "fewest": 8, "most": 64, "metric": "normalised_mean", "maximum": 100.0}
    effect |= {"n_questions": 880, "before": 40.0, "after": 47.0, "p_value": 0.001, "n_seeds": 1, "mdd": 4.0}
    held = {"delta": 7.0, "ci_low": 4.0, "ci_high": 10.0}
    rows = [
        effect | held | {"effect": "training", "suite": suite, "benchmark": suite, "eval_frames": n}
        for suite, counts in (("video", FRAMES), ("image", (1,)))
        for n in counts
    ]
    held = {"delta": 3.0, "ci_low": -1.0, "ci_high": 7.0, "p_value": 0.2}
    rows += [
        effect | held | {"effect": "evaluation", "suite": "video", "benchmark": "video", "allocation": name}
        for name in ("base", *UNIFORM)
    ]
    pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(tmp_path / "effects.csv", index=False)
    settings = {"figure": "budget_map", "recipe": "full", "models": ["qwen2.5-vl-7b"], "allocations": UNIFORM}
    settings |= {"seeds": [1], "eval_frames": FRAMES}
    return [*flags, "--effects", str(tmp_path / "effects.csv"), "--settings", json.dumps(settings)]


def run(flags: list[str], stem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["budget_map", *flags, "--dpi", "40", "--output-stem", str(stem)])
    budget_map.main()


def test_all_files_and_equal_bytes(flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for turn in ("one", "two"):
        run(flags, tmp_path / turn / "map", monkeypatch)
        files = sorted((tmp_path / turn).iterdir())
        assert [file.suffix for file in files] == [".csv", ".pdf", ".png", ".svg"]
        found.append([file.read_bytes() for file in files])
    assert found[0] == found[1]
    table = pd.read_csv(tmp_path / "one" / "map.csv")
    counts = table.groupby(["map", "suite"]).size().to_dict()
    assert counts == {
        ("change", "image"): 2, ("change", "video"): 8, ("evaluation", "video"): 3, ("score", "image"): 4,
        ("score", "video"): 16, ("training", "image"): 1, ("training", "video"): 4,
    }  # fmt: skip
    cell = table[(table["map"] == "change") & (table["row"] == "64") & (table["frames"] == 32)].iloc[0]
    assert cell[["value", "low", "high"]].tolist() == [4, 1, 7]
    cell = table[(table["map"] == "score") & (table["row"] == "64") & (table["frames"] == 32)].iloc[0]
    assert cell[["value", "low", "high"]].tolist() == [67, 64, 70]


def test_cells_print_what_the_table_says_and_are_bold_where_found(
    flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Figure] = []
    monkeypatch.setattr(budget_map, "save_figure", lambda figure, *_: kept.append(figure))
    run(flags, tmp_path / "map", monkeypatch)
    above, below = kept[0].axes
    texts = {text.get_position(): text for text in below.texts}
    columns = dict(zip([label.get_text() for label in below.get_xticklabels()], below.get_xticks(), strict=True))
    rows = dict(zip([label.get_text() for label in below.get_yticklabels()], below.get_yticks(), strict=True))
    for frames, (value, ends, weight) in {
        "8": ("+1.0", "[\N{MINUS SIGN}2.0, +4.0]", "normal"),
        "32": ("+4.0", "[+1.0, +7.0]", "normal"),
        "64": ("+8.0", "[+5.0, +11.0]", "bold"),
    }.items():
        cell = {
            text.get_text(): text.get_fontweight()
            for (x, y), text in texts.items()
            if x == columns[frames] and abs(y - rows["8"]) < 0.5
        }
        assert cell == {value: weight, ends: "normal"}
    assert list(rows) == ["8", "64", "64 \N{MINUS SIGN} 8"]
    assert list(columns) == ["8", "16", "32", "64", "image"]
    difference = [label.get_text() for label in above.get_xticklabels() if label.get_text() not in columns]
    assert difference == ["64 \N{MINUS SIGN} 8"]
    assert [label.get_text() for label in above.get_yticklabels()] == ["blind", "base", "8", "64"]
    printed = [text.get_text() for text in above.texts]
    assert printed.count("+3.0") == 3
    assert {"40.0", "49.0", "67.0", "103.0"} <= set(printed)
    assert "0.0" not in printed
    assert [text.get_text() for text in below.texts].count("+7.0") == 5


def test_evaluation_frames_that_are_missing_are_named(
    flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deltas = pd.read_csv(flags[3])
    deltas[deltas["eval_frames"] != 32].to_csv(flags[3], index=False)
    with pytest.raises(InputError, match="eval_frames 32; the experiment of figure budget_map"):
        run(flags, tmp_path / "map", monkeypatch)
