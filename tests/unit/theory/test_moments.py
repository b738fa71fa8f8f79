"""Estimates from noisy batches against the vectors that the batches are drawn around."""

import numpy as np
import pytest

from workflow_scripts.theory.moments import bootstrap_counts, cosine, cross, percentiles, within

DIMENSIONS = 50


def batches(truth: np.ndarray, count: int, noise: float, generator: np.random.Generator) -> np.ndarray:
    return truth + noise * generator.standard_normal((count, len(truth)))


def test_norm_and_cosine_are_not_inflated_by_noise() -> None:
    """Over 400 draws of eight batches with a noise of 1.4 times the norm."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal(DIMENSIONS)
    y = 0.5 * x + generator.standard_normal(DIMENSIONS)
    ones = np.ones((1, 8))
    found, naive = [], []
    for _ in range(400):
        a, b = batches(x, 8, 1.4, generator), batches(y, 8, 1.4, generator)
        found.append((cross(a @ b.T, ones, ones)[0], within(a @ a.T, ones)[0], within(b @ b.T, ones)[0]))
        naive.append(a.mean(axis=0) @ a.mean(axis=0))
    inner, left, right = np.mean(found, axis=0)
    error = np.std(found, axis=0) / 20
    assert inner == pytest.approx(x @ y, abs=4 * error[0])
    assert left == pytest.approx(x @ x, abs=4 * error[1])
    assert right == pytest.approx(y @ y, abs=4 * error[2])
    assert np.mean(naive) > x @ x + 0.9 * 1.4**2 * DIMENSIONS / 8
    truth = x @ y / np.sqrt((x @ x) * (y @ y))
    assert cosine(np.array(inner), np.array(left), np.array(right)) == pytest.approx(truth, abs=0.02)


def test_within_is_the_mean_over_pairs_of_different_batches() -> None:
    generator = np.random.default_rng(1)
    a, b = generator.standard_normal((2, 5, 7))
    counts = np.array([[1.0, 1, 1, 1, 1], [2, 0, 1, 1, 1]])
    gram = a @ b.T
    for row, found in zip(counts, within(gram, counts), strict=True):
        pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
        total = sum(row[i] * row[j] for i, j in pairs)
        assert found == pytest.approx(sum(row[i] * row[j] * gram[i, j] for i, j in pairs) / total)


def test_intervals_cover_the_cosine() -> None:
    """300 studies of 16 batches of images and of videos; stated: 95 %."""
    generator = np.random.default_rng(2)
    x = generator.standard_normal(DIMENSIONS)
    y = 0.3 * x + generator.standard_normal(DIMENSIONS)
    truth = x @ y / np.sqrt((x @ x) * (y @ y))
    covered = 0
    for _ in range(300):
        a, b = batches(x, 16, 1.0, generator), batches(y, 16, 1.0, generator)
        left, right = bootstrap_counts(16, 400, generator), bootstrap_counts(16, 400, generator)
        values = cosine(cross(a @ b.T, left, right), within(a @ a.T, left), within(b @ b.T, right))
        low, high = percentiles(values[1:], 16)
        covered += bool(low <= truth <= high)
    assert 0.91 <= covered / 300 <= 0.99


def test_a_norm_that_noise_hides_has_no_cosine() -> None:
    assert np.isnan(cosine(np.array(1.0), np.array(-0.1), np.array(2.0)))
    low, high = percentiles(np.array([1.0] * 90 + [np.nan] * 10), 16)
    assert np.isnan(low)
    assert np.isnan(high)


def test_the_first_row_of_counts_is_the_data() -> None:
    counts = bootstrap_counts(6, 40, np.random.default_rng(0))
    assert counts.shape == (41, 6)
    assert (counts[0] == 1).all()
    assert (counts.sum(axis=1) == 6).all()
