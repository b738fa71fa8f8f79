"""How many uniform frames represent a clip, by the likeness of its frames.

The paper compares "DINOv2 inter-frame similarity" and gives no formula. Ours: the clip's densest stored frames are
embedded; a budget T represents the clip if every dense frame has a cosine similarity of at least a threshold to the one
of the T sampled frames that is nearest in time. The clip's budget is the smallest admissible T that does. Nothing is
said by this about the instruction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Likeness:
    """Cosine similarity of the dense frames to their nearest sampled frame: the smallest and the mean."""

    minimum: float
    mean: float


def likeness(vectors: NDArray[np.float32], timestamps_s: Floats, sampled: Sequence[int]) -> Likeness:
    """How well the frames at positions `sampled` stand for all of a clip's dense frames.

    `vectors` [D, E] of unit length and `timestamps_s` [D], rising, describe the dense frames. Of two sampled frames
    at the same distance in time the earlier counts.
    """
    chosen = np.asarray(sorted(sampled))
    nearest = chosen[np.abs(timestamps_s[:, None] - timestamps_s[None, chosen]).argmin(axis=1)]
    cosines = np.einsum("de,de->d", vectors, vectors[nearest], dtype=np.float64)
    return Likeness(float(cosines.min()), float(cosines.mean()))


def smallest_budget(likenesses: Mapping[int, Likeness], threshold: float) -> int:
    """The smallest budget whose every frame is like enough; the largest admissible one if none is."""
    enough = [budget for budget, found in likenesses.items() if found.minimum >= threshold]
    return min(enough, default=max(likenesses))
