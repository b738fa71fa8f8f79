"""Where two lineages part: the jobs that differ by themselves, earliest first, and those that only follow."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from workflow_scripts.provenance.records import Record, Records, Source
from workflow_scripts.provenance.why import differences


@dataclass(frozen=True)
class Parting:
    """A job that differs by itself. `causes`: a line each."""

    name: str
    causes: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Two lineages beside each other. `partings`: in the order of the work; `following`: jobs whose files differ
    only because files they read do; `equal`: jobs that made equal files."""

    partings: tuple[Parting, ...]
    following: tuple[str, ...]
    equal: int


def compare(first: tuple[Records, Record], second: tuple[Records, Record]) -> Comparison:
    """Compare what is behind two results. Jobs are the same where rule and wildcards are."""
    sides = [{one.name: one for one in records.lineage([record])} for records, record in (first, second)]
    partings: list[Parting] = []
    following: list[str] = []
    equal = 0
    for name in _merged(*(list(side) for side in sides)):
        before, now = (side.get(name) for side in sides)
        if before is None or now is None:
            partings.append(Parting(name, (f"only behind the {'second' if before is None else 'first'}",)))
            continue
        causes = list(_causes(before, now))
        same = _contents(before) == _contents(now)
        if not causes and not same and _inputs(before) == _inputs(now):
            causes = [f"made other files of equal files: {', '.join(_other(before, now))}"]
        if causes:
            partings.append(Parting(name, tuple(causes)))
        elif not same:
            following.append(name)
        equal += same
    return Comparison(tuple(partings), tuple(following), equal)


def _causes(before: Record, now: Record) -> Iterator[str]:
    """What differs in a job itself: settings, code, versions, sources."""
    for line in differences(_settings(before), _settings(now)):
        yield f"setting {line}"
    for name, one, other in _pairs(before.code.modules if before.code else {}, now.code.modules if now.code else {}):
        yield f"code {name}: {one or 'not imported'} -> {other or 'not imported'}"
    packages = [one.run.packages | {"Python": one.run.python} if one.run else {} for one in (before, now)]
    if all(packages):
        for name, one, other in _pairs(*packages):
            yield f"package {name}: {one or 'not loaded'} -> {other or 'not loaded'}"
    for name, one, other in _pairs(_sources(before.sources), _sources(now.sources)):
        yield f"source {name}: {one or 'none'} -> {other or 'none'}"


def _settings(record: Record) -> Any:
    """A job's settings, the study's own folder called by no name."""
    return _without(record.settings, record.root, record.study)


def _without(value: Any, root: str, study: str) -> Any:
    if isinstance(value, dict):
        return {key: _without(one, root, study) for key, one in value.items()}
    if isinstance(value, list):
        return [_without(one, root, study) for one in value]
    if isinstance(value, str):
        return "<study>" if value == study else value.replace(f"{root}/", "<results>/")
    return value


def _contents(record: Record) -> set[tuple[str, str]]:
    return {(file.path.removeprefix(record.root), file.sha256) for file in record.outputs}


def _inputs(record: Record) -> set[tuple[str, str]]:
    read = {(file.path.removeprefix(record.root), file.sha256) for file in record.inputs}
    return read | {(key.removeprefix(record.root), digest) for key, digest in record.used.items()}


def _other(before: Record, now: Record) -> list[str]:
    return sorted(path.lstrip("/") for path, _ in _contents(now) - _contents(before))


def _sources(sources: Sequence[Source]) -> dict[str, str]:
    return {f"{one.kind} {one.name}": (one.sha256 or one.revision or "unknown")[:12] for one in sources}


def _pairs(before: dict[str, str], now: dict[str, str]) -> Iterator[tuple[str, str | None, str | None]]:
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            yield name, before.get(name), now.get(name)


def _merged(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Names of both, each once: in the order of the second, those of the first alone before what follows them."""
    known = set(second)
    alone: dict[str | None, list[str]] = {}
    next_: str | None = None
    for name in reversed(first):
        if name in known:
            next_ = name
        else:
            alone.setdefault(next_, []).insert(0, name)
    merged = [one for name in second for one in [*alone.get(name, []), name]]
    return [*merged, *alone.get(None, [])]
