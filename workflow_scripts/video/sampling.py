"""Which frames a budget takes from a clip."""

from __future__ import annotations

from collections.abc import Iterable

from workflow_scripts.settings import InputError


def uniform_indices(n: int, budget: int, last: bool = False) -> list[int]:
    """Frame i of `budget` is floor(i * n / budget) of the clip's n frames; each frame at most once, so n at the most.

    Rising, and nested: where one budget divides another, its frames are among the other's. With `last`, the clip's last
    frame stands for the last of these.
    """
    if n < 1 or budget < 1:
        raise InputError(f"frames: a clip of {n} frames and a budget of {budget}; expected both to be at least 1")
    indices = list(dict.fromkeys(i * n // budget for i in range(budget)))
    return [*indices[:-1], n - 1] if last else indices


def union_indices(n: int, budgets: Iterable[int], last: bool = False) -> list[int]:
    """Every frame that one of the budgets takes, and with `last` the clip's last, rising."""
    return sorted({index for budget in budgets for index in uniform_indices(n, budget)} | ({n - 1} if last else set()))
