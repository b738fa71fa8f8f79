"""Records of the annotation files: read from the JSON arrays, checked one by one, multiple choice understood.

A record is `{"id", "conversations": [{"from": "human"|"gpt", "value"}, ...], "data_source", "video"}`. In the first
human turn a placeholder stands for the video; it is removed here and put back by whoever builds model inputs.
`validate` says what a good record is.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import msgspec

from workflow_scripts.curation.registry import Format
from workflow_scripts.settings import InputError

CHUNK = 4 << 20
LONGEST_RECORD = 64 << 20
_SPACE = " \t\r\n"
_AFTER_VALUE = tuple(_SPACE + ",]")
PLACEHOLDER = re.compile(r"<(?:image|video)>[ \t]*\n?")
_OPTION = re.compile(r"\(?([A-Z])[.)]\s+(\S.*)")
_ANSWER = re.compile(r"\(?([A-Z])(?:[.):]\s*(.*))?", re.DOTALL)


class MalformedRecord(ValueError):
    """A record that cannot be used; the message says what is wrong and what was expected."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """One conversation about one video."""

    id: str
    video: str
    turns: tuple[tuple[str, str], ...]  # (question, answer), without placeholder


@dataclass(frozen=True, slots=True)
class MultipleChoice:
    """One multiple-choice turn, taken apart."""

    stem: str
    options: tuple[str, ...]  # texts of A, B, ...
    answer: int  # index of the right option
    phrasing: Literal["letter_and_option", "letter", "other"]


def read_record(data: bytes, format: Format) -> Record:
    """The record in these bytes of an annotation file. Raises ValueError where they hold no good record."""
    return validate(json.loads(data), format)


def stream_array(path: Path) -> Iterator[tuple[Any, int, int]]:
    """Elements of a JSON array with first byte and number of bytes, in memory bounded by a chunk and an element.

    Raises InputError naming the file and the place where it is not a JSON array.
    """
    decoder, scan = codecs.getincrementaldecoder("utf-8")(), json.JSONDecoder().raw_decode
    buffer, position, dropped, ended, expect = "", 0, 0, False, "["
    counted, at_byte = 0, 0  # characters of the buffer that are counted in bytes, and the bytes up to there

    def broken(what: str, at: int) -> InputError:
        return InputError(f"file {path}: {what} at character {dropped + at}; expected a JSON array of records")

    with path.open("rb") as handle:

        def more() -> bool:
            nonlocal buffer, position, dropped, ended, counted, at_byte
            data = handle.read(CHUNK)
            try:
                text = decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                raise broken(f"not UTF-8 ({error.reason})", len(buffer)) from None
            ended = not data
            at_byte += len(buffer[counted:position].encode())
            buffer, dropped, position, counted = buffer[position:] + text, dropped + position, 0, 0
            return not ended

        while True:
            while position < len(buffer) and (
                buffer[position] in _SPACE or (dropped + position == 0 and buffer[0] == "\ufeff")
            ):
                position += 1
            if position == len(buffer):
                if more():
                    continue
                if expect == "end":
                    return
                raise broken("the file ends too early", position)
            character = buffer[position]
            if expect == "end":
                raise broken("there is text after the array", position)
            if expect == "[":
                if character != "[":
                    raise broken(f"found {character!r}", position)
                expect, position = "first", position + 1
            elif character == "]" and expect in ("first", "separator"):
                expect, position = "end", position + 1
            elif expect == "separator":
                if character != ",":
                    raise broken(f"found {character!r} between two records", position)
                expect, position = "value", position + 1
            else:
                try:
                    value, end = scan(buffer, position)
                except json.JSONDecodeError as error:
                    if len(buffer) - position < LONGEST_RECORD and more():
                        continue
                    raise broken(error.msg, error.pos) from None
                if buffer[end : end + 1] not in _AFTER_VALUE and not ended:  # a number may go on in the next chunk
                    more()
                    continue
                start = at_byte + len(buffer[counted:position].encode())
                length = len(buffer[position:end].encode())
                counted, at_byte = end, start + length
                yield value, start, length
                expect, position = "separator", end


def validate(raw: Any, format: Format) -> Record:
    """The record, checked and without placeholder; MalformedRecord where it cannot be used."""
    if not isinstance(raw, dict):
        raise MalformedRecord(f"the record is {_kind(raw)}; expected an object")
    identifier, video, conversations = raw.get("id"), raw.get("video"), raw.get("conversations")
    if isinstance(identifier, bool) or not isinstance(identifier, str | int) or identifier == "":
        raise MalformedRecord(f"id is {_kind(identifier)}; expected a text or a whole number")
    if not isinstance(video, str) or not video:
        raise MalformedRecord(f"video is {_kind(video)}; expected a path")
    if PurePosixPath(video).is_absolute() or ".." in PurePosixPath(video).parts or "\x00" in video:
        raise MalformedRecord(f"video is {video!r}; expected a path inside the subset's folder")
    if not isinstance(conversations, list) or not conversations or len(conversations) % 2:
        raise MalformedRecord("conversations is not a list of pairs of turns, human then gpt")
    values: list[str] = []
    for number, turn in enumerate(conversations):
        speaker = "gpt" if number % 2 else "human"
        if not isinstance(turn, dict) or turn.get("from") != speaker or not isinstance(turn.get("value"), str):
            raise MalformedRecord(f"turn {number} is not {{'from': {speaker!r}, 'value': <text>}}")
        value = turn["value"].strip() if number % 2 else PLACEHOLDER.sub("", turn["value"]).strip()
        if not value:
            raise MalformedRecord(f"turn {number} is empty")
        if PLACEHOLDER.search(value):
            raise MalformedRecord(f"turn {number} is an answer that holds a placeholder for the video")
        values.append(value)
    try:
        "".join((video, str(identifier), *values)).encode()
    except UnicodeEncodeError:
        raise MalformedRecord("the record holds half of a surrogate pair, which is no character") from None
    record = Record(str(identifier), video, tuple(zip(values[::2], values[1::2], strict=True)))
    if format == "multiple_choice":
        parsed = [parse_multiple_choice(*turn) for turn in record.turns]
        if any(parsed):
            return record
        raise MalformedRecord("no turn is a multiple-choice question with at least two lines 'A. ...', 'B. ...'")
    return record


def parse_multiple_choice(question: str, answer: str) -> MultipleChoice | None:
    """Take a multiple-choice turn apart; None where the question offers no options.

    Raises MalformedRecord where it offers options and the answer names none of them.
    """
    stem: list[str] = []
    options: list[str] = []
    rest: list[str] = []
    for line in question.splitlines():
        match = _OPTION.fullmatch(line.strip())
        if match and ord(match[1]) - ord("A") == len(options):
            if options:  # what stood between two options belongs to the first of them
                options[-1] = " ".join([options[-1], *(text.strip() for text in rest)])
                rest = []
            options.append(match[2].strip())
        else:
            (rest if options else stem).append(line)
    if len(options) < 2:
        return None
    match = _ANSWER.fullmatch(answer.strip())
    choice = ord(match[1]) - ord("A") if match else -1
    if not 0 <= choice < len(options):
        raise MalformedRecord(f"the answer {answer[:60]!r} names none of the {len(options)} options")
    instruction = " ".join(rest).lower()
    phrasing: Literal["letter_and_option", "letter", "other"] = "other"
    if "letter" in instruction:
        phrasing = "letter_and_option" if "full option" in instruction or "followed by" in instruction else "letter"
    return MultipleChoice("\n".join(stem).strip(), tuple(options), choice, phrasing)


def _kind(value: Any) -> str:
    return "missing" if value is None else f"{str(value)[:40]!r} ({type(value).__name__})"
