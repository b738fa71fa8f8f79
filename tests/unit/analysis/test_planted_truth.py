"""The statistics against simulated checkpoints whose true difference is known.

Every trial draws the questions anew from a population; its interval and its p value come from the code of `deltas`. The
rates of many trials must be those stated, within what a binomial count of trials allows (three standard errors).
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from workflow_scripts.analysis.aggregates import Statistic, statistic
from workflow_scripts.analysis.comparison import Comparison, averaged, compare
from workflow_scripts.analysis.resampling import (
    bootstrap_weights,
    holm,
    interval,
    minimal_detectable,
    seed_interval,
    seed_p_value,
    swap_masks,
)

Array = NDArray[np.float64]
pytestmark = pytest.mark.slow
RESAMPLES = 500
EASIEST, HARDEST = 0.25, 0.6
MOMENTS = (EASIEST + HARDEST) / 2, (HARDEST - EASIEST) ** 2 / 12  # of a cluster's probability of a right answer


def allowed(rate: float, trials: int) -> float:
    return 3 * math.sqrt(rate * (1 - rate) / trials)


@dataclass(frozen=True)
class Population:
    """Trials of one benchmark: clusters (and their difficulty) are drawn anew in each.

    rows: cluster, category, question_id, and the right answers; right [n] from the probabilities of each cluster.
    """

    metric: str
    maximum: float
    trials: int
    clusters: int
    rows: pd.DataFrame
    difficulty: Array  # [rows]

    @property
    def names(self) -> list[str]:
        return [f"{i:06d}" for i in range(self.trials * self.clusters)]

    def checkpoint(self, rng: np.random.Generator, shift: Array) -> list[Statistic]:
        """One checkpoint in each trial, whose probabilities of a right answer are shifted by shift [trials]."""
        trial = self.rows["cluster"].astype(int).to_numpy() // self.clusters
        right = rng.random(len(self.rows)) < self.difficulty + shift[trial]
        answer = self.rows["answer"].to_numpy()
        said = np.where(right, answer, np.where(answer == "yes", "no", "yes"))
        rows = self.rows.assign(score=right.astype(float), response=said)
        whole = statistic(self.metric, self.maximum, rows, self.names)
        return [
            Statistic(sums, whole.combine, present)
            for sums, present in zip(
                np.split(whole.sums, self.trials), np.split(whole.present, self.trials), strict=True
            )
        ]


MANY = 10**7
UNIT = np.linspace(-1.0, 1.0, 101) / np.linspace(-1.0, 1.0, 101).std()
SUITE = {"mean": 40, "mme": 30, "f1": 60}


def population(rng: np.random.Generator, kind: str, trials: int, clusters: int) -> Population:
    """`mean`: one to nine questions a cluster; `mme`: a pair, two categories; `f1`: four, the answer to one is yes."""
    n = trials * clusters
    difficulty = rng.uniform(EASIEST, HARDEST, n)
    each = {"mean": rng.integers(1, 10, n), "mme": np.full(n, 2), "f1": np.full(n, 4)}[kind]
    cluster = np.repeat(np.arange(n), each)
    rows = pd.DataFrame({"cluster": [f"{i:06d}" for i in cluster], "question_id": np.arange(len(cluster)).astype(str)})
    rows["category"] = np.where(cluster % 2, "count", "color")
    rows["answer"] = np.where(np.arange(len(cluster)) % (4 if kind == "f1" else 2), "no", "yes")
    metric, maximum = {"mean": ("mmmu_acc", 1), "mme": ("mme_perception_score", 400), "f1": ("pope_f1_score", 1)}[kind]
    return Population(metric, maximum, trials, clusters, rows, difficulty[cluster])


def truth(kind: str, gain: float, spread: float) -> float:
    """The expected score where probabilities of a right answer are shifted by gain, and by a seed's normal deviate of
    standard deviation spread."""
    mean, variance = MOMENTS[0] + gain, MOMENTS[1] + spread**2
    if kind == "mean":
        return mean
    if kind == "mme":
        # by category: accuracy, and both of two answers right that are independent within a cluster
        return 2 * 100 * (mean + mean**2 + variance)
    # right with probability p on every answer, a quarter of them yes: 2 p / (2 p + 3 (1 - p) + (1 - p))
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    p = mean + spread * nodes
    return float(weights @ (p / (2 - p)) / weights.sum())


def trials_of(
    kind: str, seeds: int, gain: float, spread: float, trials: int, clusters: int = 50, seed: int = 0
) -> list[Comparison]:
    rng = np.random.default_rng([seed, seeds, round(1000 * gain)])
    of = population(rng, kind, trials, clusters)
    base = of.checkpoint(rng, np.zeros(trials))
    tuned = [of.checkpoint(rng, gain + spread * rng.normal(size=trials)) for _ in range(seeds)]
    chance = bootstrap_weights(clusters, RESAMPLES, 0, kind), swap_masks(clusters, RESAMPLES, 0, kind)
    return [compare([base[t]], [one[t] for one in tuned], *chance, 0.0) for t in range(trials)]


@pytest.mark.parametrize("kind", ["mean", "mme", "f1"])
@pytest.mark.parametrize(
    ("seeds", "gain", "trials"), [(1, 0.05, 700), (1, 0.2, 500), (2, 0.1, 300), (3, 0.1, 300), (5, 0.05, 300)]
)
def test_a_planted_difference_is_covered(kind: str, seeds: int, gain: float, trials: int) -> None:
    """With seeds, answers that differ question by question count at both levels: the interval errs on the wide side."""
    spread = 0.04 if seeds > 1 else 0.0
    planted = truth(kind, gain, spread) - truth(kind, 0, 0)
    found = [one.measured() for one in trials_of(kind, seeds, gain, spread, trials)]
    covered = np.mean([one["ci_low"] <= planted <= one["ci_high"] for one in found])
    assert covered >= 0.95 - allowed(0.95, trials)
    if seeds == 1:
        assert covered <= 0.95 + allowed(0.95, trials)
    assert np.mean([one["delta"] for one in found]) == pytest.approx(planted, rel=0.1)


@pytest.mark.parametrize("kind", ["mean", "mme", "f1"])
@pytest.mark.parametrize(("seeds", "spread"), [(1, 0.0), (2, 0.03), (3, 0.0), (3, 0.03), (5, 0.03)])
def test_nothing_is_found_between_equal_checkpoints(kind: str, seeds: int, spread: float) -> None:
    trials = 400
    found = [one.measured()["p_value"] < 0.05 for one in trials_of(kind, seeds, 0.0, spread, trials, seed=1)]
    assert np.mean(found) <= 0.05 + allowed(0.05, trials)


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_mean_of_a_suite_is_covered(seeds: int) -> None:
    """Three benchmarks of different sizes and aggregates, each as percent of its maximum."""
    trials = 300
    parts = {kind: trials_of(kind, seeds, 0.1, 0.0, trials, clusters) for kind, clusters in SUITE.items()}
    maxima = {"mean": 1.0, "mme": 400.0, "f1": 1.0}
    planted = np.mean([100 * (truth(kind, 0.1, 0) - truth(kind, 0, 0)) / maxima[kind] for kind in SUITE])
    covered = 0
    for trial in range(trials):
        one = averaged([parts[kind][trial] for kind in SUITE], [maxima[kind] for kind in SUITE])
        assert one.clusters == sum(SUITE.values())
        covered += one.measured()["ci_low"] <= planted <= one.measured()["ci_high"]
    assert covered / trials >= 0.95 - allowed(0.95, trials)


def test_few_clusters_of_unequal_size_are_covered() -> None:
    """Thirteen videos, as of some categories; plain percentiles would cover 0.91."""
    trials = 1500
    rng = np.random.default_rng(3)
    of = population(rng, "mean", trials, 13)
    base, tuned = (of.checkpoint(rng, np.full(trials, gain)) for gain in (0.0, 0.1))
    chance = bootstrap_weights(13, 1000, 0, "few"), swap_masks(13, 1000, 0, "few")
    found = [compare([a], [b], *chance, 0.0).measured() for a, b in zip(base, tuned, strict=True)]
    assert np.mean([one["ci_low"] <= 0.1 <= one["ci_high"] for one in found]) == pytest.approx(
        0.95, abs=allowed(0.95, trials)
    )
    assert all(one["n_clusters"] == 13 for one in found)


def test_questions_of_a_cluster_are_not_taken_for_independent() -> None:
    """Ten questions a video that share its difficulty: 40 videos, one checkpoint's score, true mean 0.5."""
    rng = np.random.default_rng(0)
    trials, covered = 300, {"clusters": 0, "questions": 0}
    weights = {40: bootstrap_weights(40, 400, 0, "c"), 400: bootstrap_weights(400, 400, 0, "q")}
    for _ in range(trials):
        right = (rng.random((40, 10)) < rng.beta(1, 1, 40)[:, None]).astype(float)
        for name, data in (("clusters", right), ("questions", right.reshape(-1, 1))):
            means = weights[len(data)] @ data.mean(axis=1) / len(data)
            low, high = interval(means, len(data))
            covered[name] += low <= 0.5 <= high
    assert covered["clusters"] / trials == pytest.approx(0.95, abs=allowed(0.95, trials))
    assert covered["questions"] / trials < 0.75


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0])
def test_few_seeds_that_differ_are_covered_and_the_test_keeps_its_size(seeds: int, noise: float) -> None:
    """The seed mean has variance 1 from training and noise^2 from the questions, whose draws are known."""
    rng = np.random.default_rng(4)
    trials, covered = 1500, 0
    for trial in range(trials):
        values = rng.normal(0, noise) + rng.normal(0, np.sqrt(seeds), seeds)
        chance = values.mean() + noise * UNIT, values, MANY
        low, high = seed_interval(*chance)
        covered += low <= 0 <= high
        if trial < 50:
            assert (low <= 0 <= high) == (seed_p_value(*chance) >= 0.05)
    assert 0.95 - allowed(0.95, trials) <= covered / trials <= (0.95 + allowed(0.95, trials) if noise == 0 else 0.99)


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize("noise", [0.0, 0.5, 2.0])
def test_seeds_find_the_minimal_detectable_difference_four_times_in_five(seeds: int, noise: float) -> None:
    """As above; the difference is that of seeds that vary as they do on average, so that s is what it is."""
    rng = np.random.default_rng(5)
    trials, found = 1500, 0
    typical = np.linspace(-1, 1, seeds)
    planted = minimal_detectable(noise * UNIT, typical / typical.std(ddof=1) * math.sqrt(seeds), MANY)
    for _ in range(trials):
        values = planted + rng.normal(0, noise) + rng.normal(0, np.sqrt(seeds), seeds)
        low, high = seed_interval(values.mean() + noise * UNIT, values, MANY)
        found += not low <= 0 <= high
    assert 0.8 - allowed(0.8, trials) <= found / trials <= 0.82 + allowed(0.8, trials)


@pytest.mark.parametrize("kind", ["mean", "mme", "f1"])
def test_a_checkpoint_better_by_the_minimal_detectable_difference_is_found_four_times_in_five(kind: str) -> None:
    trials, clusters, gain = 400, 100, 0.1
    gains = np.linspace(0, 0.3, 301)
    changes = [truth(kind, g, 0) - truth(kind, 0, 0) for g in gains]
    for turn in range(2):
        # the spread of the answers depends a little on how good the checkpoint is
        reported = [one.measured()["mdd"] for one in trials_of(kind, 1, gain, 0.0, 200, clusters, seed=turn)]
        gain = float(np.interp(np.mean(reported), changes, gains))
    found = [one.measured() for one in trials_of(kind, 1, gain, 0.0, trials, clusters, seed=8)]
    beyond = np.mean([not one["ci_low"] <= 0 <= one["ci_high"] for one in found])
    assert beyond == pytest.approx(0.8, abs=0.01 + allowed(0.8, trials))
    assert beyond - 0.06 < np.mean([one["p_value"] < 0.05 for one in found]) <= beyond + 0.01


@pytest.mark.parametrize("gain", [0.0, 0.2])
def test_holm_keeps_the_error_of_a_family_of_allocations_and_benchmarks(gain: float) -> None:
    """Four allocations on three benchmarks that share their base; all are equal, or the first benchmark has changed."""
    trials, clusters = 300, 60
    rng = np.random.default_rng(9)
    columns = []
    for kind, change in (("mean", gain), ("mme", 0.0), ("f1", 0.0)):
        of = population(rng, kind, trials, clusters)
        base = of.checkpoint(rng, np.zeros(trials))
        chance = bootstrap_weights(clusters, RESAMPLES, 0, kind), swap_masks(clusters, RESAMPLES, 0, kind)
        for _ in range(4):
            tuned = of.checkpoint(rng, np.full(trials, change))
            pairs = zip(base, tuned, strict=True)
            columns.append([compare([a], [b], *chance, 0.0).measured()["p_value"] for a, b in pairs])
    p_values = np.array(columns).T
    nulls = slice(4, None) if gain else slice(None)
    adjusted = np.array([holm(row) for row in p_values])
    assert np.mean((adjusted[:, nulls] < 0.05).any(axis=1)) <= 0.05 + allowed(0.05, trials)
    assert np.mean((p_values[:, nulls] < 0.05).any(axis=1)) > 0.15
    if gain:
        assert np.mean(adjusted[:, :4] < 0.05) > 0.6
