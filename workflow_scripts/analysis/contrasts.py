"""Rule `figure_contrasts`: runs on one allocation against runs on another, question by question and seed by seed.

    python -m workflow_scripts.analysis.contrasts --evaluations DIR ... --pairs hybrid-qwen3-vl-8b:hybrid-random \\
        --resamples 2000 --seed 0 --output contrasts.csv

Two intervals against the base may overlap and the allocations still differ, since they answer the same questions: here
both are scored on the same draws. Comes in: evaluation folders. Goes out: a row a pair, recipe, model, suite, number of
evaluation frames, benchmark and metric; `after` is the mean score on the pair's first allocation, `before` on its
second, `delta` their difference; columns in COLUMNS, see `comparison`. `read_contrasts` adds `p_holm`, Holm-adjusted
over all pairs of a recipe, model and suite, the suites' scores as a family of their own.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from workflow_scripts.analysis.comparison import MEASURED, compare_evaluations
from workflow_scripts.analysis.deltas import SUITES
from workflow_scripts.analysis.evaluations import BASE, Evaluation, read_evaluations
from workflow_scripts.analysis.resampling import holm
from workflow_scripts.analysis.scores import read_table
from workflow_scripts.settings import InputError
from workflow_scripts.settings.cli import run
from workflow_scripts.settings.files import atomic_path

PLACE = ("recipe", "model", "suite", "eval_frames")
COLUMNS = (
    "allocation", "against", *PLACE, "benchmark", "metric", "maximum", "n_questions", "before", "after", *MEASURED,
)  # fmt: skip
Pair = tuple[str, str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", nargs="+", type=Path, required=True, metavar="DIR")
    parser.add_argument("--pairs", nargs="+", type=pair, required=True, metavar="ALLOCATION:AGAINST")
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    evaluations = read_evaluations(arguments.evaluations)
    table = contrasts(evaluations, arguments.pairs, arguments.resamples, arguments.seed)
    with atomic_path(arguments.output) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")


def pair(text: str) -> Pair:
    """`a:b` as (a, b)."""
    first, colon, second = text.partition(":")
    if not (first and colon and second) or first == second:
        raise argparse.ArgumentTypeError(f"{text!r} is no pair; expected two allocations, as a:b")
    return first, second


def contrasts(evaluations: Sequence[Evaluation], pairs: Sequence[Pair], resamples: int, seed: int) -> pd.DataFrame:
    """All rows of the table. Raises InputError where a side of a pair has no run, or other seeds than the other."""
    runs: dict[tuple[str, str, str, str], dict[str, list[Evaluation]]] = {}
    for one in evaluations:
        checkpoint = one.checkpoint
        if checkpoint.allocation != BASE:
            place = checkpoint.recipe, checkpoint.model, one.suite, str(one.eval_frames)
            runs.setdefault(place, {}).setdefault(checkpoint.allocation, []).append(one)
    rows = []
    for first, second in pairs:
        for place, by_allocation in runs.items():
            if lacking := [name for name in (first, second) if name not in by_allocation]:
                raise InputError(f"--pairs: {first}:{second}; no run on {lacking[0]} for {', '.join(place)}")
            after, before = by_allocation[first], by_allocation[second]
            seeds = [[one.checkpoint.seed for one in side] for side in (after, before)]
            if seeds[0] != seeds[1]:
                raise InputError(
                    f"evaluation folder {after[0].path}: {first} has seeds {seeds[0]}, {second} has {seeds[1]}; "
                    "expected the same, they are compared seed by seed"
                )
            about = {"allocation": first, "against": second} | dict(zip(PLACE, place, strict=True))
            rows += [about | row for row in compare_evaluations(before, after, resamples, seed)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({"eval_frames": int})


def read_contrasts(path: Path) -> pd.DataFrame:
    """Read contrasts.csv and add `main` (is it the benchmark's main metric) and `p_holm` (nan where it is not)."""
    table = read_table(path, COLUMNS)
    first = table.groupby(["allocation", "against", *PLACE, "benchmark"], sort=False)["metric"].transform("first")
    table["main"] = table["metric"] == first
    table["p_holm"] = np.nan
    whole = table["benchmark"].isin(SUITES)
    for family in (table[table["main"] & ~whole], table[whole]):
        for _, members in family.groupby(["recipe", "model", "suite"], sort=False):
            table.loc[members.index, "p_holm"] = holm(members["p_value"].tolist())
    return table


if __name__ == "__main__":
    run(main)
