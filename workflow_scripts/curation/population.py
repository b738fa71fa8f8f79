"""All videos that the annotation files speak of, and for each of its formats the record that stands for it.

The annotation files are read once, whole, one after the other (`read_annotations`). What a draw needs goes into the
index, a row a video and format, with the place of the record's bytes, so that the chosen records are read by seeking.
"""

from __future__ import annotations

import gc
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.curation import columns
from workflow_scripts.curation.annotations import Record, read_record
from workflow_scripts.curation.quarantine import Row
from workflow_scripts.curation.reading import Memory, read_file
from workflow_scripts.curation.registry import Format, registry
from workflow_scripts.curation.sampling import Video, hasher
from workflow_scripts.curation.sources import source
from workflow_scripts.settings import InputError

INDEX = pa.schema(
    [
        ("video", pa.string()),  # relative to the data set's root
        ("subset", columns.NAME),
        ("source", columns.NAME),
        ("duration", columns.NAME),  # bin
        ("format", columns.NAME),
        ("records", pa.int32()),  # good records of this video in this format
        ("file", columns.NAME),  # of the record that stands for the video; relative to the data set's root
        ("start", pa.int64()),  # its first byte in the file
        ("length", pa.int32()),  # in bytes
    ]
)


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection meanwhile: nothing here makes cycles, and each would walk millions of objects again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@dataclass(frozen=True)
class Annotations:
    """What one annotation file holds: number of its elements, rows of the index, rows of the quarantine."""

    records: int
    sha256: str
    bytes: int
    index: pa.Table
    malformed: list[Row]


@dataclass
class Population:
    """Videos by path relative to the data set's root; good records by (source, format, duration, subset)."""

    videos: dict[str, Video] = field(default_factory=dict)
    records: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)

    @classmethod
    @uncollected()
    def of(cls, index: pa.Table) -> Population:
        """The population of an index, whose rows the videos' `records` name."""
        names = [columns.values(index[name]) for name in ("video", "subset", "source", "duration", "format")]
        videos: dict[str, Video] = {}
        for row, (path, subset, origin, duration, format_) in enumerate(zip(*names, strict=True)):
            video = videos.get(path)
            if video is None:
                videos[path] = Video(path, subset, origin, duration, {format_: row})
            else:
                video.records[format_] = row
        return cls(videos, _count(index))


def _count(index: pa.Table) -> Counter[tuple[str, str, str, str]]:
    """Good records by (source, format, duration, subset)."""
    if not len(index):
        return Counter()
    coded = [columns.codes(index[name]) for name in ("source", "format", "duration", "subset")]
    shape = [len(names) for _, names in coded]
    sums = np.bincount(
        np.ravel_multi_index([codes for codes, _ in coded], shape), columns.values(index["records"])
    ).astype(int)
    present = np.flatnonzero(sums)
    places = zip(coded, np.unravel_index(present, shape), strict=True)
    keys = zip(*([names[code] for code in codes] for (_, names), codes in places), strict=True)
    return Counter(dict(zip(keys, sums[present].tolist(), strict=True)))


@uncollected()
def read_annotations(
    dataset: Path, name: str, subset: str, format_: Format, seed: int, memory: Memory | None = None
) -> Annotations:
    """Read one annotation file. Of several records of a video, that with the smallest hash stands for it.

    name: of the file, relative to the data set's root. memory: to read it into. Malformed records are set aside with
    file and index. Raises InputError where the file is not a JSON array.
    """
    path = dataset / name
    folder = name.rpartition("/")[0]
    data = (memory or Memory()).load(path)
    malformed: list[Row] = []
    held: dict[str, list[Any]] = {}  # video: what is hashed, its hash once another is there, start, length, records
    hashed, records = hasher(seed, "record"), 0
    for run in read_file(path, data, format_):
        if run.fault is not None:
            named = f"{folder}/{run.videos[0]}" if run.videos[0] else ""
            malformed.append((named, "malformed-record", f"{name} record {records}: {run.fault}"))
            records += 1
            continue
        records += len(run.ids)
        for identifier, video, question, start, length in zip(*run[:5], strict=True):
            content = f"{identifier}\x1f{video}\x1f{question}".encode()
            known = held.get(video)
            if known is None:
                held[video] = [content, None, start, length, 1]
                continue
            known[4] += 1
            order = hashed(content)
            if known[1] is None:
                known[1] = hashed(known[0])
            if order < known[1]:
                known[1:4] = order, start, length
    digest = hashlib.sha256(data).hexdigest()
    return Annotations(records, digest, len(data), _index(name, folder, subset, format_, held), malformed)


def _index(name: str, folder: str, subset: str, format_: Format, held: dict[str, list[Any]]) -> pa.Table:
    count = len(held)
    found = [
        columns.texts(f"{folder}/{video}" for video in held),
        columns.names(repeat(subset, count)),
        columns.names(map(source, held)),
        columns.names(repeat(registry().subsets[subset].duration, count)),
        columns.names(repeat(format_, count)),
        columns.numbers((known[4] for known in held.values()), pa.int32()),
        columns.names(repeat(name, count)),
        columns.numbers((known[2] for known in held.values()), pa.int64()),
        columns.numbers((known[3] for known in held.values()), pa.int32()),
    ]
    return pa.Table.from_arrays(found, schema=INDEX)


def read_index(path: Path) -> pa.Table:
    """The index. Raises InputError where the file is none."""
    try:
        with pq.ParquetFile(path) as file:  # read_table first loads what data sets of many files need, for longer
            table = file.read(use_threads=False)  # to start these takes longer, too
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"file {path} is not an index ({error}); expected what the rule inventory writes") from None
    if not table.schema.equals(INDEX):
        held = ", ".join(table.schema.names)
        raise InputError(
            f"file {path} is not an index (its columns are {held}); expected what the rule inventory writes"
        )
    return table


def read_chosen(index: pa.Table, dataset: Path, chosen: Iterable[tuple[Format, Video]]) -> dict[str, Record]:
    """The records that stand for the chosen videos, by the video's path, each read at its place.

    Raises InputError where an annotation file is not the one that the index was made of.
    """
    picks = sorted((video.records[format_], format_, video.path) for format_, video in chosen)
    places = index.select(["file", "start", "length"]).take([row for row, *_ in picks]).to_pylist()
    found: dict[str, Record] = {}
    name, handle = "", None
    try:
        for (_, format_, path), place in zip(picks, places, strict=True):
            if place["file"] != name or handle is None:
                if handle is not None:
                    handle.close()
                name = place["file"]
                handle = (dataset / name).open("rb")
            handle.seek(place["start"])
            try:
                record = read_record(handle.read(place["length"]), format_)
                if not path.endswith(f"/{record.video}"):
                    raise ValueError(f"the record is of {record.video}")
            except ValueError as error:
                raise InputError(
                    f"file {dataset / name} is not the one of the inventory (at byte {place['start']}: {error}); "
                    "run inventory again"
                ) from None
            found[path] = record
    finally:
        if handle is not None:
            handle.close()
    return found


def sample_id(subset: str, format_: str, record: Record) -> str:
    """`<subset>/<record id>-<8 hex digits>`; the digits depend on the record's whole content and its format."""
    text = "\x1f".join((format_, record.id, record.video, *(value for turn in record.turns for value in turn)))
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{subset}/{record.id}-{digest}"
