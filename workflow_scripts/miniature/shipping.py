"""A trained miniature as it is shipped: weights, log, card and checksums in one folder, whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from workflow_scripts.settings.files import atomic_path


def ship(folder: Path, save: Callable[[Path], object], log: Sequence[Mapping[str, float]], card: str) -> None:
    """Write what `save` saves, `training.jsonl` (a row a log entry), `README.md` (the card) and `SHA256SUMS`."""
    with atomic_path(folder) as partial:
        partial.mkdir(parents=True)
        save(partial)
        (partial / "training.jsonl").write_text("".join(json.dumps(row) + "\n" for row in log))
        (partial / "README.md").write_text(card)
        names = sorted(path.name for path in partial.iterdir())
        sums = [f"{hashlib.sha256((partial / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
        (partial / "SHA256SUMS").write_text("".join(sums))
