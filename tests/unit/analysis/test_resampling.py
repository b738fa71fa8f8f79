"""Intervals and tests against closed forms."""

import math

import numpy as np
import pytest

from workflow_scripts.analysis.aggregates import Statistic
from workflow_scripts.analysis.comparison import compare
from workflow_scripts.analysis.resampling import (
    bootstrap_weights,
    holm,
    interval,
    minimal_detectable,
    seed_interval,
    seed_p_value,
    standard_errors,
    swap_masks,
    swap_p_value,
)


def mean_of(scores: np.ndarray) -> Statistic:
    """scores [clusters, questions of each]: their mean as a function of cluster sums."""
    sums = np.stack([scores.sum(axis=1), np.full(len(scores), scores.shape[1])], axis=1).astype(float)
    return Statistic(sums, lambda s: s[..., 0] / s[..., 1], np.ones(len(scores), bool))


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
    low, high = interval(mean_of(scores).resampled(bootstrap_weights(n, 20000, 0, "b")), n)
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


def test_the_percentiles_are_those_of_students_t() -> None:
    """Five clusters: t is 2.776 with four degrees of freedom, 3.104 standard errors of the draws."""
    values = np.linspace(0, 1, 200001)
    tail = 0.5 * math.erfc(2.776445 * math.sqrt(5 / 4) / math.sqrt(2))
    assert interval(values, 5) == pytest.approx((tail, 1 - tail), abs=1e-5)
    assert interval(values, 10**6) == pytest.approx((0.025, 0.975), abs=1e-5)


def test_one_cluster_says_nothing() -> None:
    alone = np.full(9, 3.0), np.full(2, 3.0), 1
    assert all(math.isnan(end) for end in (*interval(alone[0], 1), *seed_interval(*alone), minimal_detectable(*alone)))
    assert seed_p_value(*alone) == 1.0


def test_seed_interval_by_hand() -> None:
    """Seeds 1, 2, 6: s^2 / 3 is 7 / 3; alone, and with questions of variance 4 or, on five clusters, 5."""
    seeds, many = np.array([1.0, 2.0, 6.0]), 10**9
    half = 4.302653 * math.sqrt(7 / 3)
    assert seed_interval(np.full(9, 3.0), seeds, many) == pytest.approx((3 - half, 3 + half))
    # t = 1.96396 with two degrees of freedom: p = 1 - t / sqrt(2 + t^2)
    assert seed_p_value(np.full(9, 3.0), seeds, many) == pytest.approx(1 - 1.963961 / math.sqrt(2 + 1.963961**2))
    low, high = seed_interval(np.array([1.0, 5.0]), seeds, many)
    assert (high - low) / 2 == pytest.approx(math.hypot(half, 1.959964 * 2))
    low, high = seed_interval(np.array([1.0, 5.0]), seeds, 5)
    assert (high - low) / 2 == pytest.approx(math.hypot(half, 2.776445 * math.sqrt(5)))
    # one seed: normal test of 1 with standard deviation 2
    assert seed_p_value(np.array([1.0, 5.0]), seeds[:1], many) == pytest.approx(math.erfc(0.5 / math.sqrt(2)))
    assert seed_p_value(np.array([3.0, 3.0]), np.full(2, 3.0), many) < 1e-8


def test_minimal_detectable_difference_by_hand() -> None:
    """One seed and many clusters: 1.960 + 0.842 standard errors, the textbook's 2.80."""
    many = 10**7
    assert minimal_detectable(np.array([-2.0, 2.0]), np.zeros(1), many) == pytest.approx(2 * 2.80159, rel=1e-4)
    # two seeds 2 apart, s = 1 of their mean: noncentrality 16.334 with one degree of freedom
    assert minimal_detectable(np.zeros(5), np.array([-1.0, 1.0]), many) == pytest.approx(16.334, rel=1e-4)
    assert minimal_detectable(np.array([-2.0, 2.0]), np.array([-1.0, 1.0]), many) == pytest.approx(
        math.hypot(2 * 2.80159, 16.334), rel=1e-4
    )


def test_answers_that_hardly_differ_do_not_make_a_change_impossible() -> None:
    """100 answers, none or one of which changed: a standard error of one answer, not 0; six changed can be found."""
    none = np.zeros(500), np.zeros(1), 10**7
    assert interval(none[0], none[2], 0.01) == pytest.approx((-0.0196, 0.0196), abs=1e-5)
    assert standard_errors(*none, 0.01)[0] == pytest.approx(0.01)
    assert minimal_detectable(*none, 0.01) == pytest.approx(0.06)
    base, tuned = np.zeros((100, 1)), (np.arange(100) < 6)[:, None].astype(float)
    swaps = swap_masks(100, 20000, 1, "b")
    found = compare([mean_of(base)], [mean_of(tuned)], swaps, swaps, 0.01)
    assert swap_p_value(0.06, found.swapped) == pytest.approx(2 * 0.5**6, abs=0.006)
    seeds = np.array([0.0, 0.0, 0.0])
    assert seed_interval(none[0], seeds, none[2], 0.01) == pytest.approx((-0.0196, 0.0196), abs=1e-5)


def test_standard_errors_are_those_of_questions_and_of_seeds() -> None:
    assert standard_errors(np.array([1.0, 5.0]), np.array([1.0, 2.0, 6.0]), 5) == pytest.approx(
        (math.sqrt(5), math.sqrt(7 / 3))
    )
    assert math.isnan(standard_errors(np.array([1.0, 5.0]), np.zeros(1), 5)[1])


def test_swap_test_is_the_exact_sign_test_where_questions_are_few() -> None:
    """Five of 200 questions changed, all for the better: two-sided sign test, 2 * 0.5^5."""
    base, tuned = np.zeros((200, 1)), (np.arange(200) < 5)[:, None].astype(float)
    swaps = swap_masks(200, 20000, 0, "b")
    result = compare([mean_of(base)], [mean_of(tuned)], swaps, swaps, 0.0)
    assert swap_p_value(result.after - result.before, result.swapped) == pytest.approx(2 * 0.5**5, abs=0.006)


def test_equal_checkpoints_have_p_one() -> None:
    assert seed_p_value(np.zeros(10), np.zeros(3), 9) == 1.0
    assert swap_p_value(0.0, np.zeros(10)) == 1.0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
