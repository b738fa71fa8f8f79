"""From a record's video path to the source it comes from, by the explicit table in the registry."""

from __future__ import annotations

from workflow_scripts.curation.registry import registry


def source(video: str) -> str:
    """Name of the source of a video.

    video: the record's `video`, relative to its subset's folder. Returns one of the ten sources, or `unplaced:<first
    folder>` where the table has no prefix for it.
    """
    for name, entry in registry().sources.items():
        if video.startswith(entry.prefixes):
            return name
    root, separator, _ = video.partition("/")
    return f"unplaced:{root if separator else '.'}"
