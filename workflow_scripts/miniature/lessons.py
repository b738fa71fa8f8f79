"""What the miniature base models are taught: conversations about stills, and about a few short clips.

A lesson is a drawn scene and several exchanges about it, in the wordings of the training records and of the benchmarks'
tasks. Seeds start at 20,000,000; no other scene of the project is drawn from them.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator
from typing import Literal

import numpy as np
from PIL import Image

from workflow_scripts.miniature import records, wording
from workflow_scripts.miniature.question import Question
from workflow_scripts.miniature.questions import STATED, event_questions, image_questions, video_questions
from workflow_scripts.miniature.render import Frame, render
from workflow_scripts.miniature.scene import Scene, draw_image_scene, draw_video_scene
from workflow_scripts.video.sampling import uniform_indices
from workflow_scripts.vlm.conversation import Example, Turn
from workflow_scripts.vlm.media import Clip

FIRST_SEED = 20_000_000
Phase = Literal["describe", "ask", "word", "watch"]
TURNS: dict[Phase, int] = {"describe": 0, "ask": 6, "word": 3, "watch": 3}
FORMATS: tuple[records.Format, ...] = ("caption", "open_ended", "multiple_choice")


def _compressed(frame: Frame) -> Image.Image:
    """The frame after a JPEG, as the frame store keeps frames."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=90)
    return Image.open(buffer).convert("RGB")


def _plainly(rng: random.Random, question: Question) -> tuple[str, str]:
    """(prompt, answer) as a training record words it."""
    if not question.is_yes_no and rng.random() < 0.3:
        question = question.as_yes_no(rng.random() < 0.5, rng)
    if question.is_yes_no or rng.random() < 0.7:
        exchange = records.open_ended(question)
    else:
        exchange = records.multiple_choice(question, rng.random() < 0.7)
    return exchange.human, exchange.gpt


def _as_a_benchmark(rng: random.Random, question: Question, media: Literal["image", "video"]) -> tuple[str, str]:
    """(prompt, answer) in a random benchmark's wording; in a fifth of the cases a training record's."""
    if rng.random() < 0.2:
        return _plainly(rng, question)
    if not question.is_yes_no and rng.random() < 0.4:
        question = question.as_yes_no(rng.random() < 0.5, rng)
    return wording.render(question, rng.choice(wording.styles(question, media)))


def _turns(exchanges: list[tuple[str, str]]) -> tuple[Turn, ...]:
    return tuple(turn for human, gpt in exchanges for turn in (Turn("user", human), Turn("assistant", gpt)))


def _questions(rng: random.Random, scene: Scene, phase: Phase) -> list[Question]:
    """Up to ``TURNS`` questions about a scene; of a clip, one about its event half the time, or up to two always."""
    turns = TURNS[phase]
    if not scene.event:
        questions = image_questions(scene)
        rng.shuffle(questions)
        return questions[:turns]
    events = event_questions(scene)
    still = video_questions(scene)[len(events) :]
    if phase == "watch":
        chosen = rng.sample(events, min(2, len(events)))
        chosen += rng.sample(still, min(turns - len(chosen), len(still)))
    else:
        chosen = rng.sample(still, min(turns, len(still)))
        if rng.random() < 0.5:
            chosen[0] = rng.choice(events)
    rng.shuffle(chosen)
    return chosen


def _exchanges(rng: random.Random, scene: Scene, phase: Phase) -> list[tuple[str, str]]:
    if phase == "describe":
        return _described(scene)
    questions = _questions(rng, scene, phase)
    if phase == "ask":
        exchanges = [_plainly(rng, question) for question in questions]
    else:
        exchanges = [_as_a_benchmark(rng, question, "video" if scene.event else "image") for question in questions]
    # A description comes last, so that no answer can be read off it.
    return exchanges + (_described(scene) if rng.random() < 0.3 else [])


def _described(scene: Scene) -> list[tuple[str, str]]:
    if scene.event:
        return [(told.human, told.gpt) for told in records.video_exchanges(scene, "caption", STATED)]
    return [(told.human, told.gpt) for told in records.image_exchanges(scene, "caption", 1)]


def lesson(number: int, video_share: float, phase: Phase, frames: int = 8, seed: int = FIRST_SEED) -> Example:
    """Lesson ``number``: a still, or, in ``video_share`` of the lessons, a clip of ``frames`` frames.

    ``phase``: ``describe`` is a description, which supervises every attribute of every thing in few tokens; ``ask``
    is several short questions worded as training records; ``word`` is questions worded as the benchmarks' tasks;
    ``watch`` is the same, of a clip always about its event.
    """
    rng = random.Random(f"lesson-{seed}-{number}")
    if rng.random() >= video_share:
        scene = draw_image_scene(seed + number)
        return Example(_turns(_exchanges(rng, scene, phase)), (_compressed(render(scene)),))
    scene = draw_video_scene(seed + number, budget=8)
    indices = uniform_indices(scene.n_frames, frames)
    pixels = np.stack([np.asarray(_compressed(render(scene, index))) for index in indices])
    times = np.array([scene.timestamps_s[index] for index in indices])
    duration = scene.timestamps_s[-1] + (scene.timestamps_s[-1] - scene.timestamps_s[-2])
    return Example(_turns(_exchanges(rng, scene, phase)), Clip(pixels, times, duration))


def corpus(size: int = 3000) -> Iterator[str]:
    """Every text the models must spell, for training a tokenizer: lessons and records, both media."""
    for number in range(size):
        for share in (0.0, 1.0):
            rng = random.Random(f"corpus-{number}")
            scene = draw_image_scene(FIRST_SEED + number) if share == 0.0 else draw_video_scene(FIRST_SEED + number)
            for human, gpt in _exchanges(rng, scene, "word") + _exchanges(rng, scene, "ask"):
                yield f"{human}\n{gpt}"
            for kind in FORMATS:
                told = records.video_exchanges(scene, kind) if share else records.image_exchanges(scene, kind, 3)
                for exchange in told:
                    yield f"{exchange.human}\n{exchange.gpt}"
    for budget in (8, 16, 32, 64):
        yield f"{budget} frames"
