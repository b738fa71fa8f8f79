"""Which frames a question needs, and the smallest budget that shows them.

A question's evidence is a list of windows of frame indices; each must hold at least ``count`` of the sampled frames.
The minimal sufficient budget is found by really sampling: the smallest admissible budget from which on every admissible
budget shows all the evidence.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from workflow_scripts.video.sampling import uniform_indices

BUDGETS = (8, 16, 32, 64)


@dataclass(frozen=True)
class Window:
    """Frames ``start <= index < stop`` of a clip, of which at least ``count`` must be sampled."""

    start: int
    stop: int
    count: int = 1

    def shown_by(self, indices: Sequence[int]) -> bool:
        return sum(self.start <= index < self.stop for index in indices) >= self.count


def minimal_budget(windows: Sequence[Window], n_frames: int, budgets: Sequence[int] = BUDGETS) -> int:
    """The smallest of ``budgets`` from which on every budget, sampled uniformly, shows every window.

    Raises ValueError where not even the largest budget does.
    """
    smallest = None
    for budget in sorted(budgets, reverse=True):
        indices = uniform_indices(n_frames, budget)
        if not all(window.shown_by(indices) for window in windows):
            break
        smallest = budget
    if smallest is None:
        raise ValueError(f"no budget of {tuple(budgets)} shows the windows {list(windows)} of {n_frames} frames")
    return smallest


def brief_windows(rng: random.Random, n_frames: int, budget: int, events: int = 1) -> list[Window]:
    """``events`` separate windows, in time order, that ``budget`` uniform frames show and half as many do not.

    Each window lies around a frame that ``budget`` samples and ``budget // 2`` does not, and ends before the frames
    that ``budget // 2`` samples on either side; so those frames separate the windows.
    """
    indices = uniform_indices(n_frames, budget)
    odd = list(range(1, budget, 2))
    chosen = sorted(rng.sample(odd, events))
    windows = []
    for i in chosen:
        before, at = indices[i - 1], indices[i]
        after = indices[i + 1] if i + 1 < budget else n_frames
        start = rng.randint(before + 1, max(before + 1, at - (at - before) // 2)) if at > before + 1 else at
        stop = rng.randint(at + (after - at) // 2, after - 1) + 1 if after > at + 1 else at + 1
        windows.append(Window(start, stop))
    return windows


def brief_passage(rng: random.Random, n_frames: int, budget: int) -> Window:
    """A window of which ``budget`` uniform frames show two frames, and half as many show one."""
    indices = uniform_indices(n_frames, budget)
    i = rng.randrange(2, budget - 2, 2)
    first, last = indices[i], indices[i + 1]
    before, after = indices[i - 1], indices[i + 2]
    start = first - rng.randint(0, max(0, (first - before - 1) // 2))
    stop = last + rng.randint(0, max(0, (after - last - 1) // 2)) + 1
    return Window(start, stop, count=2)
