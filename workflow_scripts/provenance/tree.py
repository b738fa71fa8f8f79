"""A lineage as a tree of text: jobs with their files, down to what no job made."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from workflow_scripts.provenance.findings import Finding
from workflow_scripts.provenance.records import File, Record, Records, Source
from workflow_scripts.provenance.sources import listed_files
from workflow_scripts.settings import InputError

DIGITS = 12


def draw(records: Records, top: Record, findings: Sequence[Finding], *, full: bool) -> Iterator[str]:
    """The lines of the tree below a job. full: every file with its whole checksum, not their number alone.

    A job that several others read is drawn once; elsewhere its line ends with an arrow.
    """
    by_record: dict[str | None, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_record[finding.record].append(finding)
    drawn: set[str] = set()
    stack: list[tuple[str, str, Record | Source]] = [("", "", top)]
    while stack:
        first, rest, node = stack.pop()
        if isinstance(node, Source):
            yield f"{first}{describe(node)}"
            if full:
                yield from (f"{rest}    {line}" for line in _listed(node, records))
            continue
        if node.key in drawn:
            yield f"{first}{node.name}  ↑"
            continue
        drawn.add(node.key)
        yield f"{first}{node.name}  {_summary(node)}"
        below: list[Record | Source] = [*records.parents(node), *node.sources]
        bar = f"{rest}{'│' if below else ' '}   "
        yield from (f"{bar}! {one.kind.name.lower()}: {one.text}" for one in by_record[node.key] if one.kind.name)
        yield from (f"{bar}{line}" for line in _files(node, full=full))
        for number, child in enumerate(reversed(below)):
            last = number == 0
            stack.append((f"{rest}{'└── ' if last else '├── '}", f"{rest}{'    ' if last else '│   '}", child))


def plain(text: str) -> str:
    """Text of a record for a terminal: what is not printable, a line's end among it, is written as Python writes it."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def describe(source: Source) -> str:
    """A source in a line."""
    revision = f" at {source.revision[:DIGITS]}" if source.revision else ""
    files = f", {source.count} files, sha256 {source.sha256[:DIGITS]}" if source.sha256 else ""
    return f"{source.kind} {source.name}: {source.place}{revision}{files}"


def _listed(source: Source, records: Records) -> list[str]:
    try:
        return [f"{sha256} {path}" for path, sha256 in listed_files(source, records.locate)]
    except InputError as error:
        return [str(error)]


def _summary(record: Record) -> str:
    run = record.run
    if run is None:
        return f"{record.ended[:16].replace('T', ' ')}"
    changed = "+" if run.changed else ""
    said = [
        run.ended[:16].replace("T", " "),
        f"{(run.commit or 'no commit')[:8]}{changed}",
        run.host,
        _seconds(run.wall_s),
    ]
    said += [f"{len(run.gpus)} GPU" + "s" * (len(run.gpus) > 1)] if run.gpus else []
    return "  ".join(said)


def _files(record: Record, *, full: bool) -> Iterator[str]:
    if full:
        yield f"$ {record.command}"
        yield from (f"{file.sha256} {file.path}" for file in record.made)
        return
    yield from (f"{_below(record, file)}  {file.sha256[:DIGITS]}" for file in record.outputs)
    if record.beside:
        yield f"and {len(record.beside)} files beside, {sum(file.bytes for file in record.beside) / 1e6:.1f} MB"


def _below(record: Record, file: File) -> str:
    return file.path.removeprefix(f"{record.root}/")


def _seconds(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
