"""Answers, kept as they are generated, so that no question is asked twice of the same weights.

`<root>/<identity>/` holds the answers of one model under one code (see `identity`): identity.json says which, and every
process that asks adds a file of its own, `<time>-<host>-<process>.jsonl`, a line an answer. Each file is only added to,
and by one process: jobs that run at once do not disturb each other, and what a killed one had written stays. A line
that a kill cut short does not count, and its question is asked again.

Nothing here is an output of the workflow: Snakemake deletes those before a job and after a failed one. The folder can
be removed at any time; that costs the answers and nothing else.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from workflow_scripts.evaluation.identity import digest


class Answers:
    """The answers of one model to any questions, by the questions' keys.

    Args:
        root: folder of all models' answers.
        identity: what the answers are of; see `identity.identity`.

    Attributes:
        folder: where they lie.
    """

    def __init__(self, root: Path, identity: Mapping[str, Any]) -> None:
        self.folder = root / digest(identity)[:32]
        self._identity = identity
        self._file: int | None = None
        self._known: dict[str, str] = {}
        for path in sorted(self.folder.glob("*.jsonl")):
            for key, answer in _whole_lines(path):
                self._known.setdefault(key, answer)

    def get(self, key: str) -> str | None:
        """The answer to a question; None where it has none yet."""
        return self._known.get(key)

    def add(self, answers: Mapping[str, str]) -> None:
        """Keep answers, by key; when this returns they outlast the process and the machine."""
        lines = "".join(json.dumps({"key": key, "answer": answer}) + "\n" for key, answer in answers.items())
        if self._file is None:
            self._file = self._new_file()
        left = memoryview(lines.encode())
        while left:
            left = left[os.write(self._file, left) :]
        os.fsync(self._file)
        self._known.update(answers)

    def _new_file(self) -> int:
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f"identity.json.{uuid4().hex}"
        partial.write_text(json.dumps(self._identity, indent=2) + "\n", encoding="utf-8")
        os.replace(partial, self.folder / "identity.json")
        name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:8]}"
        return os.open(self.folder / f"{name}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o666)


def _whole_lines(path: Path) -> Iterable[tuple[str, str]]:
    """Keys and answers of a file, without what a kill or a crash left of a line."""
    for line in path.read_bytes().split(b"\n")[:-1]:
        try:
            entry = json.loads(line)
            key, answer = entry["key"], entry["answer"]
        except (ValueError, TypeError, KeyError):
            continue
        if isinstance(key, str) and isinstance(answer, str):
            yield key, answer
