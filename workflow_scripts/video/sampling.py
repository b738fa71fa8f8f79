"""Which frames a budget takes from a clip.

Every method gives each frame at most once, so that a clip shorter than the budget gives all its frames, and a budget
that no clip can fill has an effective budget: the number of frames really taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from workflow_scripts.settings import InputError
from workflow_scripts.settings.frames import SamplingMethod

ROUNDING = 1e-6  # of a frame: what sums of times lose


@dataclass(frozen=True)
class Sampling:
    """A way to take frames: `uniform`, `linspace`, or `fps` frames a second with the budget as the cap."""

    method: SamplingMethod = "uniform"
    fps: float | None = None

    def __post_init__(self) -> None:
        if (self.method == "fps") != (self.fps is not None) or (self.fps is not None and not self.fps > 0):
            raise InputError(f"sampling {self.method} at {self.fps} frames a second; expected a rate > 0 for fps alone")

    def __str__(self) -> str:
        return self.method if self.fps is None else f"{self.method} ({self.fps:g} a second)"

    def record(self) -> dict[str, Any]:
        """What `Sampling(**record)` takes."""
        return asdict(self)

    def indices(self, n: int, budget: int, duration_s: float, last: bool = False) -> list[int]:
        """Rising indices of the frames that a budget takes of a clip of n frames, lasting duration_s.

        uniform: see `uniform_indices`. linspace: numpy.linspace(0, n - 1, budget), cut to whole numbers, as LLaVA-NeXT
        does. fps: the frames shown at 0, 1/fps, 2/fps ... s, at the clip's mean rate; where they are more than the
        budget, uniform ones. With `last`, the clip's last frame stands for the last of these.
        """
        if self.method == "uniform":
            return uniform_indices(n, budget, last)
        _check(n, budget)
        indices = _linspace(n, budget) if self.fps is None else _at_rate(n, budget, duration_s * self.fps)
        return [*indices[:-1], n - 1] if last else indices

    def union(self, n: int, budgets: Iterable[int], duration_s: float, last: bool = False) -> list[int]:
        """Every frame that one of the budgets takes, and with `last` the clip's last, rising."""
        found = {index for budget in budgets for index in self.indices(n, budget, duration_s)}
        return sorted(found | ({n - 1} if last else set()))


UNIFORM = Sampling()


def uniform_indices(n: int, budget: int, last: bool = False) -> list[int]:
    """Frame i of `budget` is floor(i * n / budget) of the clip's n frames; each frame at most once, so n at the most.

    Rising, and nested: where one budget divides another, its frames are among the other's. With `last`, the clip's last
    frame stands for the last of these.
    """
    _check(n, budget)
    indices = list(dict.fromkeys(i * n // budget for i in range(budget)))
    return [*indices[:-1], n - 1] if last else indices


def _linspace(n: int, budget: int) -> list[int]:
    return list(dict.fromkeys(np.linspace(0, n - 1, budget, dtype=int).tolist()))


def _at_rate(n: int, budget: int, moments: float) -> list[int]:
    """moments: how many times the rate's interval fits into the clip."""
    count = max(1, math.ceil(moments - ROUNDING))
    if count > budget:
        return uniform_indices(n, budget)
    return list(dict.fromkeys(min(n - 1, math.floor(i * n / moments + ROUNDING)) for i in range(count)))


def _check(n: int, budget: int) -> None:
    if n < 1 or budget < 1:
        raise InputError(f"frames: a clip of {n} frames and a budget of {budget}; expected both to be at least 1")
