"""The quarantine: a CSV of what cannot be used. video (path relative to the data set's root), reason, detail."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from workflow_scripts.content.cells import harmless
from workflow_scripts.settings import InputError, files

HEADER = ("video", "reason", "detail")
Row = tuple[str, str, str]


def write_quarantine(rows: Iterable[Row], path: Path, kind: str = "video") -> None:
    """Write the rows in their order. kind: what the first column names."""
    with files.atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow((kind, *HEADER[1:]))
        writer.writerows([harmless(text.encode("utf-8", "backslashreplace").decode()) for text in row] for row in rows)


def read_quarantine(path: Path) -> list[Row]:
    """Read the rows. Raises InputError where the file is not a quarantine."""
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            rows = list(csv.reader(handle))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"file {path} is not readable ({error}); expected a quarantine") from None
    if not rows or tuple(rows[0]) != HEADER or any(len(row) != 3 for row in rows):
        raise InputError(f"file {path} is not a quarantine; expected columns {', '.join(HEADER)}")
    return [(video, reason, detail) for video, reason, detail in rows[1:]]
