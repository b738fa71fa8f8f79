"""What a job reads that no rule makes: base weights, annotations, videos, benchmarks.

A job's settings name them. Files of a model are listed in the record; annotations and videos in the results that hold
their checksums anyway, curation/inventory.json and curation/manifest.parquet. A benchmark's videos are listed by the
rule that finds them; its questions are known by the commit of their repository.
"""

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.content.cache import cached_snapshot
from workflow_scripts.content.checksums import Checksums, loaded_files
from workflow_scripts.provenance.records import File, Source, files_digest
from workflow_scripts.settings import InputError
from workflow_scripts.settings.files import read_parquet


def find_sources(
    rule: str, settings: Mapping[str, Any], outputs: Sequence[str], root: str, checksums: Checksums
) -> tuple[Source, ...]:
    """The sources of a job, its files hashed.

    outputs: as the rule names them. root: `results/<study>`; weights below it are another job's and no source.
    """
    if rule == "inventory":
        return (_annotations(settings, outputs[0]),)
    if rule == "manifest":
        return (_videos(settings, outputs[0]),)
    if rule == "media":
        return (_benchmark_videos(settings, Path(outputs[0]), root, checksums),)
    found = []
    for model in _models(settings):
        if not str(model["source"]).startswith(f"{root}/"):
            found.append(_weights(model, checksums))
    benchmarks = settings.get("benchmarks")
    if isinstance(benchmarks, list):
        found += [_benchmark(one) for one in benchmarks]
    return tuple(found)


def listed_files(source: Source, locate: Callable[[str], Path]) -> list[tuple[str, str]]:
    """(path below the source's place, SHA-256) of every file of a source, in order.

    locate: where a result is that lists them. Raises InputError where it is missing.
    """
    if source.listed_in is None:
        return [(file.path, file.sha256) for file in source.files]
    return _listed(source.kind, locate(source.listed_in))


def _listed(kind: str, path: Path) -> list[tuple[str, str]]:
    if kind == "annotations":
        subsets = _inventory(path)["subsets"]
        try:
            return sorted((str(one["file"]), str(one["sha256"])) for subset in subsets for one in subset["annotations"])
        except (KeyError, TypeError):
            raise InputError(f"file {path} is no inventory; expected what rule inventory writes") from None
    table = read_parquet(path, ["video", "sha256"]).drop_duplicates()
    return sorted(zip(table["video"], table["sha256"], strict=True))


def _inventory(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or not {"dataset", "subsets"} <= set(found):
        raise InputError(f"file {path} is no inventory; expected what rule inventory writes")
    return found


def _annotations(settings: Mapping[str, Any], inventory: str) -> Source:
    name = _inventory(Path(inventory))["dataset"]
    return _of_list("annotations", str(name), settings, inventory)


def _videos(settings: Mapping[str, Any], manifest: str) -> Source:
    return _of_list("videos", "the sample", settings, manifest)


def _of_list(kind: str, name: str, settings: Mapping[str, Any], listed_in: str) -> Source:
    listed = _listed(kind, Path(listed_in))
    return Source(
        kind=kind,
        name=name,
        place=str(settings.get("root", "")),
        revision=settings.get("revision"),
        count=len(listed),
        sha256=files_digest((sha256, path) for path, sha256 in listed),
        listed_in=listed_in,
        files=(),
    )


def _benchmark_videos(settings: Mapping[str, Any], listing: Path, root: str, checksums: Checksums) -> Source:
    benchmark = settings.get("benchmark") or {}
    place = Path(str(settings.get("root", "")))
    with listing.open(newline="", encoding="utf-8") as handle:
        names = [row["video"] for row in csv.DictReader(handle)]
    # videos that another job of the study made are in its record
    own = f"{place.as_posix()}/".startswith(f"{root}/")
    return _files("benchmark", benchmark, place, [] if own else names, checksums)


def _benchmark(benchmark: Mapping[str, Any]) -> Source:
    return _files("benchmark", benchmark, None, [], Checksums())


def _files(
    kind: str, benchmark: Mapping[str, Any], place: Path | None, names: Sequence[str], checksums: Checksums
) -> Source:
    files = tuple(file_state(place / name, checksums, name) for name in sorted(names)) if place is not None else ()
    return Source(
        kind=kind,
        name=str(benchmark.get("name")),
        place=str(place) if files else str(benchmark.get("dataset")),
        revision=benchmark.get("revision"),
        count=len(files),
        sha256=files_digest((file.sha256, file.path) for file in files) if files else None,
        listed_in=None,
        files=files,
    )


def _models(settings: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Settings of the models that a rule's parameters name."""
    for value in settings.values():
        if isinstance(value, Mapping) and isinstance(value.get("model"), Mapping):
            value = value["model"]
        if isinstance(value, Mapping) and "source" in value and "revision" in value:
            yield value


def _weights(model: Mapping[str, Any], checksums: Checksums) -> Source:
    source, revision = str(model["source"]), model["revision"]
    name = str(model.get("name") or Path(source).name)
    if not os.path.isdir(source):
        snapshot = cached_snapshot(source, revision)
        commit = revision if snapshot is None else snapshot.name
        return Source(
            kind="weights", name=name, place=source, revision=commit, count=0, sha256=None, listed_in=None, files=()
        )
    files = tuple(file_state(path, checksums, path.name) for path in loaded_files(Path(source)))
    return Source(
        kind="weights",
        name=name,
        place=source,
        revision=None,
        count=len(files),
        sha256=files_digest((file.sha256, file.path) for file in files),
        listed_in=None,
        files=files,
    )


def file_state(path: Path, checksums: Checksums, name: str) -> File:
    """A file as it is, called `name`. Raises InputError where it is missing."""
    sha256 = checksums.of(path)
    status = path.stat()
    return File(path=name, bytes=status.st_size, sha256=sha256, mtime_ns=status.st_mtime_ns)
