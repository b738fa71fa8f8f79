"""Choosing benchmark questions so that nothing but the picture tells the answer."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator

from workflow_scripts.miniature.questions import COUNTS
from workflow_scripts.miniature.scene import COLORS, DIRECTIONS, DURATIONS_S, PATTERNS, PLACES

FIRST_SEED = 10_000_000
SEEDS_EACH = 100_000
# How many values each ability's answers have.
VALUES = {
    "color": len(COLORS),
    "pattern": len(PATTERNS),
    "place": len(PLACES),
    "count": len(COUNTS),
    "flashes": len(COUNTS),
    "order": len(COLORS),
    "change": len(COLORS),
    "appearance": len(COLORS),
    "disappearance": len(COLORS),
    "direction": len(DIRECTIONS),
    "mover": len(COLORS),
    "duration": len(DURATIONS_S),
}


def seeds(benchmark: int) -> Iterator[int]:
    """The scene seeds of the benchmark with this number."""
    first = FIRST_SEED + benchmark * SEEDS_EACH
    yield from range(first, first + SEEDS_EACH)
    raise RuntimeError(f"benchmark {benchmark}: {SEEDS_EACH} scenes do not hold the questions that are asked for")


def parts(total: int, n: int) -> list[int]:
    """``total`` in ``n`` parts that differ by one at the most, the larger first."""
    return [total // n + (i < total % n) for i in range(n)]


def positions(rng: random.Random, n: int, letters: int = 4, start: int = 0) -> list[int]:
    """Where the right option stands in each of ``n`` questions: every place equally often, in random order.

    ``start`` is how many questions went before: what does not divide evenly goes on where they left off.
    """
    places = [(start + i) % letters for i in range(n)]
    rng.shuffle(places)
    return places


class Share:
    """Takes ``total`` questions whose answers have ``values`` values, each about equally often."""

    def __init__(self, total: int, values: int) -> None:
        self.left = total
        self._limit = math.ceil(total / values)
        self._taken: Counter[str] = Counter()

    def wants(self, answer: str) -> bool:
        return self.left > 0 and self._taken[answer] < self._limit

    def take(self, answer: str) -> None:
        self.left -= 1
        self._taken[answer] += 1
