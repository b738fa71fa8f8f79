"""How many uniform frames represent a clip, by the likeness of its frames.

The paper compares "DINOv2 inter-frame similarity" and gives no formula. Ours: the clip's densest stored frames are
embedded; a budget T represents the clip if every dense frame has a cosine similarity of at least a threshold to one of
the two sampled frames that it lies between, the last before it and the first after it. Both are allowed, not only the
nearer, because otherwise any cut between two scenes would ask for the largest budget, to place the cut. The clip's
budget is the smallest admissible T that represents it. The instruction plays no part.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Likeness:
    """Cosine similarity of a clip's dense frames to the sampled frames around them: the smallest and the mean."""

    minimum: float
    mean: float


def likeness(vectors: NDArray[np.float32], sampled: Sequence[int]) -> Likeness:
    """How well the frames at positions `sampled` stand for all of a clip's dense frames.

    `vectors` [D, E], of unit length, are the dense frames in order of time; a sampled frame stands for itself, and
    past the last sampled frame only that one counts.
    """
    chosen = np.asarray(sorted(sampled))
    position = np.arange(len(vectors))
    before = chosen[np.searchsorted(chosen, position, side="right").clip(1) - 1]
    after = chosen[np.searchsorted(chosen, position).clip(max=len(chosen) - 1)]
    cosines = np.maximum(_cosines(vectors, vectors[before]), _cosines(vectors, vectors[after]))
    return Likeness(float(cosines.min()), float(cosines.mean()))


def _cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """Row by row, in double precision."""
    result: NDArray[np.float64] = np.einsum("de,de->d", left, right, dtype=np.float64)
    return result


def smallest_budget(likenesses: Mapping[int, Likeness], threshold: float) -> int:
    """The smallest budget whose every frame is like enough; the largest admissible one if none is."""
    enough = [budget for budget, found in likenesses.items() if found.minimum >= threshold]
    return min(enough, default=max(likenesses))
