"""What more frames in training do, and what more frames in evaluation do, each with the other held.

Comes in: the evaluations of runs with uniform allocations at several numbers of evaluation frames. Goes out:
analysis/<figure>/frame_effects.csv, a row an effect, benchmark and metric; columns in `COLUMNS`.

- effect `training`: the run with the most training frames against the run with the fewest, both evaluated with
  eval_frames; paired by question, and seed by seed. `allocation` is empty.
- effect `evaluation`: one checkpoint (`allocation`, or `base`) evaluated with the most frames against itself with the
  fewest; eval_frames is empty. It is of the video suite alone, as images have no frames.
- fewest, most: the numbers of frames. before, after: the scores with them, averaged over the seeds. The other columns
  are those of deltas.csv; the base's effect has one seed and covers the choice of questions.
- `read_frame_effects` adds `main` and `p_holm`: the suite scores of one effect and suite are a family, as are the main
  metrics of its benchmarks.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

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

COLUMNS = (
    "effect", "model", "suite", "allocation", "eval_frames", "fewest", "most", "benchmark", "metric", "maximum",
    "n_questions", "before", "after", *MEASURED,
)  # fmt: skip
UNIFORM = "uniform-"
Seeds = Mapping[tuple[str, int], list[Evaluation]]  # by allocation and evaluation frames, in the order of seeds


def main() -> None:
    arguments = command.parser(__doc__).parse_args()
    table = frame_effects(read_evaluations(arguments.evaluations), arguments.resamples, arguments.seed)
    command.write(table, arguments.output)


def frame_effects(evaluations: Sequence[Evaluation], resamples: int, seed: int) -> pd.DataFrame:
    """All rows of the table. Blind evaluations take no part."""
    held: dict[tuple[str, str], dict[tuple[str, int], list[Evaluation]]] = {}
    recipes = {one.checkpoint.recipe for one in evaluations} - {BASE}
    if len(recipes) > 1:
        raise InputError(f"evaluations of recipes {', '.join(sorted(recipes))}; expected those of one")
    for one in evaluations:
        allocation = one.checkpoint.allocation
        if not one.checkpoint.blind and (allocation == BASE or allocation.startswith(UNIFORM)):
            runs = held.setdefault((one.checkpoint.model, one.suite), {})
            runs.setdefault((allocation, one.eval_frames), []).append(one)
    rows = [
        {"model": model, "suite": suite} | about | row
        for (model, suite), runs in held.items()
        for about, before, after in _effects(runs)
        for row in compare_evaluations(before, after, resamples, seed)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _effects(runs: Seeds) -> Iterator[tuple[dict[str, Any], list[Evaluation], list[Evaluation]]]:
    """What is compared with what: the columns that name it, and both sides, seed by seed."""
    allocations = sorted({name for name, _ in runs if name != BASE}, key=_budget)
    frames = sorted({count for _, count in runs})
    if len(allocations) > 1:
        for count in frames:
            fewest, most = runs[allocations[0], count], runs[allocations[-1], count]
            about = {"effect": "training", "eval_frames": count}
            yield about | {"fewest": _budget(allocations[0]), "most": _budget(allocations[-1])}, *_paired(fewest, most)
    if len(frames) > 1:
        for name in [BASE, *allocations]:
            about = {"effect": "evaluation", "allocation": name, "fewest": frames[0], "most": frames[-1]}
            yield about, *_paired(runs[name, frames[0]], runs[name, frames[-1]])


def _budget(allocation: str) -> int:
    return int(allocation.removeprefix(UNIFORM))


def _paired(before: list[Evaluation], after: list[Evaluation]) -> tuple[list[Evaluation], list[Evaluation]]:
    seeds = [[one.checkpoint.seed for one in side] for side in (before, after)]
    if seeds[0] != seeds[1]:
        raise InputError(
            f"evaluation folder {after[0].path}: the seeds beside it are {seeds[1]}, those beside {before[0].path} are "
            f"{seeds[0]}; expected the same, they are compared seed by seed"
        )
    return before, after


def read_frame_effects(path: Path) -> pd.DataFrame:
    """Read frame_effects.csv and add `main` (is it the benchmark's main metric) and `p_holm` (nan where it is not)."""
    table = read_table(path, COLUMNS)
    first = table.groupby(["model", "suite", "benchmark"], sort=False)["metric"].transform("first")
    table["main"] = table["metric"] == first
    table["p_holm"] = np.nan
    whole = table["benchmark"].isin(SUITES)
    for family in (table[table["main"] & ~whole], table[whole]):
        for _, members in family.groupby(["effect", "model", "suite"], sort=False):
            table.loc[members.index, "p_holm"] = holm(members["p_value"].tolist())
    return table


if __name__ == "__main__":
    run(main)
