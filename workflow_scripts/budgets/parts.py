"""Long predictions in parts: a killed job starts again where it was.

The parts lie in a folder that no rule declares, since Snakemake deletes the declared outputs of a failed job. The
folder's name is a checksum of all that decides the result, so that parts of other settings are never taken. A part is
written whole or not at all, and two jobs on the same parts do not disturb each other: they write the same bytes.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from workflow_scripts.predictors.choice import Decision
from workflow_scripts.settings.cli import progress

Unit = TypeVar("Unit")


def fingerprint(path: Path) -> list[list[str | int]]:
    """What tells whether a file, or the files of a folder, changed: name, bytes and time of change of each.

    Empty where there is none, as for a model on the hub. Not a checksum of the content, since a frame store at full
    scale holds tens of gigabytes.
    """
    files = [file for file in (sorted(path.rglob("*")) if path.is_dir() else [path]) if file.is_file()]
    stats = [(file, file.stat()) for file in files]
    return [[str(file), stat.st_size, stat.st_mtime_ns] for file, stat in stats]


def parts_folder(output: Path, inputs: Mapping[str, object]) -> Path:
    """Where the parts of `output` lie, for these inputs (anything that JSON can hold)."""
    key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]
    return output.parent / ".parts" / f"{output.name}-{key}"


def in_parts(
    folder: Path,
    units: Sequence[Unit],
    size: int,
    decide: Callable[[Sequence[Unit]], Sequence[Decision]],
    label: str,
) -> list[Decision]:
    """`decide` over all units, `size` at a time; what lies in `folder` from an earlier start is not done again.

    Cuts are the same at every start, so a batch holds the same units whether or not the job was interrupted.
    """
    decisions: list[Decision] = []
    with progress(len(units), label) as advance:
        for number, start in enumerate(range(0, len(units), size)):
            part = folder / f"{number:06d}.json"
            unit_group = units[start : start + size]
            done = _read_part(part, len(unit_group))
            if done is None:
                done = list(decide(unit_group))
                _write_part(part, done)
            decisions += done
            advance(len(unit_group))
    return decisions


def remove_parts(folder: Path) -> None:
    """Forget the parts, once the output they were for is written."""
    shutil.rmtree(folder, ignore_errors=True)


def _write_part(part: Path, done: Sequence[Decision]) -> None:
    rows = [{"budget": decision.budget, "evidence": decision.evidence} for decision in done]
    part.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own: a job that its scheduler lost may still be writing the same part.
    partial = part.parent / f"{part.name}.{uuid4().hex}.partial"
    partial.write_text(json.dumps(rows))
    partial.replace(part)


def _read_part(part: Path, size: int) -> list[Decision] | None:
    """The decisions of a part, or None if it is not there whole."""
    try:
        rows = json.loads(part.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return [Decision(row["budget"], row["evidence"]) for row in rows] if len(rows) == size else None
