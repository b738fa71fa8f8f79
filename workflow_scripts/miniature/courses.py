"""How each miniature base model is trained: what it starts from, and for how long."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Course:
    """Steps of 32 lessons in all, of them first ``describe``, then ``ask`` (see ``lessons``); peak learning rate.

    ``start``: the trained miniature whose weights it begins with. None: random weights.
    """

    steps: int
    describe: int = 0
    ask: int = 0
    rate: float = 1e-3
    start: str | None = None


COURSES = {
    "qwen2.5-vl-7b": Course(3200, describe=500, ask=1200),
    "qwen2.5-vl-3b": Course(600, ask=200, start="qwen2.5-vl-7b"),
    "qwen2.5-vl-32b": Course(400, rate=5e-4, start="qwen2.5-vl-7b"),
    "qwen2.5-vl-72b": Course(400, rate=5e-4, start="qwen2.5-vl-7b"),
    "llava-1.5-7b": Course(2400, describe=500, ask=1100),
    "llava-next-video-7b": Course(600, ask=200, start="llava-1.5-7b"),
}

# The trained base that a predictor starts from; the others start from random weights.
PREDICTOR_STARTS = {"predictor-qwen2.5-vl-3b": "qwen2.5-vl-3b"}
