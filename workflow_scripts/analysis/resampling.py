"""Cluster bootstrap, paired swap test, Holm's correction.

Questions on the same image or video are drawn together, and every checkpoint on the same benchmark is scored on the
same draws, so differences are paired. Intervals are at 95 percent.

With one seed, the interval is that of the draws' percentiles; it covers the choice of questions only. With two or more
it is the seed mean +- sqrt((z * q)^2 + (t * s)^2): q the standard deviation of the seed mean over the draws of
questions, s^2 the variance between seeds over their number, z and t the quantiles of the normal and of Student's
distribution with seeds - 1 degrees of freedom, as s is known from few seeds. Half-widths are added, not variances with
Satterthwaite's degrees of freedom in common, which cover 0.87 to 0.93 where two or three seeds matter more than
questions. Coverage is exact where seeds or questions alone matter and up to 0.99 between (Graybill and Wang 1980).
Disagreement of the seeds question by question counts in both parts, also on the wide side.

The p value of a difference is the larger of two: an exact-by-sampling test that swaps the two models' answers cluster
by cluster (valid however few questions differ, blind to seeds), and the level at which the interval above reaches 0
(normal with one seed; sees seeds, optimistic where few questions differ).
"""

import math
import zlib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, special

Array = NDArray[np.float64]
LEVEL = 0.95
SMALLEST_P = 1e-9


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


def interval(values: Array) -> tuple[float, float]:
    """The percentile interval of resampled scores; resamples without any question (nan) are left out."""
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return float(low), float(high)


def seed_interval(resampled: Array, seeds: Array) -> tuple[float, float]:
    """The interval of a mean over seeds: of percentiles with one seed, else as the module says.

    resampled: the seed mean on each draw of questions. seeds: each seed's value on all questions, [seeds].
    """
    if len(seeds) == 1:
        return interval(resampled)
    half = _half_width(1 - LEVEL, resampled, seeds)
    return float(np.mean(seeds)) - half, float(np.mean(seeds)) + half


def seed_p_value(resampled: Array, seeds: Array) -> float:
    """Two-sided p of a mean over seeds being 0, at least `SMALLEST_P`; arguments as seed_interval."""
    difference = abs(float(np.mean(seeds)))
    if difference == 0:
        return 1.0
    if _half_width(SMALLEST_P, resampled, seeds) <= difference:
        return SMALLEST_P
    return float(optimize.brentq(lambda p: _half_width(p, resampled, seeds) - difference, SMALLEST_P, 1.0))


def _half_width(p: float, resampled: Array, seeds: Array) -> float:
    of_questions = float(np.nanvar(resampled)) * float(special.ndtri(p / 2)) ** 2
    if len(seeds) == 1:
        return math.sqrt(of_questions)
    of_seeds = float(np.var(seeds, ddof=1)) / len(seeds) * float(special.stdtrit(len(seeds) - 1, p / 2)) ** 2
    return math.sqrt(of_questions + of_seeds)


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
