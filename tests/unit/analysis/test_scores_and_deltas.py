"""The two tables, from folders to csv."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.analysis.deltas import COLUMNS as DELTA_COLUMNS
from workflow_scripts.analysis.deltas import deltas, read_deltas
from workflow_scripts.analysis.evaluations import checkpoint_of, read_evaluation, read_evaluations
from workflow_scripts.analysis.scores import COLUMNS, scores
from workflow_scripts.settings import InputError

Make = Callable[..., pd.DataFrame]
Write = Callable[..., Path]


def right(n: int, k: int) -> np.ndarray:
    return (np.arange(n) < k).astype(float)


def row_of(benchmark: str, value: float) -> tuple[str, str, str, float, float]:
    return benchmark, benchmark, "videomme_perception_score", value, 100.0


def test_places_say_what_was_evaluated() -> None:
    checkpoint, suite, frames = checkpoint_of(
        Path("r/tuned/lora/qwen2.5-vl-7b/hybrid-qwen3-vl-8b/seed-2/video/frames-64")
    )
    assert (checkpoint.recipe, checkpoint.model, checkpoint.allocation) == (
        "lora",
        "qwen2.5-vl-7b",
        "hybrid-qwen3-vl-8b",
    )
    assert (checkpoint.seed, checkpoint.blind, suite, frames) == (2, False, "video", 64)
    assert checkpoint_of(Path("e/blind/m/image/frames-1"))[0].blind
    rounded, suite, frames = checkpoint_of(Path("e/base/m/integer_rate/video/frames-8"))
    assert (rounded.model, rounded.view, rounded.blind, suite, frames) == ("m", "integer_rate", False, "video", 8)
    with pytest.raises(InputError, match="not a place"):
        checkpoint_of(Path("tuned/lora/m/image/frames-1"))


def test_scores_table(mean_benchmark: Make, write_evaluation: Write) -> None:
    both = pd.concat([mean_benchmark(right(60, 45)), mean_benchmark(right(40, 10), name="other")])
    path = write_evaluation("base", both, [row_of("videomme", 75), row_of("other", 25)])
    table = scores(read_evaluations([path]), 500, 0)
    assert tuple(table.columns) == COLUMNS
    whole = table[table["category"] == "all"].set_index("benchmark")
    assert whole["value"].to_dict() == pytest.approx({"videomme": 75, "other": 25, "video": 50})
    assert whole.loc["video", "n_questions"] == 100
    assert whole.loc["video", "metric"] == "normalised_mean"
    assert (whole["ci_low"] < whole["value"]).all()
    assert (whole["value"] < whole["ci_high"]).all()
    assert table["seed"].isna().all()
    assert (table["allocation"] == "base").all()
    categories = table[(table["benchmark"] == "videomme") & (table["category"] != "all")]
    assert categories["n_questions"].tolist() == [20, 20, 20]
    assert categories["value"].mean() == pytest.approx(75)


def test_a_score_that_responses_do_not_give_is_refused(mean_benchmark: Make, write_evaluation: Write) -> None:
    path = write_evaluation("base", mean_benchmark(right(10, 5)), [row_of("videomme", 60)])
    with pytest.raises(InputError, match=r"is 60.*gives 50"):
        read_evaluation(path)


def test_pooled_row_weighs_tasks_by_questions(mean_benchmark: Make, write_evaluation: Write) -> None:
    parts = [
        mean_benchmark(right(30, 30), name="b").assign(task="t1"),
        mean_benchmark(right(10, 0), name="b").assign(task="t2"),
    ]
    rows = [("b", None, "avg_accuracy", 75.0, 100.0), ("b", "t1", "avg_accuracy", 100.0, 100.0, "first")]
    found = read_evaluation(write_evaluation("base", pd.concat(parts), rows)).benchmarks["b"]
    assert found.metrics["avg_accuracy"][0].value() == 75
    assert found.categories["first"][1].value() == 100
    assert set(found.categories) == {"first", "k0", "k1", "k2"}


def test_upper_categories_are_scored_and_checked(mean_benchmark: Make, write_evaluation: Write) -> None:
    """MMStar: eight of nine, one of one, none of two right; the upper category is the mean of its two lower ones."""
    rows = mean_benchmark(np.array([1.0] * 8 + [0, 1, 0, 0]), name="mmstar").assign(
        category=["a"] * 9 + ["b"] + ["c"] * 2, ability=["top one"] * 10 + ["top two"] * 2
    )
    named = [("mmstar", None, "average", (8 / 9 + 1) / 3, 1.0), ("mmstar", None, "average", 8 / 9, 1.0, "a")]
    upper = ("mmstar", None, "top one", (8 / 9 + 1) / 2, 1.0, "top one")
    path = write_evaluation("base", rows, [*named, upper], suite="image", frames=1)
    table = scores(read_evaluations([path]), 50, 0).query("benchmark == 'mmstar'").set_index("category")
    assert table["value"].to_dict() == pytest.approx(
        {"all": (8 / 9 + 1) / 3, "a": 8 / 9, "b": 1.0, "c": 0.0, "top one": (8 / 9 + 1) / 2}
    )
    assert table.loc["top one", ["metric", "n_questions"]].tolist() == ["average", 10]
    for wrong, message in (((*upper[:3], 0.9, *upper[4:]), "gives 0.944"), ((*upper[:5], "top three"), "top three")):
        place = write_evaluation("base", rows, [*named, wrong], suite="image", frames=2 + len(message))
        with pytest.raises(InputError, match=message):
            read_evaluation(place)


def test_mme_categories_and_its_second_score_are_read(mean_benchmark: Make, write_evaluation: Write) -> None:
    rows = mean_benchmark(np.array([1.0, 1, 1, 0, 1, 1]), ["x", "x", "y", "y", "z", "z"], "mme")
    kinds = ["existence"] * 2 + ["count"] * 2 + ["code_reasoning"] * 2
    named = [
        ("mme", None, "mme_perception_score", 250.0, 2000.0),
        ("mme", None, "mme_cognition_score", 200.0, 800.0, "cognition"),
        ("mme", None, "mme_perception_score", 50.0, 200.0, "count"),
    ]
    path = write_evaluation("base", rows.assign(category=kinds, ability=kinds), named, suite="image", frames=1)
    found = read_evaluation(path).benchmarks["mme"].categories
    values = {name: (entry[1].value(), entry[3]) for name, entry in found.items()}
    assert values == {"cognition": (200, 2), "count": (50, 2), "existence": (200, 2), "code_reasoning": (200, 2)}


def test_deltas_table(mean_benchmark: Make, write_evaluation: Write) -> None:
    rng = np.random.default_rng(0)
    base = (rng.random(300) < 0.5).astype(float)
    folders = [write_evaluation("base", mean_benchmark(base), [row_of("videomme", 100 * base.mean())])]
    means = []
    for seed in (1, 2, 3):
        tuned = np.where(rng.random(300) < 0.3, 1.0, base)
        means.append(100 * tuned.mean())
        folders.append(write_evaluation("tuned", mean_benchmark(tuned), [row_of("videomme", means[-1])], seed=seed))
    table = deltas(read_evaluations(folders), 1000, 0)
    assert tuple(table.columns) == DELTA_COLUMNS
    row = table[table["benchmark"] == "videomme"].iloc[0]
    assert row["n_seeds"] == 3
    assert row["n_questions"] == 300
    assert row["tuned"] == pytest.approx(np.mean(means))
    assert row["delta"] == pytest.approx(row["tuned"] - row["base"])
    assert 0 < row["ci_low"] < row["delta"] < row["ci_high"]
    assert row["p_value"] < 0.01
    suite = table[table["benchmark"] == "video"].iloc[0]
    assert suite["delta"] == pytest.approx(row["delta"])


def test_paired_interval_is_narrower_than_two_separate_ones(mean_benchmark: Make, write_evaluation: Write) -> None:
    rng = np.random.default_rng(1)
    base = (rng.random(400) < 0.5).astype(float)
    tuned = np.where(rng.random(400) < 0.05, 1 - base, base)
    folders = [
        write_evaluation("base", mean_benchmark(base), [row_of("videomme", 100 * base.mean())]),
        write_evaluation("tuned", mean_benchmark(tuned), [row_of("videomme", 100 * tuned.mean())]),
    ]
    row = deltas(read_evaluations(folders), 1000, 0).iloc[0]
    separate = 2 * 1.96 * 100 * np.sqrt(2 * 0.25 / 400)
    paired = 2 * 1.96 * 100 * np.std(tuned - base) / np.sqrt(400)
    assert row["ci_high"] - row["ci_low"] == pytest.approx(paired, rel=0.1)
    assert paired < separate / 2


def test_missing_base_and_other_questions_are_named(mean_benchmark: Make, write_evaluation: Write) -> None:
    tuned = write_evaluation("tuned", mean_benchmark(right(10, 5)), [row_of("videomme", 50)])
    with pytest.raises(InputError, match="no evaluation of base model small"):
        deltas(read_evaluations([tuned]), 10, 0)
    base = write_evaluation("base", mean_benchmark(right(8, 4)), [row_of("videomme", 50)])
    with pytest.raises(InputError, match="other questions"):
        deltas(read_evaluations([base, tuned]), 10, 0)


def test_a_run_is_compared_with_the_base_that_was_shown_the_same(mean_benchmark: Make, write_evaluation: Write) -> None:
    """Bases of 50 right by default, 40 rounded, 20 with shared pixels; 60 of each run. Images have one base."""
    rounded, sharing = {"temporal_positions": "integer_rate"}, {"total_pixels": 4096}
    places = {
        "evaluation/base/small/video/frames-8": (50, {}),
        "evaluation/base/small/integer_rate/video/frames-8": (40, rounded),
        "evaluation/base/small/total-4096/video/frames-8": (20, sharing),
        "evaluation/base/small/image/frames-1": (30, {}),
        "evaluation/tuned/full/small/uniform-8/seed-1/video/frames-8": (60, {"temporal_positions": "real_time"}),
        "evaluation/tuned/rounded/small/uniform-8/seed-1/video/frames-8": (60, rounded),
        "evaluation/tuned/sharing/small/uniform-8/seed-1/video/frames-8": (60, sharing),
        "evaluation/tuned/sharing/small/uniform-8/seed-1/image/frames-1": (60, sharing),
    }
    folders = []
    for place, (n, shown) in places.items():
        suite = place.split("/")[-2]
        answers, rows = mean_benchmark(right(100, n)), [row_of("videomme", n)]
        folders.append(write_evaluation("base", answers, rows, suite=suite, place=place, **shown))
    table = deltas(read_evaluations(folders), 50, 0).query("benchmark == 'videomme'").set_index(["recipe", "suite"])
    assert table["delta"].to_dict() == pytest.approx(
        {("full", "video"): 10, ("rounded", "video"): 20, ("sharing", "video"): 40, ("sharing", "image"): 30}
    )
    assert table["view"].to_dict() == {
        ("full", "video"): "",
        ("rounded", "video"): "integer_rate",
        ("sharing", "video"): "total-4096",
        ("sharing", "image"): "",
    }
    with pytest.raises(InputError, match="with 8 frames, shown as integer_rate; expected one"):
        deltas(read_evaluations([folder for folder in folders if "base/small/integer" not in str(folder)]), 50, 0)
    wrong = write_evaluation("base", answers, rows, place="evaluation/base/small/constant/video/frames-8", **rounded)
    with pytest.raises(InputError, match="shown as integer_rate; its place says constant"):
        read_evaluation(wrong)


def test_commands_write_the_same_bytes_twice(mean_benchmark: Make, write_evaluation: Write, tmp_path: Path) -> None:
    folders = [
        write_evaluation("base", mean_benchmark(right(50, 20)), [row_of("videomme", 40)]),
        write_evaluation("blind", mean_benchmark(right(50, 12)), [row_of("videomme", 24)]),
        write_evaluation("tuned", mean_benchmark(right(50, 30)), [row_of("videomme", 60)]),
    ]
    found = []
    for turn in ("one", "two"):
        table, differences = tmp_path / turn / "scores.csv", tmp_path / turn / "deltas.csv"
        places = [str(folder) for folder in folders]
        for command in (
            ["scores", "--evaluations", *places, "--output", str(table)],
            [
                "deltas",
                "--scores",
                str(table),
                "--evaluations",
                *places,
                "--resamples",
                "200",
                "--output",
                str(differences),
            ],
        ):
            module = f"workflow_scripts.analysis.{command[0]}"
            subprocess.run([sys.executable, "-m", module, *command[1:]], check=True, capture_output=True)
        found.append((table.read_bytes(), differences.read_bytes()))
    assert found[0] == found[1]
    read = read_deltas(tmp_path / "one" / "deltas.csv")
    assert read["main"].all()
    assert (read["p_holm"] >= read["p_value"]).all()
    assert pd.read_csv(tmp_path / "one" / "scores.csv")["blind"].sum() == 5
