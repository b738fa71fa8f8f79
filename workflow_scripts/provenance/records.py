"""Records of how each result was made: their format, and their reader.

A study's folder holds one record a job, `provenance/records/<its first output>.json`. Records say all there is to say
without Snakemake's own folder, so that a copied study can be audited:

    records = read_records(Path("results/paper"))
    record = records.of("figures/frames.png")             # the record of a file; None where there is none
    for parent in records.parents(record): ...            # the jobs whose files it read
    for record in records.lineage([record]): ...          # all jobs behind it, each after those it depends on

A path is as the job's command names it: below `record.root` (`results/<study>`) for a file of the study, anything else
for a file from elsewhere. `records.locate(path)` is where the file is now, wherever the study's folder was copied to.
Content is SHA-256, hexadecimal; times are UTC in ISO format; sizes are bytes.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from workflow_scripts.settings import InputError, Section

FORMAT = 1
FOLDER = Path("provenance") / "records"
"""Where records are, below results/<study>/."""
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Commit = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40,64}$")]
Root = Annotated[str, StringConstraints(pattern=r"^results/[A-Za-z0-9][A-Za-z0-9._-]*$")]


class File(Section):
    """A file as it was."""

    path: str = Field(description="As the command names it.")
    bytes: int = Field(description="Size.")
    sha256: Sha256 = Field(description="Content.")
    mtime_ns: int = Field(
        ge=0, lt=2**63, description="Time of its last change, nanoseconds since 1970. Says nothing of its content."
    )


class Source(Section):
    """Files that no rule makes: base weights, annotations, videos, benchmarks."""

    kind: str = Field(description="weights, annotations, videos or benchmark.")
    name: str = Field(description="Of the model, dataset or benchmark.")
    place: str = Field(description="Folder on the machine that read it, or repository of the hub.")
    revision: str | None = Field(description="Commit of the hub's repository where that is known.")
    count: int = Field(description="Number of files; 0 where only the commit is known.")
    sha256: str | None = Field(description="Digest of the files' sorted lines `<sha256> <path below place>`.")
    listed_in: str | None = Field(description="Result that lists the files with their checksums; null: `files` does.")
    files: tuple[File, ...] = Field(description="The files, by path below `place`; empty where a result lists them.")


class Code(Section):
    """The code behind a command: modules of this repository by their syntax trees, packages by locked version."""

    digest: str = Field(description="Of modules and packages together.")
    modules: dict[str, str] = Field(description="Digest by module, or by path for a file that belongs to one.")
    packages: dict[str, str] = Field(description="Locked version by distribution.")


class Attempt(Section):
    """A start of the command that did not come to its end: killed, preempted, or its machine lost."""

    host: str = Field(description="Name of the machine.")
    started: str = Field(description="Time of the start.")
    slurm: dict[str, str] = Field(description="SLURM's variables of the job; empty without SLURM.")


class Run(Section):
    """What only the process that ran the command knew; of several processes the first."""

    started: str = Field(description="Time of the start.")
    ended: str = Field(description="Time of the end.")
    wall_s: float = Field(description="Seconds between them.")
    cpu_s: float = Field(description="CPU seconds of the process and its children.")
    peak_memory_mb: float = Field(description="Most memory that the process or one of its children held, MB.")
    processes: int = Field(description="Processes that ran the command side by side, one a GPU.")
    host: str = Field(description="Name of the machine.")
    system: str = Field(description="Operating system.")
    processor: str = Field(description="Kind of CPU.")
    cores: int = Field(description="CPU cores of the machine.")
    memory_gb: float = Field(description="Memory of the machine, GB.")
    gpus: tuple[str, ...] = Field(description="GPUs that the first process used, with memory and driver.")
    slurm: dict[str, str] = Field(description="SLURM's variables of the job; empty without SLURM.")
    python: str = Field(description="Version of Python.")
    packages: dict[str, str] = Field(description="Installed version of each locked package behind the command.")
    commit: Commit | None = Field(description="Commit of the repository; null outside git.")
    changed: tuple[str, ...] | None = Field(
        description="Files it ran whose code is not the commit's; null outside git. Comments do not count."
    )
    unplanned: tuple[str, ...] = Field(description="Modules it ran in another state than Snakemake had planned with.")
    identity: str | None = Field(description="What a figure carries of its making; null where the job drew none.")
    earlier: tuple[Attempt, ...] = Field(description="Starts before this one that did not come to their end.")


class Record(Section):
    """How the outputs of one job were made."""

    format: int = Field(description="Version of this format.")
    study: str = Field(description="Name of the study.")
    root: Root = Field(description="results/<study>: the folder that paths of the study's files begin with.")
    rule: str = Field(description="Rule of the workflow.")
    wildcards: dict[str, str] = Field(description="Its wildcards.")
    command: str = Field(description="The command as the shell got it.")
    settings: dict[str, Any] = Field(description="The rule's parameters by name, without `code`.")
    code: Code | None = Field(description="The code behind the command; null where the rule does not name it.")
    inputs: tuple[File, ...] = Field(description="Files that the job read and the rule declares.")
    outputs: tuple[File, ...] = Field(min_length=1, description="Files that the job wrote and the rule declares.")
    beside: tuple[File, ...] = Field(description="Files that the job wrote beside them, such as weights.")
    used: dict[str, str] = Field(description="Digest of the files beside that it read of each parent, by parent's key.")
    sources: tuple[Source, ...] = Field(description="What it read that no rule makes.")
    started: str = Field(description="Time of the job's start, as Snakemake has it.")
    ended: str = Field(description="Time of the job's end, as Snakemake has it.")
    peak_memory_mb: float | None = Field(description="Most memory of all its processes together, where measured, MB.")
    run: Run | None = Field(description="What the process knew; null where it left no note.")
    kept: bool = Field(description="Whether the user kept the files (--touch) although what makes them had changed.")
    snakemake: dict[str, Any] = Field(description="Snakemake's own record, which `adopt` gives back to Snakemake.")

    @model_validator(mode="after")
    def _holds(self) -> Self:
        if self.format != FORMAT:
            raise ValueError(f"it is of format {self.format}; expected {FORMAT}")
        for file in self.made:
            if not file.path.startswith(f"{self.root}/") or {"..", "."} & set(file.path.split("/")):
                raise ValueError(f"its job wrote {file.path!r}; expected a file below {self.root}")
        return self

    @property
    def key(self) -> str:
        """What a record is known by within its study: the path of its first output."""
        return self.outputs[0].path

    @property
    def name(self) -> str:
        """The rule with its wildcards."""
        return self.rule + "".join(f" {key}={value}" for key, value in sorted(self.wildcards.items()))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the whole record: what a list of records, or an export, holds it by."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def made(self) -> tuple[File, ...]:
        """All files that the job wrote."""
        return (*self.outputs, *self.beside)


class Records:
    """The records of one study's folder. Of two that name a file the later in `records` holds."""

    def __init__(self, folder: Path, records: Iterable[Record]) -> None:
        self.folder = folder
        self._records = {record.key: record for record in records}
        self._makers = {file.path: record for record in self._records.values() for file in record.made}

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    def __len__(self) -> int:
        return len(self._records)

    @property
    def root(self) -> str:
        """`results/<study>`, as the commands named it. Raises InputError where there are no records."""
        for record in self:
            return record.root
        raise InputError(f"folder {self.folder / FOLDER} holds no records; expected those of a study that ran")

    def by_key(self, key: str) -> Record | None:
        """The record whose first output has this path."""
        return self._records.get(key)

    def of(self, path: str | Path) -> Record | None:
        """The record of the job that wrote a file.

        path: as commands name it, below the study's folder (`figures/frames.png`), or where it is on this machine.
        """
        name = Path(path).as_posix()
        for candidate in (name, f"{self.root}/{name}" if self._records else name, self._named(Path(path))):
            if candidate in self._makers:
                return self._makers[candidate]
        return None

    def with_content(self, sha256: str) -> list[tuple[Record, File]]:
        """The files with this content, each with the record of the job that wrote it."""
        return [(record, file) for record in self for file in record.made if file.sha256 == sha256]

    def with_identity(self, identity: str) -> Record | None:
        """The record of the job whose figure carries this identity."""
        found = [record for record in self if record.run is not None and record.run.identity == identity]
        return found[0] if found else None

    def parents(self, record: Record) -> list[Record]:
        """The records of the jobs whose files a job read, each once, in the order of its inputs."""
        makers = [self._makers[file.path] for file in record.inputs if file.path in self._makers]
        return list({maker.key: maker for maker in makers}.values())

    def lineage(self, records: Sequence[Record]) -> list[Record]:
        """These records and all behind them, each once, after those it depends on.

        Raises InputError where a job is behind itself.
        """
        found: dict[str, Record] = {}
        begun: set[str] = set()
        waiting: list[tuple[Record, bool]] = [(record, False) for record in reversed(records)]
        while waiting:
            record, ready = waiting.pop()
            if record.key in found:
                continue
            if ready:
                found[record.key] = record
            elif record.key in begun:
                place = record_path(self.folder, self.root, record.key)
                raise InputError(f"file {place} has a job that reads what was made of its own files; expected none")
            else:
                begun.add(record.key)
                waiting.append((record, True))
                waiting += [(parent, False) for parent in reversed(self.parents(record)) if parent.key not in found]
        return list(found.values())

    def locate(self, path: str) -> Path:
        """Where a file of a record is now. A path from elsewhere is taken from the working directory."""
        return self.folder / path[len(self.root) + 1 :] if path.startswith(f"{self.root}/") else Path(path)

    def _named(self, path: Path) -> str:
        """What commands call a file that is on this machine."""
        try:
            return f"{self.root}/{path.resolve().relative_to(self.folder.resolve()).as_posix()}"
        except (ValueError, InputError):
            return path.as_posix()


def record_path(folder: Path, root: str, key: str) -> Path:
    """The file of the record with this key. root: `results/<study>`."""
    return folder / FOLDER / f"{key.removeprefix(f'{root}/')}.json"


def read_record(path: Path) -> Record:
    """One record. Raises InputError where the file is missing, cannot be read or is no record."""
    try:
        return Record.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"file {path} is missing; expected a job's record") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; expected the file of a job's record") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(f"file {path} is no job's record: {where + ': ' if where else ''}{first['msg']}") from None


def read_records(folder: Path) -> Records:
    """All records of a study, the oldest first. folder: results/<study>, or a copy of it.

    Raises InputError where one is broken, lies where that of another job belongs, or is of another study.
    """
    paths = sorted((folder / FOLDER).rglob("*.json")) if (folder / FOLDER).is_dir() else []
    found = {path: read_record(path) for path in paths}
    studies = {record.root: path for path, record in reversed(found.items())}
    if len(studies) > 1:
        each = ", ".join(f"{root} ({path})" for root, path in sorted(studies.items()))
        raise InputError(f"folder {folder / FOLDER} holds records of {each}; expected those of one study")
    for path, record in found.items():
        if path != (place := record_path(folder, record.root, record.key)):
            raise InputError(f"file {path} holds the record of {record.key}; expected that in {place} alone")
    return Records(folder, sorted(found.values(), key=lambda record: record.ended))


def files_digest(files: Iterable[tuple[str, str]]) -> str:
    """One digest of files, given as (sha256, path): of their sorted lines `<sha256> <path>`."""
    lines = sorted(f"{sha256} {path}" for sha256, path in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
