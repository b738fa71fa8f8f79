"""Two checkpoints on the same questions: the difference, and what chance does to it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workflow_scripts.analysis.aggregates import Statistic
from workflow_scripts.analysis.evaluations import SUITE_METRIC, Evaluation, suite_mean
from workflow_scripts.analysis.resampling import (
    bootstrap_weights,
    minimal_detectable,
    seed_interval,
    seed_p_value,
    standard_errors,
    swap_masks,
    swap_p_value,
)
from workflow_scripts.settings import InputError

MEASURED = ("delta", "ci_low", "ci_high", "p_value", "n_seeds", "n_clusters", "se_questions", "se_seeds", "mdd")


@dataclass(frozen=True)
class Comparison:
    """A difference and what chance does to it, in the unit of the scores.

    before, after: the scores, averaged over seeds. seeds: each seed's difference, [seeds]. resampled, swapped: the mean
    difference of the seeds on each draw of clusters and under each swap of answers, [resamples]. clusters: how many the
    questions are on. grain: what one answer is worth.
    """

    before: float
    after: float
    seeds: np.ndarray
    resampled: np.ndarray
    swapped: np.ndarray
    clusters: int
    grain: float

    def measured(self) -> dict[str, Any]:
        """The columns `MEASURED` of a table: the difference, its 95 percent interval, p value, standard errors and
        minimal detectable difference; see `resampling`."""
        chance = self.resampled, self.seeds, self.clusters, self.grain
        low, high = seed_interval(*chance)
        of_questions, of_seeds = standard_errors(*chance)
        difference = self.after - self.before
        return {
            "delta": difference, "ci_low": low, "ci_high": high,
            "p_value": max(swap_p_value(difference, self.swapped), seed_p_value(*chance)),
            "n_seeds": len(self.seeds), "n_clusters": self.clusters,
            "se_questions": of_questions, "se_seeds": of_seeds, "mdd": minimal_detectable(*chance),
        }  # fmt: skip


def compare(
    before: Sequence[Statistic], after: Sequence[Statistic], weights: np.ndarray, swaps: np.ndarray, grain: float
) -> Comparison:
    """Compare the seeds of a run, `after`, with one checkpoint or with as many seeds of another run.

    weights, swaps: [resamples, clusters], how often each of the clusters, the same for all, is drawn, and whether its
    answers change sides. grain: what one answer is worth.
    """
    firsts = list(before) * len(after) if len(before) == 1 else list(before)
    resampled, swapped = np.zeros(len(weights)), np.zeros(len(swaps))
    for first, second in zip(firsts, after, strict=True):
        resampled += (second.resampled(weights) - first.resampled(weights)) / len(after)
        moved = swaps @ (second.sums - first.sums)
        ours = second.combine(second.sums.sum(axis=0) - moved)
        theirs = second.combine(first.sums.sum(axis=0) + moved)
        swapped += (ours - theirs) / len(after)
    earlier, later = (np.array([one.value() for one in side]) for side in (firsts, after))
    scores = float(earlier.mean()), float(later.mean())
    return Comparison(*scores, later - earlier, resampled, swapped, after[0].n_clusters, grain)


def averaged(parts: Sequence[Comparison], maxima: Sequence[float]) -> Comparison:
    """The comparison of normalised means (percent): of benchmarks or categories, each with its metric's maximum."""

    def mean(values: Sequence[Any]) -> Any:
        return suite_mean([np.asarray(value) for value in values], maxima)

    return Comparison(
        float(mean([part.before for part in parts])),
        float(mean([part.after for part in parts])),
        mean([part.seeds for part in parts]),
        mean([part.resampled for part in parts]),
        mean([part.swapped for part in parts]),
        sum(part.clusters for part in parts),
        float(mean([part.grain for part in parts])) / len(parts),
    )


def compare_evaluations(
    before: Sequence[Evaluation], after: Sequence[Evaluation], resamples: int, seed: int
) -> Iterator[dict[str, Any]]:
    """A row of a table for every metric of the benchmarks, then one for the suite's score: benchmark, metric, maximum,
    n_questions, before, after and the columns `MEASURED`. Arguments as of `compare`."""
    for other in [*before[1:], *after]:
        check_alike(before[0], other)
    mains, maxima, questions = [], [], 0
    for name, benchmark in before[0].benchmarks.items():
        size = len(benchmark.clusters), resamples, seed, name
        chance = bootstrap_weights(*size), swap_masks(*size)
        for metric, (_, maximum, n) in benchmark.metrics.items():
            firsts, seconds = ([one.benchmarks[name].metrics[metric][0] for one in side] for side in (before, after))
            found = compare(firsts, seconds, *chance, maximum / n)
            yield _row(name, metric, maximum, n, found)
            if metric == benchmark.main:
                mains.append(found)
                maxima.append(maximum)
                questions += n
    yield _row(before[0].suite, SUITE_METRIC, 100.0, questions, averaged(mains, maxima))


def _row(benchmark: str, metric: str, maximum: float, questions: int, found: Comparison) -> dict[str, Any]:
    named = {"benchmark": benchmark, "metric": metric, "maximum": maximum, "n_questions": questions}
    return named | {"before": found.before, "after": found.after} | found.measured()


def check_alike(first: Evaluation, second: Evaluation) -> None:
    """Raise InputError where two evaluations do not have the same benchmarks with the same questions and metrics."""
    if set(first.benchmarks) != set(second.benchmarks):
        name = sorted(set(first.benchmarks) ^ set(second.benchmarks))[0]
        raise InputError(f"evaluation folder {second.path}: benchmark {name} is not in both it and {first.path}")
    for name, benchmark in first.benchmarks.items():
        keys = ["task", "question_id", "cluster", "category", "answer"]
        ours, theirs = (
            one.questions[keys].astype(str).sort_values(keys).reset_index(drop=True)
            for one in (benchmark, second.benchmarks[name])
        )
        if not ours.equals(theirs) or set(benchmark.metrics) != set(second.benchmarks[name].metrics):
            raise InputError(
                f"evaluation folder {second.path}: benchmark {name} has other questions or metrics than {first.path}; "
                "expected the same, they are compared in pairs"
            )
