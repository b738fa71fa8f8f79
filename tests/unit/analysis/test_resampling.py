"""Intervals and tests against closed forms and against planted truth."""

import math

import numpy as np
import pytest

from workflow_scripts.analysis.aggregates import Statistic
from workflow_scripts.analysis.deltas import compare
from workflow_scripts.analysis.resampling import (
    bootstrap_weights,
    holm,
    interval,
    mean_over_seeds,
    normal_p_value,
    seed_draws,
    swap_masks,
    swap_p_value,
)


def mean_of(scores: np.ndarray) -> Statistic:
    """scores [clusters, questions of each]: their mean as a function of cluster sums."""
    sums = np.stack([scores.sum(axis=1), np.full(len(scores), scores.shape[1])], axis=1).astype(float)
    return Statistic(sums, lambda s: s[..., 0] / s[..., 1])


def test_weights_draw_as_many_clusters_as_there_are() -> None:
    weights = bootstrap_weights(7, 50, seed=1, benchmark="x")
    assert weights.shape == (50, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert (weights == bootstrap_weights(7, 50, seed=1, benchmark="x")).all()
    assert (weights != bootstrap_weights(7, 50, seed=1, benchmark="y")).any()


def test_interval_of_a_mean_is_the_binomial_one() -> None:
    """On 0/1 data the resampled count is exactly Binomial(n, k/n)."""
    n, right = 200, 140
    scores = (np.arange(n) < right)[:, None]
    low, high = interval(mean_of(scores).resampled(bootstrap_weights(n, 20000, 0, "b")))
    pmf = np.exp(
        [
            math.lgamma(n + 1)
            - math.lgamma(k + 1)
            - math.lgamma(n - k + 1)
            + k * math.log(0.7)
            + (n - k) * math.log(0.3)
            for k in range(n + 1)
        ]
    )
    exact = [float(np.searchsorted(np.cumsum(pmf), q)) / n for q in (0.025, 0.975)]
    assert [low, high] == pytest.approx(exact, abs=0.0051)
    half = 1.96 * math.sqrt(0.7 * 0.3 / n)
    assert [low, high] == pytest.approx([0.7 - half, 0.7 + half], abs=0.006)


def test_clustered_interval_covers_and_the_unclustered_one_does_not() -> None:
    """Ten questions a video that share the video's difficulty: 40 videos, true mean 0.5."""
    rng = np.random.default_rng(0)
    covered = {"clusters": 0, "questions": 0}
    weights = {40: bootstrap_weights(40, 400, 0, "c"), 400: bootstrap_weights(400, 400, 0, "q")}
    trials = 300
    for _ in range(trials):
        scores = (rng.random((40, 10)) < rng.beta(1, 1, 40)[:, None]).astype(float)
        for name, data in (("clusters", scores), ("questions", scores.reshape(-1, 1))):
            low, high = interval(mean_of(data).resampled(weights[len(data)]))
            covered[name] += low <= 0.5 <= high
    assert 0.91 <= covered["clusters"] / trials <= 0.98
    assert covered["questions"] / trials < 0.75


def simulated_pair(
    rng: np.random.Generator, gain: float, seeds: int = 1, clusters: int = 100
) -> tuple[np.ndarray, list[np.ndarray]]:
    """A base and tuned models right with probability p and p + gain on questions of common difficulty."""
    difficulty = rng.uniform(0.2, 0.8 - abs(gain), (clusters, 3))
    base = (rng.random((clusters, 3)) < difficulty).astype(float)
    return base, [(rng.random((clusters, 3)) < difficulty + gain).astype(float) for _ in range(seeds)]


@pytest.mark.parametrize(("seeds", "widest"), [(1, 0.98), (3, 1.0)])
def test_planted_difference_is_covered_and_nothing_is_found_in_a_a(seeds: int, widest: float) -> None:
    """With seeds, answers that differ question by question count at both levels: the interval errs on the wide side."""
    rng = np.random.default_rng(2)
    weights, swaps = bootstrap_weights(100, 400, 0, "b"), swap_masks(100, 400, 0, "b")
    draws = seed_draws(seeds, 400, 0)
    trials = 300
    for gain in (0.0, 0.1):
        covered = found = 0
        for _ in range(trials):
            base, tuned = simulated_pair(rng, gain, seeds)
            result = compare(mean_of(base), [mean_of(t) for t in tuned], weights, swaps, draws)
            low, high = interval(result.resampled)
            covered += low <= gain <= high
            difference = result.tuned - result.base
            found += max(swap_p_value(difference, result.swapped), normal_p_value(difference, result.resampled)) < 0.05
        assert 0.915 <= covered / trials <= widest
        if gain:
            assert found / trials > 0.6
        else:
            assert found / trials < 0.08


def test_seeds_widen_the_interval_without_bias() -> None:
    """Seeds differ, questions do not matter: the variance of the mean of three must be s^2 / 3."""
    rng = np.random.default_rng(4)
    draws = seed_draws(3, 4000, 0)
    ratios = []
    for _ in range(200):
        means = rng.normal(0, 1, 3)
        resampled = mean_over_seeds(np.repeat(means[:, None], 4000, axis=1), draws)
        ratios.append(np.var(resampled) / (np.var(means, ddof=1) / 3))
    assert np.mean(ratios) == pytest.approx(1, abs=0.02)


def test_swap_test_is_the_exact_sign_test_where_questions_are_few() -> None:
    """Five of 200 questions changed, all for the better: two-sided sign test, 2 * 0.5^5."""
    base, tuned = np.zeros((200, 1)), (np.arange(200) < 5)[:, None].astype(float)
    swaps = swap_masks(200, 20000, 0, "b")
    result = compare(mean_of(base), [mean_of(tuned)], swaps, swaps, seed_draws(1, 20000, 0))
    assert swap_p_value(result.tuned - result.base, result.swapped) == pytest.approx(2 * 0.5**5, abs=0.006)


def test_equal_checkpoints_have_p_one() -> None:
    assert normal_p_value(0.0, np.zeros(10)) == 1.0
    assert swap_p_value(0.0, np.zeros(10)) == 1.0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
