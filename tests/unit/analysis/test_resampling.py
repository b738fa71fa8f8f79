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
    seed_interval,
    seed_p_value,
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
    trials = 300
    for gain in (0.0, 0.1):
        covered = found = 0
        for _ in range(trials):
            base, tuned = simulated_pair(rng, gain, seeds)
            result = compare(mean_of(base), [mean_of(t) for t in tuned], weights, swaps)
            low, high = seed_interval(result.resampled, result.seeds)
            covered += low <= gain <= high
            difference = result.tuned - result.base
            found += max(swap_p_value(difference, result.swapped), seed_p_value(result.resampled, result.seeds)) < 0.05
        assert 0.915 <= covered / trials <= widest
        if gain:
            assert found / trials > 0.6
        else:
            assert found / trials < 0.08


@pytest.mark.parametrize("seeds", [2, 3, 4])
@pytest.mark.parametrize("noise", [0.0, 0.5, 1.0])
def test_few_seeds_that_differ_are_covered_and_the_test_keeps_its_size(seeds: int, noise: float) -> None:
    """The seed mean has variance 1 from training and noise^2 from the questions, whose draws are known."""
    rng = np.random.default_rng(4)
    trials, covered, agreed = 1500, 0, 0
    spread = np.linspace(-1.0, 1.0, 101)
    spread /= spread.std()
    for trial in range(trials):
        values = rng.normal(0, noise) + rng.normal(0, np.sqrt(seeds), seeds)
        resampled = values.mean() + noise * spread
        low, high = seed_interval(resampled, values)
        covered += low <= 0 <= high
        if trial < 50:
            agreed += (low <= 0 <= high) == (seed_p_value(resampled, values) >= 0.05)
    assert agreed == 50
    assert 0.935 <= covered / trials <= (0.965 if noise == 0 else 0.99)


def test_seed_interval_by_hand() -> None:
    """Seeds 1, 2, 6: s^2 / 3 is 7 / 3; alone, and with questions of variance 4."""
    seeds = np.array([1.0, 2.0, 6.0])
    half = 4.302653 * math.sqrt(7 / 3)
    assert seed_interval(np.full(9, 3.0), seeds) == pytest.approx((3 - half, 3 + half))
    # t = 1.96396 with two degrees of freedom: p = 1 - t / sqrt(2 + t^2)
    assert seed_p_value(np.full(9, 3.0), seeds) == pytest.approx(1 - 1.963961 / math.sqrt(2 + 1.963961**2))
    low, high = seed_interval(np.array([1.0, 5.0]), seeds)
    assert (high - low) / 2 == pytest.approx(math.hypot(half, 1.959964 * 2))
    # one seed: normal test of 1 with standard deviation 2
    assert seed_p_value(np.array([1.0, 5.0]), seeds[:1]) == pytest.approx(math.erfc(0.5 / math.sqrt(2)))
    assert seed_p_value(np.array([3.0, 3.0]), np.full(2, 3.0)) < 1e-8


def test_simulated_runs_whose_seeds_dominate_are_covered() -> None:
    """Each seed shifts all of its answers: 400 clusters of 3 questions, seeds' gains 0.08 apart, none on average."""
    rng = np.random.default_rng(6)
    weights, swaps = bootstrap_weights(400, 200, 0, "b"), swap_masks(400, 200, 0, "b")
    covered = found = 0
    trials = 150
    for _ in range(trials):
        difficulty = rng.uniform(0.35, 0.65, (400, 3))
        base = (rng.random((400, 3)) < difficulty).astype(float)
        tuned = [(rng.random((400, 3)) < difficulty + rng.normal(0, 0.08)).astype(float) for _ in range(3)]
        result = compare(mean_of(base), [mean_of(one) for one in tuned], weights, swaps)
        low, high = seed_interval(result.resampled, result.seeds)
        covered += low <= 0 <= high
        tests = swap_p_value(result.tuned - result.base, result.swapped), seed_p_value(result.resampled, result.seeds)
        found += max(tests) < 0.05
    assert covered / trials >= 0.91
    assert found / trials <= 0.09


def test_swap_test_is_the_exact_sign_test_where_questions_are_few() -> None:
    """Five of 200 questions changed, all for the better: two-sided sign test, 2 * 0.5^5."""
    base, tuned = np.zeros((200, 1)), (np.arange(200) < 5)[:, None].astype(float)
    swaps = swap_masks(200, 20000, 0, "b")
    result = compare(mean_of(base), [mean_of(tuned)], swaps, swaps)
    assert swap_p_value(result.tuned - result.base, result.swapped) == pytest.approx(2 * 0.5**5, abs=0.006)


def test_equal_checkpoints_have_p_one() -> None:
    assert seed_p_value(np.zeros(10), np.zeros(3)) == 1.0
    assert swap_p_value(0.0, np.zeros(10)) == 1.0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
