"""Verify an exported study, and unpack it.

    python -m workflow_scripts.provenance.import_crate paper.crate.zip [--output imported]

Comes in: what `export` wrote, a folder or a ZIP archive, from anywhere. Every file is compared with the SHA-256 that
the crate's metadata give, and with that in its job's record; without one, with those of the jobs that read it. Files
that the metadata do not name, or name and that are missing, are faults too; files that no job on record made are named.
Goes out, with --output and without faults: the crate's files in that folder, where `audit --results <folder>/results`
finds the study's records. Exit status: 0 verified, 1 faults, which are named.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from workflow_scripts.content.checksums import Checksums
from workflow_scripts.hub.archive import zip_members
from workflow_scripts.hub.names import clean
from workflow_scripts.hub.stream import Damaged
from workflow_scripts.provenance.export import misread
from workflow_scripts.provenance.records import FOLDER, Records, read_records
from workflow_scripts.settings import InputError
from workflow_scripts.settings.cli import run
from workflow_scripts.settings.files import atomic_path

METADATA = "ro-crate-metadata.json"
SHOWN = 4


def files_of(crate: Path) -> dict[str, str | None]:
    """SHA-256 by path of every file that the crate's metadata name; None where they give none.

    Raises InputError where there are no metadata, or a path leads out of the crate.
    """
    path = crate / METADATA
    try:
        graph = json.loads(path.read_text(encoding="utf-8"))["@graph"]
        entities = [entity for entity in graph if "File" in _types(entity)]
        return {clean(unquote(entity["@id"])): _sha256(entity) for entity in entities}
    except FileNotFoundError:
        raise InputError(f"file {path} is missing; expected an RO-Crate") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"file {path} is not an RO-Crate's metadata: {error}") from None


def faults(crate: Path) -> Iterator[str]:
    """What is not as the crate's metadata and its records say, a line a fault."""
    checksums = Checksums()
    named = files_of(crate)
    for name, wanted in named.items():
        path = crate / name
        if path.is_symlink() or not path.is_file():
            yield f"{name} is missing"
        elif wanted is None:
            yield f"{name} has no SHA-256 in {METADATA}"
        elif (found := checksums.of(path)) != wanted:
            yield f"{name} has SHA-256 {found[:12]}..., and {wanted[:12]}... in {METADATA}"
    there = {path.relative_to(crate).as_posix() for path in crate.rglob("*") if path.is_symlink() or not path.is_dir()}
    yield from (f"{name} is not named in {METADATA}" for name in sorted(there - set(named) - {METADATA}))
    studies = list(studies_of(crate))
    if not studies:
        yield f"no records of jobs are below results/<study>/{FOLDER}"
    for records in studies:
        yield from _unlike_records(crate, records, named)


def studies_of(crate: Path) -> Iterator[Records]:
    """The records of each study in a crate."""
    for folder in sorted(crate.glob(f"results/*/{FOLDER.as_posix()}")):
        yield read_records(folder.parents[1])


def _unlike_records(crate: Path, records: Records, named: dict[str, str | None]) -> Iterator[str]:
    if records.folder != crate / records.root:
        yield f"the records in {records.folder.relative_to(crate)} are of {records.root}"
    for record in records:
        for file in record.made:
            wanted = named.get(file.path)
            if wanted is not None and wanted != file.sha256 and records.of(file.path) is record:
                said = f"{file.sha256[:12]}... in the record of {record.name}"
                yield f"{file.path} has SHA-256 {wanted[:12]}..., and {said}"
    yield from misread(records, named)


def _unrecorded(crate: Path) -> list[str]:
    """Files of the studies that no job on record made."""
    named = [name for name in files_of(crate) if name.startswith("results/")]
    made = list(studies_of(crate))
    own = tuple(f"{records.root}/{FOLDER.as_posix()}/" for records in made)
    return [name for name in named if not name.startswith(own) and all(one.of(name) is None for one in made)]


def _sha256(entity: Any) -> str | None:
    found = entity.get("sha256")
    return found if isinstance(found, str) else None


def _types(entity: Any) -> list[str]:
    kind = entity.get("@type", [])
    return [kind] if isinstance(kind, str) else kind


def _unpacked(path: Path, folder: Path) -> Path:
    """The crate as a folder."""
    if path.is_dir():
        return path
    if not path.is_file():
        raise InputError(f"file {path} is missing; expected a crate, a folder or a ZIP archive")
    try:
        for member, write in zip_members(path, str(path)):
            if member.refused:
                raise InputError(f"file {path}: member {member.name[:80]!r} is refused: {member.refused}")
            (folder / member.name).parent.mkdir(parents=True, exist_ok=True)
            write(folder / member.name)
    except Damaged as error:
        raise InputError(f"file {path} is no crate: {error}") from None
    return folder


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("crate", type=Path, help="folder or ZIP archive")
    parser.add_argument("--output", type=Path, help="folder to make of it; none: verify only")
    options = parser.parse_args(arguments)
    if options.output is not None and options.output.exists():
        raise InputError(f"folder {options.output} is there already; expected a name that is free")
    with tempfile.TemporaryDirectory() as scratch:
        crate = _unpacked(options.crate, Path(scratch))
        found = list(faults(crate))
        print(*found, sep="\n", end="\n" if found else "")
        if found:
            print(f"{len(found)} faults; nothing was imported")
            sys.exit(1)
        jobs = sum(map(len, studies_of(crate)))
        print(f"{len(files_of(crate))} files and the records of {jobs} jobs are as {options.crate} says")
        if alone := _unrecorded(crate):
            more = f" and {len(alone) - SHOWN} more" if len(alone) > SHOWN else ""
            print(f"made by no job on record: {', '.join(alone[:SHOWN])}{more}")
        if options.output is not None:
            with atomic_path(options.output) as partial:
                shutil.copytree(crate, partial)


if __name__ == "__main__":
    run(main)
