"""From a record's video path to the source it comes from, by the explicit table in the registry."""

from __future__ import annotations

import re
from functools import cache

from workflow_scripts.curation.registry import registry


def source(video: str) -> str:
    """Name of the source of a video.

    video: the record's `video`, relative to its subset's folder. Returns one of the ten sources, or `unplaced:<first
    folder>` where the table has no prefix for it.
    """
    names, start = _table()
    found = start.match(video)
    if found is not None:
        return names[found.lastindex - 1]  # type: ignore[operator]
    root, separator, _ = video.partition("/")
    return f"unplaced:{root if separator else '.'}"


@cache
def _table() -> tuple[list[str], re.Pattern[str]]:
    """Names of the sources, and the starts of paths: group i holds those of source i, counted from 1."""
    sources = registry().sources
    return list(sources), re.compile("|".join(f"({'|'.join(map(re.escape, s.prefixes))})" for s in sources.values()))
