"""All videos that the annotation files speak of, gathered in one pass, and the chosen records read in a second."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflow_scripts.curation.annotations import MalformedRecord, Record, stream_array, validate
from workflow_scripts.curation.registry import Format, registry
from workflow_scripts.curation.sampling import Pointer, Video, key
from workflow_scripts.curation.sources import source


@dataclass(slots=True)
class Population:
    """What the annotation files hold.

    videos: by path relative to the data set's root. records: number of good records by (source, format, duration).
    malformed: rows (video, reason, detail) of the quarantine. files: annotation files, by number.
    """

    videos: dict[str, Video] = field(default_factory=dict)
    records: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    malformed: list[tuple[str, str, str]] = field(default_factory=list)
    files: list[tuple[str, Format]] = field(default_factory=list)


def gather(inventory: dict[str, Any], dataset: Path, seed: int, advance: Callable[[int], None]) -> Population:
    """Read every record once. Malformed ones are set aside with file and index; `advance` is told of records read."""
    population = Population()
    for subset in inventory["subsets"]:
        duration = registry().subsets[subset["subset"]].duration
        for annotation in subset["annotations"]:
            format_: Format = annotation["format"]
            number = len(population.files)
            population.files.append((annotation["file"], format_))
            for index, raw in enumerate(stream_array(dataset / annotation["file"])):
                advance(1)
                try:
                    record = validate(raw, format_)
                except MalformedRecord as error:
                    named = raw.get("video") if isinstance(raw, dict) else None
                    path = f"{subset['folder']}/{named}" if isinstance(named, str) else ""
                    detail = f"{annotation['file']} record {index}: {error}"
                    population.malformed.append((path, "malformed-record", detail))
                    continue
                path = f"{subset['folder']}/{record.video}"
                video = population.videos.get(path)
                if video is None:
                    video = Video(path, subset["subset"], source(record.video), duration)
                    population.videos[path] = video
                population.records[video.source, format_, duration] += 1
                order = key(seed, "record", record.id, record.video, record.turns[0][0])
                held = video.records.get(format_)
                if held is None or order < held.key:
                    video.records[format_] = Pointer(order, number, index)
    return population


def read_chosen(population: Population, dataset: Path, chosen: Iterable[tuple[Format, Video]]) -> dict[str, Record]:
    """The records that stand for the chosen videos, by the video's path; each annotation file is read at most once."""
    wanted: dict[int, dict[int, str]] = {}
    for format_, video in chosen:
        pointer = video.records[format_]
        wanted.setdefault(pointer.file, {})[pointer.index] = video.path
    found: dict[str, Record] = {}
    for number, indices in wanted.items():
        name, format_ = population.files[number]
        last = max(indices)
        for index, raw in enumerate(stream_array(dataset / name)):
            if index in indices:
                found[indices[index]] = validate(raw, format_)
            if index == last:
                break
    return found


def sample_id(subset: str, format_: str, record: Record) -> str:
    """`<subset>/<record id>-<8 hex digits>`; the digits depend on the record's whole content and its format."""
    text = "\x1f".join((format_, record.id, record.video, *(value for turn in record.turns for value in turn)))
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{subset}/{record.id}-{digest}"
