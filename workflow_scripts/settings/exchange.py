"""Values that a configuration can hold but that do not pass unchanged from one program of a study to the next."""

import re
from collections.abc import Iterator
from typing import Any

from .section import shortened

LARGEST = 2**53
"""Whole numbers up to this one are the same in JSON and as floating point."""
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
"""Control characters and halves of surrogate pairs: no file name or JSON text has them. Tabs and new lines pass."""


def unexchangeable(value: Any, key: str = "") -> Iterator[str]:
    """The faults of settings, as plain mappings, lists and scalars; a line a fault, with its key."""
    if isinstance(value, dict):
        for name, entry in value.items():
            yield from unexchangeable(entry, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list | tuple):
        for number, entry in enumerate(value):
            yield from unexchangeable(entry, f"{key}[{number}]")
    elif isinstance(value, int) and abs(value) > LARGEST:
        yield f"configuration key {key} is {shortened(value)}; expected at most 2^53 in size"
    elif isinstance(value, str) and CONTROL.search(value):
        yield f"configuration key {key} is {shortened(value)}; expected text without control characters"
