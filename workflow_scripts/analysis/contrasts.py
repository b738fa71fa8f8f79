"""Rule `figure_contrasts`: runs against other runs of the same model, question by question and seed by seed.

    python -m workflow_scripts.analysis.contrasts --evaluations DIR ... \\
        --pairs full/hybrid-qwen3-vl-8b:full/hybrid-random --resamples 2000 --seed 0 --output contrasts.csv

Two intervals against the base may overlap and the runs still differ, since they answer the same questions: here both
are scored on the same draws. A side of a pair is a recipe and an allocation. Comes in: evaluation folders. Goes out: a
row a pair, model, suite, number of evaluation frames, benchmark and metric; `after` is the mean score of the pair's
first side (recipe, allocation), `before` of its second (against_recipe, against), `delta` their difference; columns in
COLUMNS, see `comparison`. `read_contrasts` adds `p_holm`, Holm-adjusted over all pairs of a model and suite, the
suites' scores as a family of their own.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from workflow_scripts.analysis import command
from workflow_scripts.analysis.comparison import MEASURED, compare_evaluations
from workflow_scripts.analysis.deltas import SUITES
from workflow_scripts.analysis.evaluations import BASE, Evaluation, read_evaluations
from workflow_scripts.analysis.resampling import holm
from workflow_scripts.analysis.scores import read_table
from workflow_scripts.settings import InputError
from workflow_scripts.settings.cli import run

SIDES = ("recipe", "allocation", "against_recipe", "against")
PLACE = ("model", "suite", "eval_frames")
COLUMNS = (*SIDES, *PLACE, "benchmark", "metric", "maximum", "n_questions", "before", "after", *MEASURED)
Side = tuple[str, str]
"""Recipe and allocation."""
Pair = tuple[Side, Side]


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("--pairs", nargs="+", type=pair, required=True, metavar="RECIPE/ALLOCATION:RECIPE/ALLOCATION")
    arguments = parser.parse_args()
    evaluations = read_evaluations(arguments.evaluations)
    table = contrasts(evaluations, arguments.pairs, arguments.resamples, arguments.seed)
    command.write(table, arguments.output)


def pair(text: str) -> Pair:
    """`r/a:s/b` as ((r, a), (s, b))."""
    found = re.fullmatch(r"([^/:]+)/([^/:]+):([^/:]+)/([^/:]+)", text)
    if found is None or found.group(1, 2) == found.group(3, 4):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no pair; expected two runs, as recipe/allocation:recipe/allocation"
        )
    return (found[1], found[2]), (found[3], found[4])


def contrasts(evaluations: Sequence[Evaluation], pairs: Sequence[Pair], resamples: int, seed: int) -> pd.DataFrame:
    """All rows of the table. Raises InputError where a side of a pair has no run, or other seeds than the other."""
    runs: dict[tuple[str, str, str], dict[Side, list[Evaluation]]] = {}
    for one in evaluations:
        checkpoint = one.checkpoint
        if checkpoint.allocation != BASE:
            place = checkpoint.model, one.suite, str(one.eval_frames)
            runs.setdefault(place, {}).setdefault((checkpoint.recipe, checkpoint.allocation), []).append(one)
    rows = []
    for first, second in pairs:
        names = "/".join(first), "/".join(second)
        for place, by_side in runs.items():
            if lacking := [name for side, name in zip((first, second), names, strict=True) if side not in by_side]:
                raise InputError(f"--pairs: {':'.join(names)}; no run on {lacking[0]} for {', '.join(place)}")
            after, before = by_side[first], by_side[second]
            seeds = [[one.checkpoint.seed for one in side] for side in (after, before)]
            if seeds[0] != seeds[1]:
                raise InputError(
                    f"evaluation folder {after[0].path}: {names[0]} has seeds {seeds[0]}, {names[1]} has {seeds[1]}; "
                    "expected the same, they are compared seed by seed"
                )
            about = dict(zip((*SIDES, *PLACE), (*first, *second, *place), strict=True))
            rows += [about | row for row in compare_evaluations(before, after, resamples, seed)]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.astype({"eval_frames": int})


def read_contrasts(path: Path) -> pd.DataFrame:
    """Read contrasts.csv and add `main` (is it the benchmark's main metric) and `p_holm` (nan where it is not)."""
    table = read_table(path, COLUMNS)
    first = table.groupby([*SIDES, *PLACE, "benchmark"], sort=False)["metric"].transform("first")
    table["main"] = table["metric"] == first
    table["p_holm"] = np.nan
    whole = table["benchmark"].isin(SUITES)
    for family in (table[table["main"] & ~whole], table[whole]):
        for _, members in family.groupby(["model", "suite"], sort=False):
            table.loc[members.index, "p_holm"] = holm(members["p_value"].tolist())
    return table


if __name__ == "__main__":
    run(main)
