"""What the miniature predictors are taught: instructions about drawn clips, and the budget each needs at the least.

A lesson shows a clip as stage `budgets` shows it to a predictor, and asks about several instructions in that stage's
prompt, with options in random order. The instructions are worded as in the training records, about other scenes: seeds
start at 30,000,000, and no other scene of the project is drawn from them.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from workflow_scripts.miniature.records import Format, conversations, video_exchanges
from workflow_scripts.miniature.render import render
from workflow_scripts.miniature.scene import Scene, draw_video_scene
from workflow_scripts.predictors.prompt import instruction, letters, prompt
from workflow_scripts.settings import PredictorSettings
from workflow_scripts.video.sampling import uniform_indices
from workflow_scripts.vlm.conversation import Example, Turn
from workflow_scripts.vlm.media import Clip

FIRST_SEED = 30_000_000
HELD_OUT = 500_000  # number of the first lesson that only validates
FORMATS: tuple[Format, ...] = ("caption", "open_ended", "multiple_choice")


@dataclass(frozen=True)
class Case:
    """A drawn clip, an instruction about it and the instruction's minimal sufficient budget."""

    scene: Scene
    instruction: str
    budget: int


def cases(number: int) -> list[Case]:
    """The cases of scene `number`: one a record format, in random order."""
    rng = random.Random(f"budget-lesson-{number}")
    scene = draw_video_scene(FIRST_SEED + number, variable=rng.random() < 0.15)
    kinds = rng.sample(FORMATS, len(FORMATS))
    told = [video_exchanges(scene, kind) for kind in kinds]
    return [
        Case(scene, instruction(conversations(exchanges)), max(exchange.budget for exchange in exchanges))
        for exchanges in told
    ]


def clip_of(scene: Scene, frames: int) -> Clip:
    """`frames` uniform frames of a drawn scene, after a JPEG each, as the frame store would give them."""
    indices = uniform_indices(scene.n_frames, frames)
    pixels = np.stack([stored(render(scene, index)) for index in indices])
    times = np.array([scene.timestamps_s[index] for index in indices])
    return Clip(pixels, times, 2 * scene.timestamps_s[-1] - scene.timestamps_s[-2])


def stored(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A frame after a JPEG of the frame store's kind."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=95, subsampling=0)
    return np.asarray(Image.open(buffer).convert("RGB"))


def budget_lesson(number: int, predictor: PredictorSettings, budgets: Sequence[int]) -> Example:
    """Scene `number` and a question, with its answer letter, about each of its cases."""
    rng = random.Random(f"budget-options-{number}")
    turns: list[Turn] = []
    asked = cases(number)
    for case in asked:
        order = tuple(rng.sample(range(len(budgets)), len(budgets)))
        letter = letters(budgets)[order.index(budgets.index(case.budget))]
        text = prompt(predictor.question, case.instruction, budgets, order, predictor.frames)
        turns += [Turn("user", text), Turn("assistant", letter)]
    return Example(tuple(turns), clip_of(asked[0].scene, predictor.frames))


def corpus(predictor: PredictorSettings, budgets: Sequence[int], scenes: int = 1000) -> Iterator[str]:
    """The texts of the first lessons, for a tokenizer."""
    for number in range(scenes):
        for case in cases(number):
            yield prompt(predictor.question, case.instruction, budgets, tuple(range(len(budgets))), predictor.frames)
