"""Cluster bootstrap, paired swap test, minimal detectable difference, Holm's correction.

Questions on the same image or video are drawn together, and every checkpoint on the same benchmark is scored on the
same draws, so differences are paired. Intervals are at 95 percent.

With one seed, the interval is that of the draws' percentiles; it covers the choice of questions only. The percentiles
are those that Student's t with clusters - 1 degrees of freedom asks for (Hesterberg 2015), as draws from n clusters
vary by (n - 1) / n too little; plain percentiles cover 0.90 with ten clusters, these 0.94. With two or more seeds
it is the seed mean +- sqrt((t1 * q)^2 + (t2 * s)^2): q the standard error of the questions, s^2 the variance between
seeds over their number, t1 and t2 the quantiles of Student's distribution with clusters - 1 and seeds - 1 degrees of
freedom, as s is known from few seeds. Half-widths are added, not variances with
Satterthwaite's degrees of freedom in common, which cover 0.87 to 0.93 where two or three seeds matter more than
questions. Coverage is exact where seeds or questions alone matter and up to 0.99 between (Graybill and Wang 1980).
Disagreement of the seeds question by question counts in both parts, also on the wide side.

The p value of a difference is the larger of two: an exact-by-sampling test that swaps the two models' answers cluster
by cluster (valid however few questions differ, blind to seeds), and the level at which the interval above reaches 0
(of the standard error with one seed; sees seeds, optimistic where few questions differ).

The minimal detectable difference is the true difference whose interval leaves 0 out in four of five studies of the same
size: sqrt((d1 * q)^2 + (d2 * s)^2), d1 and d2 the noncentralities at which Student's test at the level of 5 percent has
that power. From few seeds s is itself uncertain, and with it the difference. The p value, the larger of two and before
correction, finds it two or three times in a hundred less often.

Where hardly an answer differs, draws of the questions hardly vary, and would say that nothing can have changed. So no
standard error is taken to be less than the worth of one answer, as if half an answer more had changed to the better and
half to the worse (Agresti and Min 2005), and no minimal detectable difference less than that of six, the fewest that
the swap test can find.

One cluster says nothing about the choice of questions: its interval and its minimal detectable difference are nan.
"""

import math
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import optimize, special

Array = NDArray[np.float64]
LEVEL = 0.95
POWER = 0.8
FEWEST_SWAPS = 6
"""The fewest clusters that, all changed for the better, have a p value below 0.05 when swapped: 2 * 0.5^6 is 0.03."""
SMALLEST_P = 1e-9


def _generator(seed: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


@lru_cache(maxsize=16)
def bootstrap_weights(n_clusters: int, resamples: int, seed: int, benchmark: str) -> Array:
    """float64 [resamples, n_clusters]: how often each cluster is drawn; the same array for equal arguments."""
    draws = _generator(seed, f"bootstrap {benchmark}").integers(0, n_clusters, size=(resamples, n_clusters))
    flat = draws + n_clusters * np.arange(resamples)[:, None]
    counts = np.bincount(flat.ravel(), minlength=resamples * n_clusters)
    return _fixed(counts.reshape(resamples, n_clusters).astype(float))


@lru_cache(maxsize=16)
def swap_masks(n_clusters: int, resamples: int, seed: int, benchmark: str) -> Array:
    """float64 [resamples, n_clusters] of 0 and 1: which clusters change sides in each permutation."""
    return _fixed(_generator(seed, f"swap {benchmark}").integers(0, 2, size=(resamples, n_clusters)).astype(float))


def _fixed(values: Array) -> Array:
    values.flags.writeable = False
    return values


def interval(values: Array, clusters: int, grain: float = 0.0) -> tuple[float, float]:
    """The percentile interval of resampled scores; resamples without any question (nan) are left out.

    clusters: how many hold a question of the score. grain: what one answer is worth, in the unit of the score. Draws
    that vary by less than one answer are taken to vary by it, around their mean.
    """
    if clusters < 2:
        return math.nan, math.nan
    if np.nanstd(values) < grain:
        half = grain * _widening(clusters) * _t(1 - LEVEL, clusters - 1)
        return float(np.nanmean(values)) - half, float(np.nanmean(values)) + half
    tail = 100 * float(special.ndtr(-_widening(clusters) * _t(1 - LEVEL, clusters - 1)))
    low, high = np.nanpercentile(values, [tail, 100 - tail])
    return float(low), float(high)


def seed_interval(resampled: Array, seeds: Array, clusters: int, grain: float = 0.0) -> tuple[float, float]:
    """The interval of a mean over seeds: of percentiles with one seed, else as the module says.

    resampled: the seed mean on each draw of questions. seeds: each seed's value on all questions, [seeds].
    """
    if len(seeds) == 1:
        return interval(resampled, clusters, grain)
    errors = standard_errors(resampled, seeds, clusters, grain)
    half = _joined(errors, clusters, len(seeds), lambda freedom: _t(1 - LEVEL, freedom))
    return float(np.mean(seeds)) - half, float(np.mean(seeds)) + half


def seed_p_value(resampled: Array, seeds: Array, clusters: int, grain: float = 0.0) -> float:
    """Two-sided p of a mean over seeds being 0, at least `SMALLEST_P`; arguments as seed_interval."""
    difference = abs(float(np.mean(seeds)))
    if difference == 0 or clusters < 2:
        return 1.0
    errors = standard_errors(resampled, seeds, clusters, grain)

    def beyond(p: float) -> float:
        return _joined(errors, clusters, len(seeds), lambda freedom: _t(p, freedom)) - difference

    return SMALLEST_P if beyond(SMALLEST_P) <= 0 else float(optimize.brentq(beyond, SMALLEST_P, 1.0))


def minimal_detectable(resampled: Array, seeds: Array, clusters: int, grain: float = 0.0) -> float:
    """The true mean over seeds that is told from 0 with probability `POWER`; arguments as seed_interval."""
    errors = standard_errors(resampled, seeds, clusters, grain)
    return max(_joined(errors, clusters, len(seeds), _noncentrality), FEWEST_SWAPS * grain)


def standard_errors(resampled: Array, seeds: Array, clusters: int, grain: float = 0.0) -> tuple[float, float]:
    """The standard errors of a mean over seeds: from the choice of questions, and from the seeds (nan of one)."""
    of_seeds = float(np.std(seeds, ddof=1)) / math.sqrt(len(seeds)) if len(seeds) > 1 else math.nan
    if clusters < 2:
        return math.nan, of_seeds
    return max(float(np.nanstd(resampled)), grain) * _widening(clusters), of_seeds


def _joined(errors: tuple[float, float], clusters: int, seeds: int, factor: Callable[[int], float]) -> float:
    """Both standard errors, each times a factor of its degrees of freedom, as the sides of a right angle."""
    of_questions = errors[0] * factor(clusters - 1)
    return of_questions if seeds == 1 else math.hypot(of_questions, errors[1] * factor(seeds - 1))


def _widening(clusters: int) -> float:
    return math.sqrt(clusters / (clusters - 1))


@lru_cache(maxsize=4096)
def _t(p: float, freedom: int) -> float:
    """Student's t that is exceeded, on either side, with probability p."""
    return -float(special.stdtrit(freedom, p / 2)) if freedom > 0 else math.nan


@lru_cache(maxsize=4096)
def _noncentrality(freedom: int) -> float:
    return float(special.nctdtrinc(freedom, 1 - POWER, _t(1 - LEVEL, freedom))) if freedom > 0 else math.nan


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
