"""How each miniature base model is trained: what it starts from, and its legs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the Snakefile reads the courses, and lessons brings torch
    from workflow_scripts.miniature.lessons import Phase


@dataclass(frozen=True)
class Leg:
    """A stretch of training with a rate schedule and an optimizer of its own, in steps of 32 lessons.

    Its steps go, in this order, to the phases of ``lessons.lesson``; ``video_share`` of the lessons are about clips.
    """

    describe: int = 0
    ask: int = 0
    word: int = 0
    watch: int = 0
    rate: float = 1e-3
    video_share: float = 0.2

    @property
    def steps(self) -> int:
        """Steps in all."""
        return self.describe + self.ask + self.word + self.watch

    def phases(self) -> Iterator[tuple[Phase, int]]:
        """(phase, steps), those without steps left out."""
        own: tuple[tuple[Phase, int], ...] = (
            ("describe", self.describe),
            ("ask", self.ask),
            ("word", self.word),
            ("watch", self.watch),
        )
        return ((phase, steps) for phase, steps in own if steps)

    def phase(self, step: int) -> Phase:
        """The phase that a step belongs to."""
        for phase, steps in self.phases():
            if step < steps:
                return phase
            step -= steps
        raise IndexError(f"a leg of {self.steps} steps has no such step")


@dataclass(frozen=True)
class Course:
    """The legs of one model.

    ``start``: the trained miniature whose weights it begins with. None: random weights.
    """

    legs: tuple[Leg, ...]
    start: str | None = None

    @property
    def steps(self) -> int:
        """Steps in all."""
        return sum(leg.steps for leg in self.legs)


COURSES = {
    "qwen2.5-vl-7b": Course(
        (
            Leg(describe=500, ask=1200, word=1500),
            Leg(watch=1000, rate=6e-4, video_share=0.7),
        )
    ),
    "qwen2.5-vl-3b": Course((Leg(ask=100, watch=400, video_share=0.4),), start="qwen2.5-vl-7b"),
    "qwen2.5-vl-32b": Course((Leg(watch=300, rate=5e-4, video_share=0.4),), start="qwen2.5-vl-7b"),
    "qwen2.5-vl-72b": Course((Leg(watch=300, rate=5e-4, video_share=0.4),), start="qwen2.5-vl-7b"),
    "llava-1.5-7b": Course((Leg(describe=500, ask=1100, word=800), Leg(word=600, rate=6e-4))),
    "llava-next-video-7b": Course((Leg(watch=400, rate=6e-4, video_share=0.4),), start="llava-1.5-7b"),
}

# The trained base that a predictor starts from; the others start from random weights.
PREDICTOR_STARTS = {"predictor-qwen2.5-vl-3b": "qwen2.5-vl-3b"}
