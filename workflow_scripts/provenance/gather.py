"""Put the records of a study's jobs together, after a run of Snakemake, whether it succeeded or failed.

    python -m workflow_scripts.provenance.gather --configfile presets/miniature.yaml

does the same at any time. A record joins what Snakemake knows of a job (rule, settings, command, times), the note that
the job's process left (machine, versions, commit, memory), and the checksums of the files. Jobs whose records are
there already are passed over. A file that is not as its job left it gets no record: it was edited.

Nothing here makes a job run again. See records.py for the format.
"""

import argparse
import asyncio
import hashlib
import json
import os
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from workflow_scripts.content.checksums import Checksums
from workflow_scripts.notes import job as notes
from workflow_scripts.provenance.closure import DIGITS, ROOT
from workflow_scripts.provenance.commits import History
from workflow_scripts.provenance.invocation import write_invocation
from workflow_scripts.provenance.parameters import is_code, parsed
from workflow_scripts.provenance.plan import planned
from workflow_scripts.provenance.records import (
    FORMAT,
    Attempt,
    Code,
    File,
    Record,
    Run,
    files_digest,
    read_records,
    record_path,
)
from workflow_scripts.provenance.sources import file_state, find_sources
from workflow_scripts.settings import InputError
from workflow_scripts.settings.cli import run
from workflow_scripts.settings.files import write_json

NOTES = Path("provenance") / "notes"
MEMORY = Path("provenance") / "files.json"
"""Where checksums of a study's files are remembered."""
BESIDE = {
    "world": {"dataset": True},
    "benchmarks": {"benchmarks": True},
    "stills": {"images": True},
    "train": {"model": True, "adapter": True, "snapshots": False},
    "interpolate": {"model": True, "adapter": True},
    "evaluate": {"lmms_eval": False},
}
"""Folders that a rule fills beside its declared outputs, and whether later jobs read them."""
THREADS = 4


@dataclass
class Gathered:
    """What was done: records written and files edited since their job, by path; why other jobs have no record."""

    written: list[str] = field(default_factory=list)
    edited: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"{len(self.written)} records written"]
        lines += [f"{path} is not as its job left it; it gets no record" for path in self.edited]
        return "\n".join(lines + self.failed)


def gather(jobs: Iterable[Any], persistence: Any, study: str, repository: Path = ROOT) -> Gathered:
    """Write the records that are missing or no longer hold.

    jobs: Snakemake's, each after those it depends on. persistence: where Snakemake keeps its own records.
    """
    root = f"results/{study}"
    folder = Path(root)
    known = read_records(folder)
    checksums = Checksums(folder / MEMORY)
    history = History(repository)
    makers = {file.path: record for record in known for file in record.made}
    gathered = Gathered()
    for job in asyncio.run(_finished(jobs, persistence, root)):
        outputs = [str(path) for path in job.output]
        recorded = {path: persistence.metadata(output) for path, output in zip(outputs, job.output, strict=True)}
        snakemake = {key: value for key, value in recorded[outputs[0]].model_dump().items() if key != "endtime"}
        before = known.by_key(outputs[0])
        if before is not None and before.snakemake == snakemake:
            continue
        edited = [path for path in outputs if os.stat(path).st_mtime != recorded[path].endtime]
        if edited:
            gathered.edited += edited
            continue
        place, note = _note(folder, str(snakemake["shellcmd"]))
        for path, found in note.get("wrote", {}).items():
            checksums.learn(Path(path), found)
        try:
            record = _kept(_record(job, study, snakemake, recorded, note, makers, checksums, history), before)
        except InputError as error:
            gathered.failed.append(f"{outputs[0]} has no record: {error}")
            continue
        write_json(record.model_dump(mode="json"), record_path(folder, root, record.key))
        place.unlink(missing_ok=True)
        makers |= {file.path: record for file in record.made}
        gathered.written.append(record.key)
    checksums.remember()
    return gathered


async def _finished(jobs: Iterable[Any], persistence: Any, root: str) -> list[Any]:
    """The jobs whose files are whole and below `root`, and that Snakemake has records of."""
    return [
        job
        for job in jobs
        if job.output
        and all(str(path).startswith(f"{root}/") and os.path.exists(path) for path in job.output)
        and all(persistence.metadata(path) is not None for path in job.output)
        and not await persistence.incomplete(job)
    ]


def _record(
    job: Any,
    study: str,
    snakemake: dict[str, Any],
    recorded: Mapping[str, Any],
    note: Mapping[str, Any],
    makers: Mapping[str, Record],
    checksums: Checksums,
    history: History,
) -> Record:
    root, rule = f"results/{study}", str(snakemake["rule"])
    settings, code = _settings(job, snakemake["params"] or [])
    outputs, inputs = list(recorded), _inputs(job, snakemake["input"] or [])
    read = {path: found.removeprefix("sha256:") for path, found in (snakemake["input_checksums"] or {}).items()}
    beside = [path for path in _beside(rule, outputs) if path not in outputs]
    with ThreadPoolExecutor(THREADS) as pool:
        states = list(pool.map(lambda path: file_state(Path(path), checksums, path), [*outputs, *beside]))
    return Record(
        format=FORMAT,
        study=study,
        root=root,
        rule=rule,
        wildcards={key: str(value) for key, value in job.wildcards_dict.items()},
        command=str(snakemake["shellcmd"]),
        settings=settings,
        code=code,
        inputs=tuple(_input(path, read.get(path), checksums) for path in inputs),
        outputs=tuple(states[: len(outputs)]),
        beside=tuple(states[len(outputs) :]),
        used=used_digests(inputs, makers),
        sources=find_sources(rule, settings, outputs, root, checksums),
        started=_time(snakemake["starttime"]),
        ended=_time(max(found.endtime for found in recorded.values())),
        peak_memory_mb=_peak_memory(str(job.benchmark)) if job.benchmark else None,
        run=_run(note, code, history) if note else None,
        kept=False,
        snakemake=snakemake,
    )


def _inputs(job: Any, recorded: Sequence[str]) -> list[str]:
    """The inputs that a job had when it ran, in the rule's order."""
    named = [path for path in dict.fromkeys(map(str, job.input)) if path in recorded]
    return [*named, *(path for path in recorded if path not in named)]


def _input(path: str, read: str | None, checksums: Checksums) -> File:
    """An input as it was when the job ended, where Snakemake has its checksum; else, of a large file, as it is."""
    place = Path(path)
    if read is None or not place.is_file():
        return file_state(place, checksums, path)
    status = place.stat()
    return File(path=path, bytes=status.st_size, sha256=read, mtime_ns=status.st_mtime_ns)


def used_digests(inputs: Sequence[str], makers: Mapping[str, Record]) -> dict[str, str]:
    """Digest of the files beside the declared ones that later jobs read, of each job that made an input."""
    found = {}
    for path in inputs:
        maker = makers.get(path)
        if maker is not None and (read := [file for file in maker.beside if _is_read(maker, file.path)]):
            found[maker.key] = files_digest((file.sha256, file.path) for file in read)
    return found


def _is_read(maker: Record, path: str) -> bool:
    base = os.path.commonpath([os.path.dirname(file.path) for file in maker.outputs])
    return BESIDE.get(maker.rule, {}).get(os.path.relpath(path, base).split(os.sep)[0], False)


def _beside(rule: str, outputs: Sequence[str]) -> list[str]:
    """Files in the folders that a rule fills beside its declared outputs."""
    if rule not in BESIDE:
        return []
    base = Path(os.path.commonpath([os.path.dirname(path) for path in outputs]))
    return sorted(str(path) for name in BESIDE[rule] for path in (base / name).rglob("*") if path.is_file())


def _kept(record: Record, before: Record | None) -> Record:
    """The record; where nothing ran, because the user kept the files with --touch, how they were made as it was."""
    if before is None or record.run is not None or _contents(record) != _contents(before):
        return record
    changed = any(getattr(record, name) != getattr(before, name) for name in ("code", "settings", "command"))
    made = ("command", "settings", "code", "started", "ended", "peak_memory_mb", "run")
    return record.model_copy(update={**{name: getattr(before, name) for name in made}, "kept": before.kept or changed})


def _contents(record: Record) -> list[tuple[str, str]]:
    return [(file.path, file.sha256) for file in record.outputs]


def _settings(job: Any, recorded: Sequence[str]) -> tuple[dict[str, Any], Code | None]:
    """The parameters that a job ran with, by name, and the code behind it.

    Snakemake keeps them without names. The rule has the names: a parameter that the rule gives another value now is
    left over, and kept without one.
    """
    left = list(recorded)
    settings: dict[str, Any] = {}
    code = None
    for name, value in job.params.items():
        if repr(value) in left:
            left.remove(repr(value))
            settings[name] = parsed(repr(value))
    for number, text in enumerate(left, start=1):
        settings[f"unnamed-{number}"] = parsed(text)
    for name, value in list(settings.items()):
        if is_code(value):
            code = Code(digest=code_digest(value), **settings.pop(name))
    return settings, code


def code_digest(value: Any) -> str:
    """Of the modules and packages behind a command."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _note(folder: Path, command: str) -> tuple[Path, dict[str, Any]]:
    """The note that a command's process left of a run that came to its end, and where it is."""
    called = module_of(command)
    path = folder / NOTES / f"{notes.name(*called) if called else 'none'}.json"
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return path, {}
    return path, note if isinstance(note, dict) and note.get("status") == 0 else {}


def module_of(command: str) -> tuple[str, list[str]] | None:
    """The module of this repository that a shell command runs, with its arguments; None where it runs none."""
    try:
        words = shlex.split(command)
    except ValueError:
        return None
    for before, word in enumerate(words[1:]):
        if words[before] == "-m" and word.split(".")[0] == notes.PACKAGE:
            after = words[before + 2 :]
            return word, after[: after.index(">")] if ">" in after else after
    return None


def _run(note: Mapping[str, Any], code: Code | None, history: History) -> Run:
    changed = None if note["commit"] is None else history.changed(note["commit"], note["modules"])
    return Run(
        **{key: note[key] for key in ("started", "ended", "wall_s", "cpu_s", "peak_memory_mb", "processes", "host")},
        **note["machine"],
        **{key: note[key] for key in ("gpus", "slurm", "python", "packages", "commit")},
        changed=changed,
        unplanned=tuple(_unplanned(note["modules"], code, history)),
        identity=note.get("identity"),
        earlier=tuple(Attempt(**one) for one in note["earlier"]),
    )


def _unplanned(modules: Mapping[str, str], code: Code | None, history: History) -> Iterator[str]:
    """Modules that ran in another state than the one that Snakemake planned with."""
    planned = code.modules if code is not None else {}
    for path, name in modules.items():
        module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        if module in planned and (history.code(path, name) or "")[:DIGITS] != planned[module]:
            yield module


def _peak_memory(benchmark: str) -> float | None:
    """Most memory of a job's processes together, which Snakemake has sampled; None where the job was too short."""
    try:
        last = json.loads(Path(benchmark).read_text(encoding="utf-8").splitlines()[-1])
    except (OSError, ValueError, IndexError):
        return None
    value = last.get("max_rss")
    return float(value) if isinstance(value, int | float) else None


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def gather_workflow(workflow: Any, study: str) -> str:
    """The records of a Snakemake workflow whose jobs are planned; what to say of it. Never raises."""
    jobs = [job for level in workflow.dag.toposorted() for job in level]
    try:
        write_invocation(workflow, Path(f"results/{study}"))
        return str(gather(jobs, workflow.persistence, study))
    except Exception as error:  # whatever is wrong with records, the study's jobs did what they should
        return f"records are incomplete: {type(error).__name__}: {error}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", type=Path, nargs="+", default=[], help="overlays on config.yaml")
    parser.add_argument("--directory", type=Path, default=Path(), help="working directory; by default this one")
    options = parser.parse_args()
    configfiles = [path.absolute() for path in options.configfile]
    with planned([], configfiles, options.directory.absolute(), ROOT / "Snakefile") as workflow:
        said = gather_workflow(workflow, workflow.globals["STUDY"].study)
    print(said)


if __name__ == "__main__":
    run(main)
