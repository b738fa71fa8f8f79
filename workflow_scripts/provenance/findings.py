"""What an audit finds in a lineage: of each file whether it is what its record says, of each record whether it holds.

Every check compares contents. Times are only ever shown.
"""

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path
from typing import Any

from workflow_scripts.content.checksums import Checksums
from workflow_scripts.provenance.closure import ROOT, Repository
from workflow_scripts.provenance.gather import code_digest, module_of, used_digests
from workflow_scripts.provenance.invocation import Invocation
from workflow_scripts.provenance.loose import carried
from workflow_scripts.provenance.parameters import is_code, parsed
from workflow_scripts.provenance.pending import pending
from workflow_scripts.provenance.records import File, Record, Records, Source, files_digest
from workflow_scripts.provenance.sources import listed_files
from workflow_scripts.provenance.why import explain
from workflow_scripts.settings import InputError

SHOWN = 4
DRAWN = (".png", ".pdf", ".svg")
"""Endings of the pictures that carry an identity."""
THREADS = 4


class Kind(IntFlag):
    """What can be wrong; the exit status of an audit is the sum of what was found."""

    STALE = 4
    EDITED = 8
    UNCOMMITTED = 16
    MIXED = 32
    MISSING = 64


@dataclass(frozen=True)
class Finding:
    """Something wrong. `record`: key of the record it is about; None for the lineage as a whole. `path`: the file."""

    kind: Kind
    record: str | None
    text: str
    path: str | None = None


@dataclass(frozen=True)
class Checked:
    """How many files were compared with their records, and which sources are not on this machine."""

    files: int
    bytes: int
    elsewhere: tuple[Source, ...]


def check_files(records: Records, lineage: Sequence[Record], checksums: Checksums) -> tuple[list[Finding], Checked]:
    """Whether every file of a lineage, and every source that is at hand, has the content that is on record."""
    findings: list[Finding] = []
    wanted: list[tuple[Record, str, Path, str]] = []
    elsewhere = []
    for record in lineage:
        wanted += [(record, file.path, records.locate(file.path), file.sha256) for file in record.made]
        wanted += [(record, file.path, records.locate(file.path), file.sha256) for file in _unmade(records, record)]
        for source in record.sources:
            place, listed = records.locate(source.place), _listed(source, records)
            if listed is not None and files_digest((sha, path) for path, sha in listed) != source.sha256:
                text = f"{source.kind} {source.name}: the list of its files is not the one on record"
                findings.append(Finding(Kind.EDITED, record.key, text))
            if os.path.isdir(place):
                wanted += [(record, f"{source.place}/{path}", place / path, sha) for path, sha in listed or ()]
            elif source.count:
                elsewhere.append(source)
    unique = {str(path): (record, name, path, sha256) for record, name, path, sha256 in reversed(wanted)}
    with ThreadPoolExecutor(THREADS) as pool:
        found = pool.map(lambda one: checksums.of(one[2]) if os.path.isfile(one[2]) else None, unique.values())
        contents = dict(zip(unique, found, strict=True))
    for record, name, path, sha256 in wanted:
        content = contents[str(path)]
        if content is None:
            findings.append(Finding(Kind.MISSING, record.key, f"{name} is not there", name))
        elif content != sha256:
            findings.append(
                Finding(Kind.EDITED, record.key, f"{name} is not as it was: {content[:12]}, not {sha256[:12]}", name)
            )
    sizes = sum(path.stat().st_size for _, _, path, _ in unique.values() if os.path.isfile(path))
    return list(dict.fromkeys(findings)), Checked(len(unique), sizes, tuple(elsewhere))


def check_records(records: Records, lineage: Sequence[Record]) -> list[Finding]:
    """Whether each job used what is there now, was made by a commit's code, and left a note of its process."""
    found = []
    for record in lineage:
        found += [Finding(Kind.STALE, record.key, text) for text in _stale(records, record)]
        found += [Finding(Kind.MISSING, record.key, text) for text in _missing(records, record)]
        found += [Finding(Kind.UNCOMMITTED, record.key, text) for text in _uncommitted(record)]
        found += [Finding(Kind.EDITED, record.key, text) for text in _contradictions(records, record)]
    return found


def check_code(lineage: Sequence[Record], repository: Repository) -> list[Finding]:
    """Whether the code behind each command is, here and now, what it was."""
    found = []
    for record in lineage:
        called = module_of(record.command)
        if record.code is None:
            continue
        if called is None:
            found.append(Finding(Kind.STALE, record.key, "its command runs no code of this repository"))
            continue
        try:
            now = repository.code(called[0])
        except InputError as error:
            found.append(Finding(Kind.STALE, record.key, f"its code is not there: {error}"))
            continue
        changes = [*_differ(record.code.modules, now.modules), *_differ(record.code.packages, now.packages)]
        if changes:
            kept = "; its files were kept all the same, with --touch" if record.kept else ""
            found.append(Finding(Kind.STALE, record.key, f"code has changed since: {_some(changes)}{kept}"))
    return found


def check_settings(
    records: Records, target: Record, lineage: Sequence[Record], repository: Repository, called: Invocation
) -> list[Finding]:
    """Whether the study's configuration, here and now, gives each job the settings and the input files that it had.

    called: how Snakemake is to be called. Raises InputError where that cannot be told: the study is not in its place
    below the working directory, an overlay is missing, or Snakemake cannot plan it.
    """
    if Path(records.root).resolve() != records.folder.resolve():
        raise InputError(f"{records.folder} is not {records.root} below the working directory")
    files = [Path(path).absolute() for path in called.configfiles]
    for path in files:
        if not path.is_file():
            raise InputError(f"file {path} is missing; expected the overlay that the study ran with")
    waiting = pending([target.key], files, Path.cwd(), ROOT / "Snakefile", called.config)
    wanted = {record.key for record in lineage}
    return [
        Finding(Kind.STALE, job.outputs[0], line)
        for job in waiting
        if job.outputs[0] in wanted
        for line in [
            *(one for one in explain(job, repository) if one.startswith(("setting ", "the rule's command"))),
            *([f"it did not read what it would read now: {_some(job.added)}"] if job.added else []),
            *([f"it read what it would not read now: {_some(job.gone)}"] if job.gone else []),
        ]
    ]


def check_versions(lineage: Sequence[Record]) -> list[Finding]:
    """Whether all jobs ran the same versions: of Python, of packages, and of the code that they share."""
    versions: dict[str, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for record in lineage:
        ran = {} if record.run is None else {"Python": record.run.python, **record.run.packages}
        code = {} if record.code is None else record.code.modules
        for name, version in [*ran.items(), *code.items()]:
            versions[name][version].append(record)
    mixed = {name: found for name, found in versions.items() if len(found) > 1}
    return [
        Finding(Kind.MIXED, None, f"{name}: " + ", ".join(f"{version} ({_jobs(by)})" for version, by in found.items()))
        for name, found in sorted(mixed.items())
    ]


def commits(lineage: Iterable[Record]) -> list[str]:
    """The commits that a lineage was made at, in its order."""
    return list(dict.fromkeys(record.run.commit for record in lineage if record.run and record.run.commit))


def _unmade(records: Records, record: Record) -> Iterator[File]:
    """Inputs that no job on record made."""
    yield from (file for file in record.inputs if records.of(file.path) is None)


def _listed(source: Source, records: Records) -> list[tuple[str, str]] | None:
    """A source's files; None where only a revision is known, or the list is not there, which is found by itself."""
    if source.sha256 is None or (source.listed_in and not os.path.isfile(records.locate(source.listed_in))):
        return None
    try:
        return listed_files(source, records.locate)
    except InputError:
        return []


def _stale(records: Records, record: Record) -> Iterator[str]:
    makers = {file.path: maker for file in record.inputs if (maker := records.of(file.path)) is not None}
    for file in record.inputs:
        made = {one.path: one.sha256 for one in makers[file.path].made} if file.path in makers else {}
        if made.get(file.path, file.sha256) != file.sha256:
            yield f"it read another {file.path} than {makers[file.path].name} has made since"
    now = used_digests([file.path for file in record.inputs], makers)
    for key, digest in record.used.items():
        if now.get(key) != digest:
            yield f"it read other files beside {key} than are on record now"
    if record.run is not None and record.run.unplanned:
        yield f"it ran other code than was planned: {_some(record.run.unplanned)}"


def _missing(records: Records, record: Record) -> Iterator[str]:
    for file in _unmade(records, record):
        if file.path.startswith(f"{record.root}/"):
            yield f"{file.path} has no record"
    if record.run is None:
        yield "its process left no note: machine, versions and commit are not known"


def _uncommitted(record: Record) -> Iterator[str]:
    if record.run is None:
        return
    if record.run.changed:
        yield f"made by code that is in no commit: {_some(record.run.changed)}"
    if record.run.commit is None or record.run.changed is None:
        yield "made by code outside git, or of a commit that is not here"


def _contradictions(records: Records, record: Record) -> Iterator[str]:
    """What a record says twice, and not the same each time: in Snakemake's own, or in what a figure carries."""
    said = record.snakemake
    if said and not record.kept:
        values = [parsed(str(one)) for one in said.get("params") or []]
        code = next((one for one in values if is_code(one)), None)
        settings = [one for one in values if not is_code(one)]
        mine = None if record.code is None else record.code.model_dump(exclude={"digest"})
        beside = {
            "rule": record.rule == said.get("rule"),
            "command": record.command == said.get("shellcmd"),
            "settings": _sorted(record.settings.values()) == _sorted(settings),
            "code": mine == code and (code is None or record.code is None or record.code.digest == code_digest(code)),
        }
        wrong = [name for name, same in beside.items() if not same]
        if wrong:
            yield f"its record was edited: {', '.join(wrong)} and Snakemake's part of it contradict each other"
    if record.run is not None and record.run.identity is not None:
        for path in (records.locate(file.path) for file in record.outputs if file.path.endswith(DRAWN)):
            known = carried(path) if os.path.isfile(path) else None
            if known is not None and known.record != record.run.identity:
                yield f"{path} carries the identity of another making: {known.record}"


def _sorted(values: Iterable[Any]) -> list[str]:
    return sorted(json.dumps(one, sort_keys=True, default=str) for one in values)


def _differ(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    return [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _jobs(records: Sequence[Record]) -> str:
    return records[0].name if len(records) == 1 else f"{len(records)} jobs"
