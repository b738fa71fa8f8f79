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
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.curation.annotations import Record, read_file, read_record
from workflow_scripts.curation.quarantine import Row
from workflow_scripts.curation.registry import Format, registry
from workflow_scripts.curation.sampling import Video
from workflow_scripts.curation.sources import source
from workflow_scripts.settings import InputError

_NAME = pa.dictionary(pa.int16(), pa.string())
INDEX = pa.schema(
    [
        ("video", pa.string()),  # relative to the data set's root
        ("subset", _NAME),
        ("source", _NAME),
        ("duration", _NAME),  # bin
        ("format", _NAME),
        ("records", pa.int32()),  # good records of this video in this format
        ("file", _NAME),  # of the record that stands for the video; relative to the data set's root
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
        found = cls()
        columns = [_values(index[name]) for name in ("video", "subset", "source", "duration", "format")]
        for row, (path, subset, origin, duration, format_) in enumerate(zip(*columns, strict=True)):
            video = found.videos.get(path)
            if video is None:
                video = found.videos[path] = Video(path, subset, origin, duration)
            video.records[format_] = row
        counts = index.group_by(["source", "format", "duration", "subset"]).aggregate([("records", "sum")]).to_pylist()
        for one in counts:
            found.records[one["source"], one["format"], one["duration"], one["subset"]] = one["records_sum"]
        return found


def _values(column: pa.ChunkedArray) -> list[Any]:
    """The column's values. A dictionary's are looked up here, which is much faster than one after the other."""
    if not pa.types.is_dictionary(column.type):
        return column.to_numpy().tolist()
    whole = column.unify_dictionaries().combine_chunks()
    names = whole.dictionary.to_pylist()
    return [names[code] for code in whole.indices.to_numpy().tolist()]


@uncollected()
def read_annotations(dataset: Path, name: str, subset: str, format_: Format, seed: int) -> Annotations:
    """Read one annotation file. Of several records of a video, that with the smallest hash stands for it.

    name: of the file, relative to the data set's root. Malformed records are set aside with file and index. Raises
    InputError where the file is not a JSON array.
    """
    path = dataset / name
    folder = name.rpartition("/")[0]
    data = path.read_bytes()
    malformed: list[Row] = []
    held: dict[str, list[Any]] = {}  # video: hash, start, length, records
    blake2b, prefix = hashlib.blake2b, f"{seed}\x1frecord\x1f"
    records = 0
    for index, (record, named, start, length) in enumerate(read_file(path, data, format_)):
        records += 1
        if not isinstance(record, Record):
            detail = f"{name} record {index}: {record}"
            malformed.append((f"{folder}/{named}" if named else "", "malformed-record", detail))
            continue
        text = f"{prefix}{record.id}\x1f{record.video}\x1f{record.turns[0][0]}"  # as sampling.key joins its parts
        order = blake2b(text.encode(), digest_size=8).digest()
        known = held.get(named)
        if known is None:
            held[named] = [order, start, length, 1]
            continue
        known[3] += 1
        if order < known[0]:
            known[:3] = order, start, length
    return Annotations(
        records, hashlib.sha256(data).hexdigest(), len(data), _index(name, folder, subset, format_, held), malformed
    )


def _index(name: str, folder: str, subset: str, format_: Format, held: dict[str, list[Any]]) -> pa.Table:
    count = len(held)

    def same(value: str) -> pa.Array:
        return pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int16()), [value])

    columns: dict[str, Any] = {
        "video": [f"{folder}/{video}" for video in held],
        "subset": same(subset),
        "source": pa.array(map(source, held), pa.string()).dictionary_encode().cast(_NAME),
        "duration": same(registry().subsets[subset].duration),
        "format": same(format_),
        "records": [known[3] for known in held.values()],
        "file": same(name),
        "start": [known[1] for known in held.values()],
        "length": [known[2] for known in held.values()],
    }
    return pa.table(columns, schema=INDEX)


def read_index(path: Path) -> pa.Table:
    """The index. Raises InputError where the file is none."""
    try:
        return pq.read_table(path, schema=INDEX)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"file {path} is not an index ({error}); expected what the rule inventory writes") from None


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
