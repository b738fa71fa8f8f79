"""Proposition 2: how strongly more frames enter the video gradient, and the budget from which they turn it.

The paper writes g_T = s + gamma(T) t + r_T. Only g_T can be seen, and s, t and gamma only up to a choice of origin and
unit: gamma may be stretched and moved, with s and t moved against it, and neither A(T) = a - gamma(T) b nor its zero
changes. Here the smallest budget is the origin and the largest the unit:

    o_T      = g_T - g_min <g_T, g_min> / |g_min|^2        what g_T has and the smallest budget's gradient lacks
    gamma(T) = <o_T, o_max> / |o_max|^2                    its growth along one direction, 0 at the smallest, 1 at the
                                                           largest budget
    A(T)     ~ a - gamma(T) b                              least squares over the budgets, all weighing the same
    T*       = min {T : gamma(T) >= a / b}                 for a > 0 and b > 0

With a <= 0 the alignment is not positive from the start and T* is the smallest budget; with b <= 0, or gamma below a/b
everywhere, there is none. `along`: the share of |o_T|^2 that lies along o_max; the rest is the residual r_T.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
NONE = 0
"""T* where no admissible budget reaches a / b."""


@dataclass(frozen=True)
class Decomposition:
    """For each draw d: gamma, along [budgets, draws]; a, b, ratio a/b, misfit [draws]; threshold [draws], 0 for none.

    misfit: root mean square of A(T) - (a - gamma b) over the budgets.
    """

    gamma: Array
    along: Array
    a: Array
    b: Array
    misfit: Array
    threshold: NDArray[np.int64]


def decompose(budgets: list[int], inner: Array, alignment: Array) -> Decomposition:
    """Gamma, a, b and T* from unbiased inner products of the mean gradients.

    Args:
        budgets: rising, at least three.
        inner: [budgets, budgets, draws], <g_T, g_T'> without noise, as `moments.within` gives it.
        alignment: [budgets, draws], A(T) = <g_I, g_T>.
    """
    smallest = np.where(inner[0, 0] > 0, inner[0, 0], np.nan)
    # <o_T, o_T'> = <g_T, g_T'> - <g_T, g_min> <g_T', g_min> / |g_min|^2
    beyond = inner - inner[:, :1] * inner[:1] / smallest
    largest = np.where(beyond[-1, -1] > 0, beyond[-1, -1], np.nan)
    gamma = beyond[:, -1] / largest
    gamma[0], gamma[-1] = np.where(np.isnan(gamma[-1]), np.nan, 0.0), np.where(np.isnan(gamma[-1]), np.nan, 1.0)
    own = np.einsum("ttd->td", beyond)
    with np.errstate(invalid="ignore", divide="ignore"):
        along = np.where(own > 0, gamma**2 * largest / own, np.nan)
    centred = gamma - gamma.mean(axis=0)
    spread = (centred**2).sum(axis=0)
    b = -(centred * alignment).sum(axis=0) / np.where(spread > 0, spread, np.nan)
    a = alignment.mean(axis=0) + b * gamma.mean(axis=0)
    misfit = np.sqrt(((alignment - (a - gamma * b)) ** 2).mean(axis=0))
    return Decomposition(gamma, along, a, b, misfit, threshold(budgets, gamma, a, b))


def threshold(budgets: list[int], gamma: Array, a: Array, b: Array) -> NDArray[np.int64]:
    """T* of each draw, `NONE` where no budget reaches it: int64 [draws] of gamma [budgets, draws], a and b [draws]."""
    turned = np.where(a <= 0, True, (b > 0) & (gamma * b >= a))
    first = turned.argmax(axis=0)
    return np.where(turned.any(axis=0), np.asarray(budgets)[first], NONE).astype(np.int64)
