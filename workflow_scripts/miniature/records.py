"""Conversations about a scene, worded as LLaVA-Video-178K words its caption, open-ended and multiple-choice records."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from workflow_scripts.miniature.question import YES_NO, Question
from workflow_scripts.miniature.questions import (
    SHOWN,
    caption,
    event_questions,
    image_caption,
    image_questions,
    video_questions,
)
from workflow_scripts.miniature.scene import Scene

Format = Literal["caption", "open_ended", "multiple_choice"]
LETTERS = "ABCD"
CAPTION_INSTRUCTIONS = (
    "Describe the video in detail.",
    "Please provide a detailed description of the video.",
    "What happens in the video?",
)
IMAGE_CAPTION_INSTRUCTIONS = ("Describe the image in detail.", "What is in the image?")
FULL_OPTION = "Please provide your answer by stating the letter followed by the full option."
# How brief an event is, in words: what an instruction can tell about the frames it needs.
HINTS = {16: "It lasts a moment.", 32: "It is brief.", 64: "It is over in an instant."}
HINTED = 0.7  # share of the instructions about a brief event that tell it
ONLY_LETTER = "Please respond with only the letter of the correct answer."


@dataclass(frozen=True)
class Exchange:
    """A human turn, its answer, and the minimal sufficient budget of the answer."""

    human: str
    gpt: str
    budget: int


def open_ended(question: Question) -> Exchange:
    """The question as it is; the answer as a sentence."""
    answer = question.claim.format(question.answer) if question.claim else f"{question.answer.capitalize()}."
    return Exchange(question.text, answer, question.budget)


def multiple_choice(question: Question, full_option: bool) -> Exchange:
    """Options as lines "A. ..."; the answer "A. <option>." or "A." as the question's last line asks."""
    lines = "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, question.options, strict=False))
    letter = LETTERS[question.options.index(question.answer)]
    answer = f"{letter}. {question.answer}." if full_option else f"{letter}."
    return Exchange(f"{question.text}\n{lines}\n{FULL_OPTION if full_option else ONLY_LETTER}", answer, question.budget)


def _exchanges(rng: random.Random, questions: Sequence[Question], kind: Format) -> list[Exchange]:
    if kind == "open_ended":
        return [open_ended(question) for question in questions]
    return [multiple_choice(q, rng.random() < 0.5) for q in questions if q.options != YES_NO]


def _hint(scene: Scene, kind: Format, budget: int) -> str:
    """A sentence on how brief the event is, or nothing."""
    told = budget in HINTS and random.Random(f"hint-{kind}-{scene.seed}").random() < HINTED
    return f" {HINTS[budget]}" if told else ""


def video_exchanges(scene: Scene, kind: Format, wording: str = SHOWN) -> list[Exchange]:
    """One to three exchanges about a clip; most records ask about its event, some only about what stays.

    In ``HINTED`` of the records, the question about a brief event says so. ``wording``: of what a caption shows.
    """
    rng = random.Random(f"record-{kind}-{scene.seed}")
    if kind == "caption":
        text, budget = caption(scene, wording)
        return [Exchange(rng.choice(CAPTION_INSTRUCTIONS) + _hint(scene, kind, budget), text, budget)]
    events = [replace(q, text=q.text + _hint(scene, kind, q.budget)) for q in event_questions(scene)]
    others = video_questions(scene)[len(events) :]
    rng.shuffle(others)
    about_the_event = rng.random() >= 0.25
    chosen = [rng.choice(events), *others[: rng.randint(0, 2)]] if about_the_event else others[: rng.randint(1, 2)]
    rng.shuffle(chosen)
    exchanges = _exchanges(rng, chosen, kind)
    return exchanges or _exchanges(rng, [question for question in events if question.options != YES_NO][:1], kind)


def image_exchanges(scene: Scene, kind: Format, turns: int) -> list[Exchange]:
    """Up to ``turns`` exchanges about a still."""
    rng = random.Random(f"record-{kind}-{scene.seed}")
    if kind == "caption":
        return [Exchange(rng.choice(IMAGE_CAPTION_INSTRUCTIONS), image_caption(scene), 1)]
    return _exchanges(rng, image_questions(scene), kind)[:turns]


def conversations(exchanges: Sequence[Exchange]) -> list[dict[str, str]]:
    """The record's ``conversations``: the media placeholder on the first human turn only."""
    turns = []
    for i, exchange in enumerate(exchanges):
        turns.append({"from": "human", "value": ("<image>\n" if i == 0 else "") + exchange.human})
        turns.append({"from": "gpt", "value": exchange.gpt})
    return turns
