"""What fine-tuning changed: every tuned checkpoint against its base model on the same questions.

Comes in: scores.csv and the evaluation folders it was made from. Goes out: analysis/deltas.csv, a row a recipe, model,
allocation, suite, number of evaluation frames, benchmark and metric; columns in `COLUMNS`. Benchmark `image` / `video`
is the suite's score (see `scores`).

- base, tuned: scores in the metric's unit, the tuned one averaged over the seeds. delta = tuned - base.
- ci_low, ci_high: 95 percent interval of delta. Both checkpoints are scored on the same draws of clusters. With one
  seed it is the percentile interval of the draws and covers the choice of questions, not the chance of training; with
  more it covers both, by Student's t over the seeds (`resampling`). Under five seeds figures show each.
- p_value: two-sided, not corrected (`resampling` says how). `read_deltas` adds `p_holm`, Holm-adjusted within a family:
  the main metrics of all benchmarks and allocations of one recipe, model, suite and number of evaluation frames; the
  suite scores of all allocations are a family of their own.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.analysis.aggregates import Statistic
from workflow_scripts.analysis.evaluations import (
    BASE,
    SUITE_METRIC,
    Benchmark,
    Checkpoint,
    Evaluation,
    read_evaluations,
    suite_mean,
)
from workflow_scripts.analysis.resampling import (
    holm,
    seed_interval,
    seed_p_value,
    swap_masks,
    swap_p_value,
)
from workflow_scripts.analysis.scores import cached_weights, read_scores_table, read_table
from workflow_scripts.settings import InputError
from workflow_scripts.settings.cli import progress, run
from workflow_scripts.settings.files import atomic_path

COLUMNS = (
    "recipe", "model", "allocation", "suite", "eval_frames", "benchmark", "metric", "maximum", "base", "tuned", "delta",
    "ci_low", "ci_high", "p_value", "n_questions", "n_seeds",
)  # fmt: skip
SUITES = ("image", "video")
FAMILY = ["recipe", "model", "suite", "eval_frames"]


@dataclass(frozen=True)
class Comparison:
    """A difference and what chance does to it.

    seeds: each seed's difference, [seeds]. resampled, swapped: the mean difference of the seeds on each draw of
    clusters and under each swap of answers, [resamples].
    """

    base: float
    tuned: float
    seeds: np.ndarray
    resampled: np.ndarray
    swapped: np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--evaluations", nargs="+", type=Path, required=True, metavar="DIR")
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    table = deltas(read_evaluations(arguments.evaluations), arguments.resamples, arguments.seed)
    check_against_scores(table, read_scores_table(arguments.scores), arguments.scores)
    with atomic_path(arguments.output) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")


def deltas(evaluations: Sequence[Evaluation], resamples: int, seed: int) -> pd.DataFrame:
    """All rows of the table. Blind evaluations take no part."""
    bases: dict[tuple[str, str, int], Evaluation] = {}
    runs: dict[tuple[Checkpoint, str, int], list[Evaluation]] = {}
    for one in evaluations:
        if one.checkpoint.blind:
            continue
        if one.checkpoint.allocation == BASE:
            bases[one.checkpoint.model, one.suite, one.eval_frames] = one
        else:
            key = replace(one.checkpoint, seed=None), one.suite, one.eval_frames
            runs.setdefault(key, []).append(one)
    rows: list[dict[str, Any]] = []
    with progress(len(runs), "deltas") as advance:
        for (checkpoint, suite, frames), tuned in runs.items():
            base = bases.get((checkpoint.model, suite, frames))
            if base is None:
                raise InputError(
                    f"evaluation folder {tuned[0].path}: no evaluation of base model {checkpoint.model} on suite "
                    f"{suite} with {frames} frames; expected one to compare with"
                )
            same = {
                "recipe": checkpoint.recipe, "model": checkpoint.model, "allocation": checkpoint.allocation,
                "suite": suite, "eval_frames": frames, "n_seeds": len(tuned),
            }  # fmt: skip
            rows.extend(same | row for row in _compare(base, tuned, resamples, seed))
            advance()
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _compare(base: Evaluation, tuned: Sequence[Evaluation], resamples: int, seed: int) -> list[dict[str, Any]]:
    rows, mains, maxima, questions = [], [], [], 0
    for evaluation in tuned:
        if set(evaluation.benchmarks) != set(base.benchmarks):
            name = sorted(set(evaluation.benchmarks) ^ set(base.benchmarks))[0]
            raise InputError(f"evaluation folder {evaluation.path}: benchmark {name} is not in both it and {base.path}")
    for name, benchmark in base.benchmarks.items():
        others = [other.benchmarks[name] for other in tuned]
        for evaluation, other in zip(tuned, others, strict=True):
            _check_same_questions(benchmark, other, base.path, evaluation.path)
        weights = cached_weights(len(benchmark.clusters), resamples, seed, name)
        swaps = _cached_swaps(len(benchmark.clusters), resamples, seed, name)
        for metric, (statistic, maximum, n) in benchmark.metrics.items():
            found = compare(statistic, [other.metrics[metric][0] for other in others], weights, swaps)
            rows.append(_row(name, metric, maximum, found, n))
            if metric == benchmark.main:
                mains.append(found)
                maxima.append(maximum)
                questions += n
    whole = Comparison(
        float(suite_mean([np.asarray(main.base) for main in mains], maxima)),
        float(suite_mean([np.asarray(main.tuned) for main in mains], maxima)),
        suite_mean([main.seeds for main in mains], maxima),
        suite_mean([main.resampled for main in mains], maxima),
        suite_mean([main.swapped for main in mains], maxima),
    )
    return [*rows, _row(base.suite, SUITE_METRIC, 100.0, whole, questions)]


def compare(base: Statistic, tuned: Sequence[Statistic], weights: np.ndarray, swaps: np.ndarray) -> Comparison:
    """Compare the seeds of one run with its base on the same clusters.

    weights, swaps: [resamples, clusters], how often a cluster is drawn, whether its answers change sides.
    """
    resampled = np.mean([seed.resampled(weights) for seed in tuned], axis=0) - base.resampled(weights)
    swapped = np.zeros(len(swaps))
    for seed in tuned:
        moved = swaps @ (seed.sums - base.sums)
        ours = seed.combine(seed.sums.sum(axis=0) - moved)
        theirs = seed.combine(base.sums.sum(axis=0) + moved)
        swapped += (ours - theirs) / len(tuned)
    values = np.array([seed.value() for seed in tuned])
    return Comparison(base.value(), float(values.mean()), values - base.value(), resampled, swapped)


def _row(benchmark: str, metric: str, maximum: float, found: Comparison, questions: int) -> dict[str, Any]:
    difference = found.tuned - found.base
    low, high = seed_interval(found.resampled, found.seeds)
    p_value = max(swap_p_value(difference, found.swapped), seed_p_value(found.resampled, found.seeds))
    return {
        "benchmark": benchmark, "metric": metric, "maximum": maximum, "base": found.base, "tuned": found.tuned,
        "delta": difference, "ci_low": low, "ci_high": high, "p_value": p_value, "n_questions": questions,
    }  # fmt: skip


@lru_cache(maxsize=16)
def _cached_swaps(n_clusters: int, resamples: int, seed: int, benchmark: str) -> np.ndarray:
    return swap_masks(n_clusters, resamples, seed, benchmark)


def _check_same_questions(base: Benchmark, tuned: Benchmark, base_path: Path, tuned_path: Path) -> None:
    keys = ["task", "question_id", "cluster", "category", "answer"]
    ours = base.questions[keys].astype(str).sort_values(keys).reset_index(drop=True)
    theirs = tuned.questions[keys].astype(str).sort_values(keys).reset_index(drop=True)
    if not ours.equals(theirs) or set(base.metrics) != set(tuned.metrics):
        raise InputError(
            f"evaluation folder {tuned_path}: benchmark {base.name} has other questions or metrics than {base_path}; "
            "expected the same, they are compared in pairs"
        )


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
