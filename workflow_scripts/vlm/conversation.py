"""Conversations, and their text as a model's chat template writes it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from transformers import ProcessorMixin

from workflow_scripts.settings import InputError
from workflow_scripts.vlm.media import Media

ROLES: dict[str, Literal["user", "assistant"]] = {"human": "user", "gpt": "assistant"}
"""Who speaks, as LLaVA's records name them."""


@dataclass(frozen=True)
class Turn:
    """One message; ``text`` holds no media placeholder."""

    role: Literal["user", "assistant"]
    text: str


@dataclass(frozen=True)
class Example:
    """A conversation about ``media``, which stands before the text of the first user turn."""

    turns: tuple[Turn, ...]
    media: Media | None


def turns(conversations: Sequence[Mapping[str, str]], sample_id: str) -> tuple[Turn, ...]:
    """A manifest's conversation as turns; InputError unless human and gpt alternate and the last turn is an answer."""
    speakers = [turn["from"] for turn in conversations]
    if not speakers or speakers != list(ROLES) * (len(speakers) // 2):
        raise InputError(
            f"manifest: sample {sample_id} has turns {', '.join(speakers) or 'none'}; expected human and gpt in turn"
        )
    return tuple(Turn(role=ROLES[turn["from"]], text=turn["value"]) for turn in conversations)


@dataclass(frozen=True)
class Skeleton:
    """What a chat template writes around the texts of the turns.

    Attributes:
        pieces: template text before, between and after the turns: one more than there are turns.
        trims: whether the template strips the white space around a turn's text.
        closings: for each turn the length of the end-of-turn mark that opens the piece after it, 0 for user turns.
    """

    pieces: tuple[str, ...]
    trims: bool
    closings: tuple[int, ...]


def skeleton(
    processor: ProcessorMixin,
    roles: Sequence[str],
    content: Sequence[Mapping[str, Any]],
    end_of_turn: str,
    prompt: bool,
) -> Skeleton:
    """Render the chat template once for a sequence of roles.

    Args:
        processor: holds the chat template.
        roles: role of each turn.
        content: the template's entries for the media, put before the first user turn's text.
        end_of_turn: the token that closes an answer; added where the template leaves it out (LLaVA-1.5's does).
        prompt: whether the text ends with the prompt for the next answer.

    Raises:
        InputError: the template changes, drops or reorders the turns.
    """
    marks = [f"\ue000{index}\ue001" for index in range(len(roles))]
    first_user = next((index for index, role in enumerate(roles) if role == "user"), -1)
    messages = []
    for index, role in enumerate(roles):
        media = list(content) if index == first_user else []
        messages.append({"role": role, "content": [*media, {"type": "text", "text": f" {marks[index]} "}]})
    text = str(processor.apply_chat_template(messages, add_generation_prompt=prompt))
    trims = bool(marks) and f" {marks[0]} " not in text
    pieces: list[str] = []
    for mark in marks:
        found = mark if trims else f" {mark} "
        before, hit, text = text.partition(found)
        if not hit:
            raise InputError("chat template: a turn is changed or dropped; expected each turn's text, in order")
        pieces.append(before)
    pieces.append(text)
    closings = [0] * len(roles)
    for index, role in enumerate(roles):
        if role != "assistant":
            continue
        after = pieces[index + 1]
        if not after.lstrip().startswith(end_of_turn):
            after = end_of_turn + after.lstrip()
        pieces[index + 1] = after
        closings[index] = after.index(end_of_turn) + len(end_of_turn)
    return Skeleton(tuple(pieces), trims, tuple(closings))


def fill(frame: Skeleton, turns: Sequence[Turn]) -> tuple[str, list[tuple[int, int]]]:
    """Put the turns into a skeleton.

    Returns:
        The text, and the character spans of what the assistant says, each with its end-of-turn mark.
    """
    parts = [frame.pieces[0]]
    length = len(frame.pieces[0])
    spans: list[tuple[int, int]] = []
    for index, turn in enumerate(turns):
        text = turn.text.strip() if frame.trims else turn.text
        after = frame.pieces[index + 1]
        if turn.role == "assistant":
            spans.append((length, length + len(text) + frame.closings[index]))
        parts += (text, after)
        length += len(text) + len(after)
    return "".join(parts), spans
