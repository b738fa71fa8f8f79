"""SHA-256 of files, each read once as long as its size, times and inode stay."""

import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

from workflow_scripts.settings import InputError

LOADED = (".safetensors", ".json", ".jinja", ".txt", ".model")
"""Endings of what transformers and peft read of a model's folder."""
SETTLED_S = 2.0
"""A file system's clock may stand still this long: within it a file can change and keep its times."""

Stamp = list[int]
"""Size, time of the last change, time of the inode's change (no copying or touching sets it back), inode."""
ENTRY = 5
"""Length of what is remembered of a file: its stamp and its checksum."""


class Checksums:
    """Checksums remembered in a file between programs; without one, for this object's life.

    What is remembered is only ever a reason not to read a file again: a memory that is lost or broken costs time.
    """

    def __init__(self, memory: Path | None = None) -> None:
        self.memory = memory
        self._known = _remembered(memory)
        self._unsettled: set[str] = set()
        self._changed = False

    def of(self, path: Path) -> str:
        """SHA-256 of a file's content, hexadecimal.

        Raises InputError where there is no such file, or it changes while it is read.
        """
        if not path.is_file():
            raise InputError(f"file {path} is missing")
        key, found = str(path), stamp(path)
        known = self._known.get(key)
        if known is None or known[:-1] != found or key in self._unsettled:
            began = time.time()
            known = [*found, file_sha256(path)]
            if stamp(path) != found:
                raise InputError(f"file {path} changed while it was read; expected a file that nobody writes to")
            self._keep(key, known, settled=began - max(found[1], found[2]) / 1e9 > SETTLED_S)
        return str(known[-1])

    def learn(self, path: Path, known: list[int | str]) -> None:
        """Take over what another program found: a file's stamp and its checksum. The file may have changed since."""
        if self._known.get(str(path)) != known:
            self._keep(str(path), known, settled=True)

    def of_all(self, paths: Iterable[Path]) -> dict[str, str]:
        """Checksums by path, in the order of the paths."""
        return {str(path): self.of(path) for path in sorted(paths)}

    def of_folder(self, folder: Path) -> dict[str, str]:
        """Checksums, by name, of the files that a model is loaded from. Cards and logs are not among them."""
        return {path.name: self.of(path) for path in loaded_files(folder)}

    def of_model(self, folder: Path) -> str:
        """One checksum of the files that a model is loaded from: names and contents."""
        listed = "\n".join(f"{sha256} {name}" for name, sha256 in self.of_folder(folder).items())
        return hashlib.sha256(listed.encode()).hexdigest()

    def remember(self) -> None:
        """Write what was learnt; what another program wrote meanwhile stays."""
        if self.memory is not None and self._changed:
            settled = {key: known for key, known in self._known.items() if key not in self._unsettled}
            self.memory.parent.mkdir(parents=True, exist_ok=True)
            # of a name of its own: other jobs may write at the same time, and the last of them stays, whole
            partial = self.memory.parent / f"{self.memory.name}.{uuid4().hex}"
            partial.write_text(json.dumps({**_remembered(self.memory), **settled}, indent=0), encoding="utf-8")
            os.replace(partial, self.memory)
            self._changed = False

    def _keep(self, key: str, known: list[int | str], *, settled: bool) -> None:
        self._known[key] = known
        if settled:
            self._unsettled.discard(key)
            self._changed = True
        else:
            self._unsettled.add(key)


def loaded_files(folder: Path) -> list[Path]:
    """The files of a folder that a model is loaded from, sorted."""
    return sorted(path for path in folder.iterdir() if path.suffix in LOADED and path.is_file())


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal. Raises InputError where there is no such file."""
    if not path.is_file():
        raise InputError(f"file {path} is missing")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stamp(path: Path) -> Stamp:
    """What tells, without reading it, that a file is another than before."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _remembered(memory: Path | None) -> dict[str, list[int | str]]:
    try:
        known = json.loads(memory.read_text(encoding="utf-8")) if memory is not None else {}
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict):
        return {}
    return {key: entry for key, entry in known.items() if isinstance(entry, list) and len(entry) == ENTRY}
