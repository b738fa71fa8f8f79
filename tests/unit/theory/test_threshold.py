"""Proposition 2 on problems that were made with a known a, b, gamma and threshold."""

import numpy as np
import pytest

from workflow_scripts.theory.moments import bootstrap_counts, cross, within
from workflow_scripts.theory.threshold import NONE, Decomposition, decompose

BUDGETS = [8, 16, 32, 64]
DIMENSIONS = 400


def problem(gamma: list[float], a: float, b: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """An image gradient, and a video gradient a budget, s + gamma t + r: <g_I, s> = a, <g_I, t> = -b, <g_I, r> = 0.

    s, t and r have parts that the image gradient does not see; r is another one at each budget.
    """
    generator = np.random.default_rng(seed)
    image = generator.standard_normal(DIMENSIONS)
    image /= np.linalg.norm(image)

    def unseen(size: float) -> np.ndarray:
        vector = generator.standard_normal(DIMENSIONS)
        vector -= image * (image @ vector)
        return size * vector / np.linalg.norm(vector)

    s, t = a * image + unseen(2.0), -b * image + unseen(1.0)
    return image, np.stack([s + value * t + unseen(0.05) for value in gamma])


def exactly(image: np.ndarray, videos: np.ndarray) -> Decomposition:
    inner = (videos @ videos.T)[:, :, None]
    return decompose(BUDGETS, inner, (videos @ image)[:, None])


def from_batches(
    image: np.ndarray, videos: np.ndarray, noise: float, count: int = 16, draws: int = 300, seed: int = 1
) -> Decomposition:
    """As measured: noisy batches, the same videos (and so their noise, mostly) at every budget."""
    generator = np.random.default_rng(seed)
    images = image + noise * generator.standard_normal((count, DIMENSIONS))
    common = noise * generator.standard_normal((count, DIMENSIONS))
    seen = [video + common + 0.3 * noise * generator.standard_normal((count, DIMENSIONS)) for video in videos]
    left, right = bootstrap_counts(count, draws, generator), bootstrap_counts(count, draws, generator)
    inner = np.stack([[within(one @ other.T, right) for other in seen] for one in seen])
    alignment = np.stack([cross(images @ one.T, left, right) for one in seen])
    return decompose(BUDGETS, (inner + inner.transpose(1, 0, 2)) / 2, alignment)


@pytest.mark.parametrize(
    ("gamma", "a", "b", "expected"),
    [
        ([0.0, 0.4, 0.7, 1.0], 0.5, 0.9, 32),
        ([0.2, 0.5, 1.1, 2.0], 0.5, 0.4, 64),
        ([0.0, 0.6, 0.8, 1.0], 0.3, 0.9, 16),
        ([0.1, 0.2, 0.3, 0.4], -0.2, 0.5, 8),
        ([0.0, 0.3, 0.6, 1.0], 0.9, 0.5, NONE),
        ([0.0, 0.3, 0.6, 1.0], 0.5, -0.5, NONE),
    ],
)
def test_the_threshold_is_recovered(gamma: list[float], a: float, b: float, expected: int) -> None:
    found = exactly(*problem(gamma, a, b))
    assert found.threshold.tolist() == [expected]
    # Origin and unit of gamma are a choice: the smallest budget and the largest.
    unit = gamma[-1] - gamma[0]
    stretched = [(value - gamma[0]) / unit for value in gamma]
    assert found.gamma[:, 0] == pytest.approx(stretched, abs=0.03)
    assert found.a[0] == pytest.approx(a - b * gamma[0], abs=0.03)
    assert found.b[0] == pytest.approx(b * unit, abs=0.05)
    assert found.misfit[0] < 0.02


def test_the_threshold_is_recovered_from_noisy_batches() -> None:
    """Noise of a batch of 1.6 times the norm of the gradients."""
    gamma, a, b = [0.0, 0.4, 0.8, 1.0], 0.6, 1.0
    found = from_batches(*problem(gamma, a, b), noise=0.15)
    assert found.threshold[0] == 32
    assert (found.threshold[1:] == 32).mean() > 0.9
    low, high = np.percentile(found.b[1:], [1, 99])
    assert low < b < high
    low, high = np.percentile(found.a[1:], [1, 99])
    assert low < a < high


def test_no_threshold_is_found_where_there_is_none() -> None:
    found = from_batches(*problem([0.0, 0.4, 0.8, 1.0], 0.9, 0.4), noise=0.1)
    assert found.threshold[0] == NONE
    assert (found.threshold[1:] == NONE).mean() > 0.9


def test_growth_along_one_direction_is_told_from_growth_in_many() -> None:
    along_one = exactly(*problem([0.0, 0.4, 0.8, 1.0], 0.5, 0.5))
    assert along_one.along[1:, 0].min() > 0.8
    generator = np.random.default_rng(0)
    image = generator.standard_normal(DIMENSIONS)
    first = generator.standard_normal(DIMENSIONS)
    other = [first + size * generator.standard_normal(DIMENSIONS) for size in (0.4, 0.8, 1.0)]
    in_many = exactly(image, np.stack([first, *other]))
    assert in_many.along[1:3, 0].max() < 0.2
