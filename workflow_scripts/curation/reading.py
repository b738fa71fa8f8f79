"""Annotation files read fast: of each record what identifies it, and where its bytes are.

Records are read in runs. Of a run no more is decoded than it takes to see that all of its records are plainly good. The
fast way may only accept what `validate` accepts, to the same record. A run that is not plain is read by halves, down to
the record that `validate` decides about.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from string import ascii_uppercase
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from workflow_scripts.curation.annotations import MalformedRecord, stream_array, validate
from workflow_scripts.curation.registry import Format

LONGEST_RUN = 64
_USUAL = "<image>\n"
_SAYS = re.compile(rb'"[!#-\[\]-~]').match  # a text that begins with what is neither blank nor escaped
_NAMES = re.compile(rb'"([A-Z])[.):"]').match  # a text that begins with an option's letter
_OPTIONS = re.compile(r"\n([A-Z])\. (?=\S)").findall
_OFFERS = {ascii_uppercase[:count] for count in range(2, 27)}  # letters of so many options


class Run(NamedTuple):
    """Consecutive elements of an annotation file, column by column: good records, or one element that is malformed."""

    ids: list[str]  # empty texts where malformed, like the questions
    videos: list[str]  # as the elements name them; empty where one does not
    questions: list[str]  # each record's first, without placeholder
    starts: list[int]  # first bytes
    lengths: list[int]  # in bytes
    fault: MalformedRecord | None = None


class Memory:
    """Holds the bytes of one file after the other: fresh memory for each costs more than reading it.

    size: of the largest file, in bytes, where known.
    """

    def __init__(self, size: int = 0) -> None:
        self._data = bytearray(size)

    def load(self, path: Path) -> memoryview:
        """A file's bytes, until the next one is loaded."""
        with path.open("rb", buffering=0) as handle:
            size = os.fstat(handle.fileno()).st_size
            if size > len(self._data):
                self._data = bytearray(size)
            view, at = memoryview(self._data)[:size], 0
            while read := handle.readinto(view[at:]):
                at += read
        return view[:at]


class _Asked(msgspec.Struct, gc=False, tag_field="from", tag="human"):
    value: str


class _Told(msgspec.Struct, gc=False, tag_field="from", tag="gpt"):
    value: msgspec.Raw  # most of a file's text, of which the beginning is enough


class _Found(msgspec.Struct, gc=False):
    id: str
    video: str
    conversations: list[_Asked | _Told]


_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
_decode = msgspec.json.Decoder(_Found).decode
_text = msgspec.json.Decoder(str).decode


def read_file(path: Path, data: bytes | memoryview, format: Format) -> Iterator[Run]:
    """All elements of an annotation file, in order.

    path: the file, for messages and for reading again what is unusual. data: its bytes. Raises InputError naming the
    file and the place where it is not a JSON array.
    """
    codes = np.frombuffer(data, np.uint8)
    try:
        _check_text(codes)
        elements = _ELEMENTS.decode(codes.data)
    except (ValueError, RecursionError):
        for value, start, length in stream_array(path):
            yield _judge(value, start, length, format)
        return
    for first in range(0, len(elements), LONGEST_RUN):
        yield from _read(elements[first : first + LONGEST_RUN], codes, format)


def _read(elements: list[msgspec.Raw], codes: np.ndarray, format: Format) -> Iterator[Run]:
    """Consecutive elements of a file. codes: the file's bytes, uint8."""
    run = _plain(elements, codes, format)
    if run is not None:
        yield run
    elif len(elements) == 1:
        place = pa.py_buffer(elements[0])
        yield _judge(json.loads(bytes(elements[0])), place.address - codes.ctypes.data, place.size, format)
    else:
        half = len(elements) // 2
        yield from _read(elements[:half], codes, format)
        yield from _read(elements[half:], codes, format)


def _plain(elements: list[msgspec.Raw], codes: np.ndarray, format: Format) -> Run | None:
    """The elements, where all are plainly good records."""
    try:
        found = list(map(_decode, elements))
        ids, videos = [record.id for record in found], [record.video for record in found]
        paths = "\n".join(["", *videos])
        if "" in ids or "" in videos or "\n/" in paths or ".." in paths or "\x00" in paths:
            return None
        talks = [record.conversations for record in found]
        if any(not turns or len(turns) % 2 for turns in talks):
            return None
        turns = list(chain.from_iterable(talks))
        asked = [turn.value for turn in turns[::2] if type(turn) is _Asked]
        told = [turn.value for turn in turns[1::2] if type(turn) is _Told]
        if len(asked) + len(told) < len(turns):
            return None
        opening: list[str] = [turns[0].value for turns in talks]  # type: ignore[misc]
        questions = [question.removeprefix(_USUAL).strip() for question in opening]
        if not all(questions) or not (_offer if format == "multiple_choice" else _say)(asked, told):
            return None
    except msgspec.DecodeError:
        return None
    places, base = list(map(pa.py_buffer, elements)), codes.ctypes.data
    starts, lengths = [place.address - base for place in places], [place.size for place in places]
    own = codes[starts[0] : starts[-1] + lengths[-1]]
    # Nowhere a `<` but that of the usual placeholder, nor one written as \u003c: so there is no other placeholder.
    if np.count_nonzero(own == ord("<")) != sum(question.startswith(_USUAL) for question in opening):
        return None
    escapes = (own[:-4] == ord("\\")) & (own[4:] == ord("3"))
    if escapes.any() and (escapes & (own[1:-3] == ord("u"))).any():
        return None
    return Run(ids, videos, questions, starts, lengths)


def _check_text(codes: np.ndarray) -> None:
    """Raises ValueError where the bytes, uint8, are no UTF-8."""
    ends = pa.py_buffer(np.array([0, len(codes)], np.int64))
    pa.LargeStringArray.from_buffers(1, ends, pa.py_buffer(codes)).validate(full=True)


def _say(asked: list[str], told: list[msgspec.Raw]) -> bool:
    """Whether neither questions nor answers are blank. Raises DecodeError where an answer is no text."""
    if not all(map(str.strip, asked)):
        return False
    return all(map(_SAYS, told)) or all(_SAYS(answer) or _text(answer).strip() for answer in told)


def _offer(asked: list[str], told: list[msgspec.Raw]) -> bool:
    """Whether each question plainly offers options, and its answer plainly names one of them."""
    named = [_NAMES(answer) for answer in told]
    offered = ["".join(_OPTIONS(question)) for question in asked]
    return (
        all(named)
        and _OFFERS.issuperset(offered)
        and all(name[1].decode() in options for name, options in zip(named, offered, strict=True) if name)
    )


def _judge(value: Any, start: int, length: int, format: Format) -> Run:
    named = value.get("video") if isinstance(value, dict) else None
    video = named if isinstance(named, str) else ""
    try:
        record = validate(value, format)
    except MalformedRecord as error:
        return Run([""], [video], [""], [start], [length], error)
    return Run([record.id], [record.video], [record.turns[0][0]], [start], [length])
