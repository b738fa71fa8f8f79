"""What fine-tuning changed: every tuned checkpoint against its base model on the same questions.

Comes in: scores.csv and the evaluation folders it was made from. Goes out: analysis/deltas.csv, a row a recipe, model,
allocation, suite, number of evaluation frames, benchmark and metric; columns in `COLUMNS`. Benchmark `image` / `video`
is the suite's score (see `scores`).

- base, tuned: scores in the metric's unit, the tuned one averaged over the seeds. delta = tuned - base.
- ci_low, ci_high: 95 percent interval of delta. Both checkpoints are scored on the same draws of clusters. With one
  seed it is the percentile interval of the draws and covers the choice of questions, not the chance of training; with
  more it covers both, by Student's t over the seeds (`resampling`). Under five seeds figures show each.
- n_clusters: images or videos behind the score; se_questions, se_seeds: standard errors of delta, from the choice of
  questions and from the seeds (empty with one); mdd: the minimal detectable difference (`resampling`), the true change
  that a study of this size finds in four of five cases. All in the metric's unit.
- view: how videos were shown to both, where not by the defaults (`integer_rate`, `total-802816`); empty for images.
- p_value: two-sided, not corrected (`resampling` says how). `read_deltas` adds `p_holm`, Holm-adjusted within a family:
  the main metrics of all benchmarks, allocations and numbers of evaluation frames of one recipe, model and suite; the
  suite scores are a family of their own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.analysis import command
from workflow_scripts.analysis.comparison import compare_evaluations
from workflow_scripts.analysis.evaluations import (
    BASE,
    Checkpoint,
    Evaluation,
    read_evaluations,
)
from workflow_scripts.analysis.resampling import holm
from workflow_scripts.analysis.scores import read_scores_table, read_table
from workflow_scripts.settings import InputError
from workflow_scripts.settings.cli import progress, run

COLUMNS = (
    "recipe", "model", "allocation", "suite", "eval_frames", "benchmark", "metric", "maximum", "base", "tuned", "delta",
    "ci_low", "ci_high", "p_value", "n_questions", "n_seeds", "n_clusters", "se_questions", "se_seeds", "mdd",
    "view",
)  # fmt: skip
SUITES = ("image", "video")
FAMILY = ["recipe", "model", "suite"]


def main() -> None:
    parser = command.parser(__doc__)
    parser.add_argument("--scores", type=Path, required=True)
    arguments = parser.parse_args()
    table = deltas(read_evaluations(arguments.evaluations), arguments.resamples, arguments.seed)
    check_against_scores(table, read_scores_table(arguments.scores), arguments.scores)
    command.write(table, arguments.output)


def deltas(evaluations: Sequence[Evaluation], resamples: int, seed: int) -> pd.DataFrame:
    """All rows of the table. Blind evaluations take no part."""
    rows: list[dict[str, Any]] = []
    for checkpoint, base, tuned in paired(evaluations):
        same = {
            "recipe": checkpoint.recipe, "model": checkpoint.model, "allocation": checkpoint.allocation,
            "suite": base.suite, "eval_frames": base.eval_frames, "view": checkpoint.view,
        }  # fmt: skip
        rows.extend(same | row for row in compare_evaluations([base], tuned, resamples, seed))
    table = pd.DataFrame(rows).rename(columns={"before": "base", "after": "tuned"})
    return table.reindex(columns=list(COLUMNS))


def paired(evaluations: Sequence[Evaluation]) -> Iterator[tuple[Checkpoint, Evaluation, list[Evaluation]]]:
    """Each run without its seed, the evaluation of its base model and those of its seeds. Raises InputError where a
    run's base model was not evaluated alike."""
    bases: dict[tuple[str, str, str, int], Evaluation] = {}
    runs: dict[tuple[Checkpoint, str, int], list[Evaluation]] = {}
    for one in evaluations:
        if one.checkpoint.blind:
            continue
        if one.checkpoint.allocation == BASE:
            bases[one.checkpoint.model, one.checkpoint.view, one.suite, one.eval_frames] = one
        else:
            key = replace(one.checkpoint, seed=None), one.suite, one.eval_frames
            runs.setdefault(key, []).append(one)
    with progress(len(runs), "comparisons") as advance:
        for (checkpoint, suite, frames), tuned in runs.items():
            base = bases.get((checkpoint.model, checkpoint.view, suite, frames))
            if base is None:
                shown = f", shown as {checkpoint.view}" if checkpoint.view else ""
                raise InputError(
                    f"evaluation folder {tuned[0].path}: no evaluation of base model {checkpoint.model} on suite "
                    f"{suite} with {frames} frames{shown}; expected one to compare with"
                )
            yield checkpoint, base, tuned
            advance()


def check_against_scores(table: pd.DataFrame, scores: pd.DataFrame, path: Path) -> None:
    """Raise InputError where scores.csv does not hold the tuned scores that the differences are made of."""
    whole = scores[(scores["category"] == "all") & ~scores["blind"].astype(bool)]
    keys = ["recipe", "model", "allocation", "suite", "eval_frames", "benchmark", "metric"]
    means = whole.groupby(keys)["value"].mean().rename("in_scores").reset_index()
    both = table.merge(means, on=keys, how="left")
    wrong = both[~((both["tuned"] - both["in_scores"]).abs() <= 1e-6 * both["maximum"])]
    if not wrong.empty:
        row = wrong.iloc[0]
        raise InputError(
            f"file {path}: {row['benchmark']} {row['metric']} of {row['model']}, {row['allocation']} is "
            f"{row['in_scores']}; expected {row['tuned']:.6g}, as the evaluations give"
        )


def read_deltas(path: Path) -> pd.DataFrame:
    """Read deltas.csv and add `main` (is it the benchmark's main metric) and `p_holm` (nan for other metrics)."""
    table = read_table(path, COLUMNS)
    first = table.groupby([*FAMILY, "allocation", "benchmark"], sort=False)["metric"].transform("first")
    table["main"] = table["metric"] == first
    table["p_holm"] = np.nan
    whole = table["benchmark"].isin(SUITES)
    for family in (table[table["main"] & ~whole], table[whole]):
        for _, members in family.groupby(FAMILY, sort=False):
            table.loc[members.index, "p_holm"] = holm(members["p_value"].tolist())
    return table


if __name__ == "__main__":
    run(main)
