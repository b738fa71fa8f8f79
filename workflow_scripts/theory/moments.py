"""Inner products, norms and cosines of mean gradients, from inner products of the gradients of independent batches.

x_1 ... x_n are gradients of n independent batches, each the true gradient x and noise. Then <x_i, y_j> is unbiased for
<x, y> where the batches i and j are different ones, and |x_i|^2 is not for |x|^2: it holds the noise as well. So

    <x, y>  is estimated by the mean of <x_i, y_j> over all pairs of independent batches,
    |x|^2   by the mean of <x_i, x_j> over i != j: all splits into halves at once,
    cosine  by <x, y> / (|x| |y|) of these.

Where batches are drawn anew with weights (a bootstrap), each pair counts with the product of its weights, and a batch
is never paired with itself however often it was drawn. Noise alone can give |x|^2 <= 0: cosines are then nan.
"""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def bootstrap_counts(batches: int, draws: int, generator: np.random.Generator) -> Array:
    """How often each batch is drawn: float64 [draws + 1, batches]; the first row is the sample itself, all ones."""
    drawn = generator.multinomial(batches, np.full(batches, 1 / batches), size=draws).astype(float)
    whole: Array = np.vstack([np.ones(batches), drawn])
    return whole


def cross(gram: Array, left: Array, right: Array) -> Array:
    """Mean of <x_i, y_j> over pairs of batches that are independent of each other: [..., draws].

    gram: [..., n, m]; left [draws, n] and right [draws, m]: how often each batch counts.
    """
    found: Array = np.einsum("di,...ij,dj->...d", left, gram, right, optimize=True)
    return found / (left.sum(axis=1) * right.sum(axis=1))


def within(gram: Array, counts: Array) -> Array:
    """Mean of <x_i, y_j> over pairs i != j of batches that x and y share: [..., draws].

    gram: [..., n, n], where x_i and y_i come from the same batch, as those at two budgets do; counts [draws, n].
    """
    all_pairs = np.einsum("di,...ij,dj->...d", counts, gram, counts, optimize=True)
    same = np.einsum("di,...ii->...d", counts**2, gram, optimize=True)
    found: Array = (all_pairs - same) / (counts.sum(axis=1) ** 2 - (counts**2).sum(axis=1))
    return found


def cosine(inner: Array, left: Array, right: Array) -> Array:
    """Cosine from an inner product and two squared norms; nan where a squared norm is not above 0."""
    squared = np.where((left > 0) & (right > 0), left * right, np.nan)
    found: Array = inner / np.sqrt(squared)
    return found


def percentiles(draws: Array, batches: int, level: float = 0.95) -> tuple[Array, Array]:
    """Interval of a statistic from its bootstrap: [...] and [...] of [..., draws], the sample itself left out.

    The percentiles are those that Student's t with batches - 1 degrees of freedom asks for (Hesterberg 2015), as draws
    from n batches vary by (n - 1) / n too little. A share of undefined draws (nan) makes the interval undefined beyond
    5 percent of them.
    """
    from scipy import special

    freedom = batches - 1
    reach = np.sqrt(batches / freedom) * special.stdtrit(freedom, (1 + level) / 2)
    tail = 100 * float(special.ndtr(-reach))
    undefined = np.isnan(draws).mean(axis=-1) > 0.05
    low, high = np.nanpercentile(
        np.where(np.isnan(draws).all(axis=-1, keepdims=True), 0.0, draws), [tail, 100 - tail], axis=-1
    )
    return np.where(undefined, np.nan, low), np.where(undefined, np.nan, high)
