"""One allocation against another: paired by question and by seed."""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.analysis.contrasts import COLUMNS, contrasts, pair, read_contrasts
from workflow_scripts.analysis.deltas import deltas
from workflow_scripts.analysis.evaluations import read_evaluations
from workflow_scripts.settings import InputError

Make = Callable[..., pd.DataFrame]
Write = Callable[..., Path]
PAIR = (("full", "hybrid-p"), ("full", "hybrid-random"))


@pytest.fixture
def folders(mean_benchmark: Make, write_evaluation: Write) -> dict[tuple[str, int], Path]:
    """200 questions, hard and easy ones alike for all; hybrid-p has about ten more right than hybrid-random."""
    draw = np.random.default_rng(0)
    easy = draw.uniform(size=200)
    found = {}
    limits = {"base": (0.4,), "hybrid-random": (0.5, 0.52), "hybrid-p": (0.55, 0.57)}
    for allocation, seed, limit in (
        (name, seed, limit)
        for name, values in limits.items()
        for seed, limit in enumerate(values, start=int(name != "base"))
    ):
        right = (easy < limit).astype(float)
        rows = mean_benchmark(right)
        entry = ("videomme", "videomme", "videomme_perception_score", 100 * right.mean(), 100.0)
        kind = "base" if allocation == "base" else "tuned"
        found[allocation, seed] = write_evaluation(kind, rows, [entry], allocation=allocation, seed=seed)
    return found


def test_a_difference_that_two_intervals_against_the_base_hide(folders, tmp_path: Path) -> None:
    evaluations = read_evaluations(list(folders.values()))
    table = contrasts(evaluations, [PAIR], 1000, 0)
    assert tuple(table.columns) == COLUMNS
    table.to_csv(tmp_path / "contrasts.csv", index=False)
    read = read_contrasts(tmp_path / "contrasts.csv").set_index("benchmark")
    whole = read.loc["video"]
    scores = {
        key: 100 * pd.read_parquet(path / "responses.parquet")["score"].to_numpy() for key, path in folders.items()
    }
    each = [scores["hybrid-p", seed].mean() - scores["hybrid-random", seed].mean() for seed in (1, 2)]
    assert whole["delta"] == pytest.approx(np.mean(each))
    assert (whole["allocation"], whole["against"], whole["n_seeds"]) == ("hybrid-p", "hybrid-random", 2)
    assert whole["p_holm"] == pytest.approx(whole["p_value"])
    # the same draw of questions for both: by hand
    draws = np.random.default_rng(1).integers(0, 200, (2000, 200))
    apart = [scores["hybrid-p", seed] - scores["hybrid-random", seed] for seed in (1, 2)]
    error = np.std([np.mean([one[drawn].mean() for one in apart]) for drawn in draws])
    assert whole["se_questions"] == pytest.approx(error, rel=0.1)


def test_one_seed_is_surer_than_the_gap_of_its_two_changes(folders) -> None:
    one_seed = [path for (_, seed), path in folders.items() if seed < 2]
    evaluations = read_evaluations(one_seed)
    found = contrasts(evaluations, [PAIR], 1000, 0).iloc[0]
    changes = deltas(evaluations, 1000, 0).query("benchmark == 'videomme'").set_index("allocation")
    assert found["delta"] == pytest.approx(changes.loc["hybrid-p", "delta"] - changes.loc["hybrid-random", "delta"])
    assert found["ci_low"] > 0
    overlap = changes.loc["hybrid-random", "ci_high"] > changes.loc["hybrid-p", "ci_low"]
    assert overlap, "which the intervals against the base do not tell"


def test_a_recipe_against_another_on_the_same_allocation(mean_benchmark: Make, write_evaluation: Write) -> None:
    right = {"full": np.array([1.0, 0.0, 0.0, 1.0]), "replayed": np.array([1.0, 1.0, 0.0, 1.0])}
    folders = [
        write_evaluation(
            "tuned",
            mean_benchmark(one),
            [("videomme", "videomme", "videomme_perception_score", 100 * one.mean(), 100.0)],
            recipe=recipe,
            allocation="uniform-64",
            seed=1,
        )
        for recipe, one in right.items()
    ]
    found = contrasts(read_evaluations(folders), [pair("replayed/uniform-64:full/uniform-64")], 100, 0).iloc[0]
    sides = found[["recipe", "allocation", "against_recipe", "against"]].tolist()
    assert sides == ["replayed", "uniform-64", "full", "uniform-64"]
    assert (found["before"], found["after"], found["delta"]) == (50.0, 75.0, 25.0)


def test_what_cannot_be_paired_is_refused(folders) -> None:
    evaluations = read_evaluations([path for key, path in folders.items() if key != ("hybrid-random", 2)])
    with pytest.raises(InputError, match=r"full/hybrid-p has seeds \[1, 2\], full/hybrid-random has \[1\]"):
        contrasts(evaluations, [PAIR], 10, 0)
    with pytest.raises(InputError, match="no run on full/hybrid-oracle for small, video, 8"):
        contrasts(evaluations, [(("full", "hybrid-oracle"), ("full", "hybrid-p"))], 10, 0)
    for text in ("a", "a:b", "r/a:", "r/a:r/a", "r/a:r/b/c"):
        with pytest.raises(argparse.ArgumentTypeError, match="is no pair"):
            pair(text)
