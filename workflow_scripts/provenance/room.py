"""What room is left for results: a job whose disk is full may not even be able to say so in its log."""

import shutil
from pathlib import Path

LITTLE = 64_000_000
"""Bytes: less than a checkpoint or a frame store of the smallest study takes."""


def little_room(folder: Path) -> list[str]:
    """A line where a folder's disk is nearly full; none where it is not, or the folder is not there."""
    if not folder.is_dir() or (free := shutil.disk_usage(folder).free) >= LITTLE:
        return []
    return [f"error: {free // 1000} kB are left on the disk of {folder}; make room and start the same command again"]
