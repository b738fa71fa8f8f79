"""Cluster bootstrap, paired swap test, Holm's correction.

Intervals are percentile intervals at 95 percent: questions on the same image or video are drawn together, and every
checkpoint on the same benchmark is scored on the same draws, so differences are paired.

With two or more seeds the draw has a second level, crossed with the first (Owen 2007, "The pigeonhole bootstrap"):
S - 1 of the S seeds are drawn with replacement, which makes the variance of the seed mean unbiased however few they
are (Rao and Wu 1988). Disagreement of the seeds question by question counts at both levels, so such an interval errs
on the wide side. With one seed an interval covers the choice of questions only.

The p value of a difference is the larger of two: an exact-by-sampling test that swaps the two models' answers cluster
by cluster (valid however few questions differ, blind to seeds), and a normal test on the two-level bootstrap's
standard error (sees seeds, optimistic where few questions differ).
"""

import math
import zlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Array = NDArray[np.float64]
LEVEL = 0.95


def _generator(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def bootstrap_weights(n_clusters: int, resamples: int, seed: int, benchmark: str) -> Array:
    """float64 [resamples, n_clusters]: how often each cluster is drawn; equal for equal arguments."""
    draws = _generator(seed, f"bootstrap {benchmark}").integers(0, n_clusters, size=(resamples, n_clusters))
    flat = draws + n_clusters * np.arange(resamples)[:, None]
    counts = np.bincount(flat.ravel(), minlength=resamples * n_clusters)
    return counts.reshape(resamples, n_clusters).astype(float)


def swap_masks(n_clusters: int, resamples: int, seed: int, benchmark: str) -> Array:
    """float64 [resamples, n_clusters] of 0 and 1: which clusters change sides in each permutation."""
    return _generator(seed, f"swap {benchmark}").integers(0, 2, size=(resamples, n_clusters)).astype(float)


def seed_draws(n_seeds: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """int64 [resamples, max(1, n_seeds - 1)]: the seeds drawn; the same for every benchmark, as the runs are."""
    return _generator(seed, "seeds").integers(0, n_seeds, size=(resamples, max(1, n_seeds - 1)))


def mean_over_seeds(values: Array, draws: NDArray[np.int64]) -> Array:
    """Scores [seeds, resamples] to the mean over each resample's seeds [resamples]."""
    return np.take_along_axis(values.T, draws, axis=1).mean(axis=1)


def interval(values: Array) -> tuple[float, float]:
    """The percentile interval of resampled scores; resamples without any question (nan) are left out."""
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return float(low), float(high)


def normal_p_value(difference: float, resampled: Array) -> float:
    """Two-sided p of a difference over its bootstrap standard error."""
    error = float(np.nanstd(resampled))
    if difference == 0:
        return 1.0
    return math.erfc(abs(difference) / error / math.sqrt(2)) if error > 0 else 0.0


def swap_p_value(difference: float, swapped: Array) -> float:
    """Two-sided p of a difference among those after random swaps; never below 1 / (swaps + 1)."""
    tolerance = 1e-9 * max(1.0, abs(difference))
    return float((1 + np.sum(np.abs(swapped) >= abs(difference) - tolerance)) / (len(swapped) + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment: rejecting where it is below alpha keeps the family-wise error at alpha."""
    values = pd.Series(list(p_values), dtype=float)
    ordered = values.sort_values(kind="stable")
    factors = np.arange(len(ordered), 0, -1)
    adjusted = (ordered * factors).cummax().clip(upper=1.0)
    return [float(value) for value in adjusted.reindex(values.index)]
