"""Gather every evaluation of a study into one table of scores with intervals.

Comes in: folders of stage evaluation (scores.json, responses.parquet). Goes out: analysis/scores.csv, a row a
checkpoint, evaluation and score; columns in `COLUMNS`.

- benchmark: a benchmark, or `image` / `video`: the suite's score, the unweighted mean of its benchmarks' main
  metrics, each as percent of its maximum (metric `normalised_mean`).
- category: `all`, or one of the benchmark's categories (or tasks), scored by the main metric on its questions; also the
  categories of an upper level that the benchmark's settings ask for (MMStar's `coarse perception` ...).
- metric: within a benchmark the first to appear is its main metric.
- recipe, allocation: `base` for the base model, whose seed is empty. blind: the base model shown a grey image.
- view: how videos were shown, where not by the defaults (`integer_rate`, `total-802816`); empty for images.
- value, maximum, ci_low, ci_high: in the metric's own unit. The interval is the 95 percent percentile interval over
  `--resamples` draws of clusters (images or videos), the metric computed again on each; empty where there is but one.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.analysis import command
from workflow_scripts.analysis.aggregates import Statistic
from workflow_scripts.analysis.evaluations import SUITE_METRIC, Evaluation, read_evaluations, suite_mean
from workflow_scripts.analysis.resampling import bootstrap_weights, interval
from workflow_scripts.settings import InputError
from workflow_scripts.settings.cli import progress, run

COLUMNS = (
    "recipe", "model", "family", "size_b", "allocation", "seed", "suite", "eval_frames", "benchmark", "category",
    "metric", "value", "maximum", "n_questions", "ci_low", "ci_high", "blind",
    "view",
)  # fmt: skip


def main() -> None:
    arguments = command.parser(__doc__).parse_args()
    evaluations = read_evaluations(arguments.evaluations)
    table = scores(evaluations, arguments.resamples, arguments.seed)
    command.write(table, arguments.output)


def scores(evaluations: Sequence[Evaluation], resamples: int, seed: int) -> pd.DataFrame:
    """All rows of the table, in the order of the evaluations."""
    rows: list[dict[str, Any]] = []
    with progress(len(evaluations), "scores") as advance:
        for evaluation in evaluations:
            rows.extend(_rows(evaluation, resamples, seed))
            advance()
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"seed": "Int64"})


def _rows(evaluation: Evaluation, resamples: int, seed: int) -> Iterator[dict[str, Any]]:
    checkpoint = evaluation.checkpoint
    same = {
        "recipe": checkpoint.recipe, "model": checkpoint.model, "family": evaluation.family,
        "size_b": evaluation.size_b, "allocation": checkpoint.allocation, "seed": checkpoint.seed,
        "suite": evaluation.suite, "eval_frames": evaluation.eval_frames, "blind": checkpoint.blind,
        "view": checkpoint.view,
    }  # fmt: skip
    mains: list[tuple[Statistic, np.ndarray, float, int]] = []
    for name, benchmark in evaluation.benchmarks.items():
        weights = bootstrap_weights(len(benchmark.clusters), resamples, seed, name)
        entries: list[tuple[str, str, Statistic, float, int]] = [
            ("all", metric, statistic, maximum, n) for metric, (statistic, maximum, n) in benchmark.metrics.items()
        ]
        entries += [(category, *entry) for category, entry in benchmark.categories.items()]
        for category, metric, statistic, maximum, n in entries:
            draws = statistic.resampled(weights)
            if category == "all" and metric == benchmark.main:
                mains.append((statistic, draws, maximum, n))
            low, high = _within(interval(draws, statistic.n_clusters, maximum / n), maximum)
            yield same | {
                "benchmark": name, "category": category, "metric": metric, "value": statistic.value(),
                "maximum": maximum, "n_questions": n, "ci_low": low, "ci_high": high,
            }  # fmt: skip
    maxima = [maximum for _, _, maximum, _ in mains]
    clusters = sum(statistic.n_clusters for statistic, _, _, _ in mains)
    low, high = interval(suite_mean([draws for _, draws, _, _ in mains], maxima), clusters)
    yield same | {
        "benchmark": evaluation.suite, "category": "all", "metric": SUITE_METRIC,
        "value": float(suite_mean([np.asarray(one.value()) for one, _, _, _ in mains], maxima)), "maximum": 100.0,
        "n_questions": sum(n for _, _, _, n in mains), "ci_low": low, "ci_high": high,
    }  # fmt: skip


def _within(ends: tuple[float, float], maximum: float) -> tuple[float, float]:
    """No score is below 0 or above the maximum."""
    return max(ends[0], 0.0), min(ends[1], maximum)


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read scores.csv or deltas.csv, checking that it has its columns."""
    if not path.is_file():
        raise InputError(f"file {path}: not there; expected a table of stage analysis")
    table = pd.read_csv(path, dtype={"seed": "Int64", "view": str}, keep_default_na=False, na_values=[""])
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise InputError(f"file {path}: column {missing[0]} is missing; expected {', '.join(columns)}")
    return table.fillna({"view": ""})


def read_scores_table(path: Path) -> pd.DataFrame:
    """Read scores.csv; see the module's docstring for its columns."""
    return read_table(path, COLUMNS)


if __name__ == "__main__":
    run(main)
