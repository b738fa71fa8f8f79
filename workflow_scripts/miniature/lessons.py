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

from workflow_scripts.frames.sampling import uniform_indices
from workflow_scripts.miniature import records, wording
from workflow_scripts.miniature.question import Question
from workflow_scripts.miniature.questions import event_questions, image_questions, video_questions
from workflow_scripts.miniature.render import Frame, render
from workflow_scripts.miniature.scene import Scene, draw_image_scene, draw_video_scene
from workflow_scripts.vlm.conversation import Example, Turn
from workflow_scripts.vlm.media import Clip

FIRST_SEED = 20_000_000
FORMATS: tuple[records.Format, ...] = ("caption", "open_ended", "multiple_choice")


def _compressed(frame: Frame) -> Image.Image:
    """The frame after a JPEG, as the frame store keeps frames."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=90)
    return Image.open(buffer).convert("RGB")


def _asked(rng: random.Random, question: Question, media: Literal["image", "video"]) -> tuple[str, str]:
    """(prompt, answer) of a question in a random wording: a benchmark's, or a training record's."""
    if not question.is_yes_no and rng.random() < 0.4:
        question = question.as_yes_no(rng.random() < 0.5, rng)
    styles = [style for style in wording.styles(question, media) if "adaptation_open" not in style]
    draw = rng.random()
    if styles and draw < 0.8:
        return wording.render(question, rng.choice(styles))
    if draw < 0.9 or question.is_yes_no:
        exchange = records.open_ended(question)
    else:
        exchange = records.multiple_choice(question, rng.random() < 0.5)
    return exchange.human, exchange.gpt


def _turns(exchanges: list[tuple[str, str]]) -> tuple[Turn, ...]:
    return tuple(turn for human, gpt in exchanges for turn in (Turn("user", human), Turn("assistant", gpt)))


def _image_exchanges(rng: random.Random, scene: Scene, turns: int) -> list[tuple[str, str]]:
    questions = image_questions(scene)
    rng.shuffle(questions)
    exchanges = [_asked(rng, question, "image") for question in questions[:turns]]
    if rng.random() < 0.3:
        # Last in its conversation, so that no answer can be read off the description.
        exchanges += _described(scene)
    return exchanges


def _video_exchanges(rng: random.Random, scene: Scene, turns: int) -> list[tuple[str, str]]:
    events = event_questions(scene)
    still = video_questions(scene)[len(events) :]
    chosen = rng.sample(still, min(turns, len(still)))
    if rng.random() < 0.5:
        chosen[0] = rng.choice(events)
    rng.shuffle(chosen)
    return [_asked(rng, question, "video") for question in chosen]


def _described(scene: Scene) -> list[tuple[str, str]]:
    if scene.event:
        return [(told.human, told.gpt) for told in records.video_exchanges(scene, "caption")]
    return [(told.human, told.gpt) for told in records.image_exchanges(scene, "caption", 1)]


def lesson(
    number: int, video_share: float, describe: bool = False, frames: int = 8, turns: int = 3, seed: int = FIRST_SEED
) -> Example:
    """Lesson ``number``: a still, or, in ``video_share`` of the lessons, a clip of ``frames`` frames.

    ``describe``: the lesson is a description, which supervises every attribute of every thing in few tokens; otherwise up
    to ``turns`` questions in the wordings of benchmarks and records.
    """
    rng = random.Random(f"lesson-{seed}-{number}")
    if rng.random() >= video_share:
        scene = draw_image_scene(seed + number)
        exchanges = _described(scene) if describe else _image_exchanges(rng, scene, turns)
        return Example(_turns(exchanges), (_compressed(render(scene)),))
    scene = draw_video_scene(seed + number, budget=8)
    indices = uniform_indices(scene.n_frames, frames)
    pixels = np.stack([np.asarray(_compressed(render(scene, index))) for index in indices])
    times = np.array([scene.timestamps_s[index] for index in indices])
    duration = scene.timestamps_s[-1] + (scene.timestamps_s[-1] - scene.timestamps_s[-2])
    exchanges = _described(scene) if describe else _video_exchanges(rng, scene, turns)
    return Example(_turns(exchanges), Clip(pixels, times, duration))


def corpus(size: int = 3000) -> Iterator[str]:
    """Every text the models must spell, for training a tokenizer: lessons and records, both media."""
    for number in range(size):
        for share in (0.0, 1.0):
            rng = random.Random(f"corpus-{number}")
            scene = draw_image_scene(FIRST_SEED + number) if share == 0.0 else draw_video_scene(FIRST_SEED + number)
            exchanges = _video_exchanges(rng, scene, 5) if share else _image_exchanges(rng, scene, 5)
            for human, gpt in exchanges:
                yield f"{human}\n{gpt}"
            for kind in FORMATS:
                told = records.video_exchanges(scene, kind) if share else records.image_exchanges(scene, kind, 3)
                for exchange in told:
                    yield f"{exchange.human}\n{exchange.gpt}"
    for budget in (8, 16, 32, 64):
        yield f"{budget} frames"
