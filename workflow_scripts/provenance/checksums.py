"""SHA-256 of files, each read once as long as its size, time and inode stay."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from workflow_scripts.settings import InputError
from workflow_scripts.settings.files import write_json

UNWEIGHED = (".md", ".jsonl", ".partial")
"""Files of a model's folder that no program loads: cards and logs."""


class Checksums:
    """Checksums remembered in a file between programs; without one, for this object's life.

    What is remembered is only ever a reason not to read a file again: a memory that is lost or broken costs time.
    """

    def __init__(self, memory: Path | None = None) -> None:
        self.memory = memory
        self._known = _remembered(memory)
        self._changed = False

    def of(self, path: Path) -> str:
        """SHA-256 of a file's content, hexadecimal. Raises InputError where there is no such file."""
        if not path.is_file():
            raise InputError(f"file {path} is missing")
        found = path.stat()
        state = [found.st_size, found.st_mtime_ns, found.st_ino]
        key = str(path)
        known = self._known.get(key)
        if known is None or known[:3] != state:
            with path.open("rb") as file:
                known = [*state, hashlib.file_digest(file, "sha256").hexdigest()]
            self._known[key] = known
            self._changed = True
        return str(known[3])

    def of_all(self, paths: Iterable[Path]) -> dict[str, str]:
        """Checksums by path, in the order of the paths."""
        return {str(path): self.of(path) for path in sorted(paths)}

    def of_model(self, folder: Path) -> str:
        """One checksum of all that loading a model's folder reads: names and contents. Cards and logs do not count."""
        files = [path for path in folder.iterdir() if path.is_file() and path.suffix not in UNWEIGHED]
        listed = "\n".join(f"{self.of(path)} {path.name}" for path in sorted(files))
        return hashlib.sha256(listed.encode()).hexdigest()

    def remember(self) -> None:
        """Write what was learnt; what another program wrote meanwhile stays."""
        if self.memory is not None and self._changed:
            self._known = {**_remembered(self.memory), **self._known}
            write_json(self._known, self.memory)
            self._changed = False


def _remembered(memory: Path | None) -> dict[str, list[int | str]]:
    try:
        known = json.loads(memory.read_text(encoding="utf-8")) if memory is not None else {}
    except (OSError, json.JSONDecodeError):
        return {}
    return known if isinstance(known, dict) else {}
