"""Figures away from their study: what they carry of their making, and the records that know them."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.content.checksums import file_sha256
from workflow_scripts.provenance.records import FOLDER, Record, Records, read_records
from workflow_scripts.settings import InputError

CARRIED = re.compile(rb"study=(\S{1,200}) commit=(\S{1,60}) record=([0-9a-f]{32})")
"""What workflow_scripts/figures/identity.py puts into a picture."""


@dataclass(frozen=True)
class Carried:
    """What a figure says of itself."""

    study: str
    commit: str
    record: str


@dataclass(frozen=True)
class Found:
    """A file's record. `path`: the file that it is of; `same`: whether the content is that on record."""

    records: Records
    record: Record
    path: str
    same: bool


def carried(path: Path) -> Carried | None:
    """What a PNG, PDF or SVG carries of its making; None where it carries nothing."""
    found = CARRIED.search(path.read_bytes())
    return None if found is None else Carried(*(part.decode(errors="replace") for part in found.groups()))


def study_of(path: Path) -> Path | None:
    """The study's folder that a file is in; None where it is in none. A link is in the folder where it lies."""
    places = (Path(os.path.abspath(path)), path.resolve())
    return next((folder for one in places for folder in one.parents if (folder / FOLDER).is_dir()), None)


def studies_in(results: Path) -> list[Path]:
    """The studies' folders at a path: itself, or those in it."""
    if (results / FOLDER).is_dir():
        return [results]
    return sorted(folder.parent.parent for folder in results.glob(f"*/{FOLDER}")) if results.is_dir() else []


def find(path: Path, results: Path) -> Found | None:
    """The record of a file: of the study that it lies in, else by its content, else by what it carries.

    results: where studies are. Raises InputError where there is neither the file nor a study's record of it.
    """
    study = study_of(path)
    if study is not None:
        records = read_records(study)
        place = Path(os.path.abspath(path))
        place = place if place.is_relative_to(study) else path.resolve()
        name = f"{records.root}/{place.relative_to(study).as_posix()}" if len(records) else place.name
        record = records.of(name)
        if record is not None:
            on_record = {file.path: file.sha256 for file in record.made}[name]
            return Found(records, record, name, path.is_file() and file_sha256(path) == on_record)
    if not path.is_file():
        raise InputError(f"file {path} is missing; expected a result, or a figure that was one")
    sha256, known = file_sha256(path), carried(path)
    studies = [read_records(folder) for folder in studies_in(results)]
    for records in studies if path.stat().st_size else []:  # nothing is nobody's content
        for record, file in records.with_content(sha256):
            return Found(records, record, file.path, True)
    for records in studies if known is not None else []:
        record = records.with_identity(known.record) if known is not None else None
        if record is not None:
            alike = [file.path for file in record.outputs if Path(file.path).suffix == path.suffix]
            return Found(records, record, (alike or [record.key])[0], False)
    return None
