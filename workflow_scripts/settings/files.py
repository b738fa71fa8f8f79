"""Files that appear whole or not at all, and the few formats that stages exchange."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from workflow_scripts.notes import job

from .section import InputError


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield `<path>.<number>.partial`, beside the path, and move it there on success; remove it on failure.

    Write a file or make a folder at what is yielded. Parents are created; what was at the path before is replaced.
    What an earlier writer left is removed: where it still writes, a job believed dead say, it fails in the end instead
    of putting in place what this one has half written.
    """
    target = Path(path)
    partial = target.parent / f"{target.name}.{uuid4().hex}.partial"
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f"{escape(target.name)}.*partial"):
        _remove(left)
    try:
        yield partial
        if partial.is_dir() and target.is_dir():
            shutil.rmtree(target)
        os.replace(partial, target)
        job.wrote(target)
    finally:
        _remove(partial)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(value: Any, path: str | Path) -> None:
    """Write indented UTF-8 JSON. Not-a-number is refused: it is not JSON."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def write_yaml(value: Any, path: str | Path) -> None:
    """Write YAML in the order of the keys."""
    with atomic_path(path) as partial:
        partial.write_text(yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")


def write_parquet(frame: Any, path: str | Path) -> None:
    """Write a pandas DataFrame or a pyarrow Table as Parquet, without an index. A Table keeps its nested types."""
    import pyarrow
    import pyarrow.parquet

    table = frame if isinstance(frame, pyarrow.Table) else pyarrow.Table.from_pandas(frame, preserve_index=False)
    with atomic_path(path) as partial:
        pyarrow.parquet.write_table(table, partial, compression="zstd")


def read_parquet(path: str | Path, columns: list[str] | None = None) -> Any:
    """Read Parquet into a pandas DataFrame. Raises InputError where the file is missing, broken or lacks a column."""
    import pyarrow
    import pyarrow.parquet

    if not Path(path).is_file():
        raise InputError(f"file {path} is missing; expected a Parquet file")
    try:
        held = pyarrow.parquet.read_schema(path).names
        lacking = [column for column in columns or [] if column not in held]
        if lacking:
            raise InputError(f"file {path}: column {', '.join(lacking)} is missing; it has {', '.join(held)}")
        return pyarrow.parquet.read_table(path, columns=columns).to_pandas()
    except pyarrow.ArrowInvalid as error:
        raise InputError(f"file {path} is not readable as Parquet: {error}") from None
