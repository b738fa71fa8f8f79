"""The base of every configuration section, and the error for bad input."""

import json
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict


class InputError(Exception):
    """Bad input from outside: a setting, a file or a value, named in the message together with what was expected."""


class Section(BaseModel):
    """A part of the configuration: unknown keys are forbidden, values never change after they were read."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


def names_from_keys(entries: Any, inner: str | None = None) -> Any:
    """Give each entry of a mapping its key as `name`, and so for the section `inner` inside it.

    >>> names_from_keys({"full": {"epochs": 2}})
    {'full': {'name': 'full', 'epochs': 2}}
    """
    if not isinstance(entries, dict):
        return entries
    named = {}
    for name, entry in entries.items():
        if isinstance(entry, dict):
            entry = {"name": name, **entry}
            if inner and isinstance(entry.get(inner), dict):
                entry[inner] = {"name": name, **entry[inner]}
        named[name] = entry
    return named


def to_json(section: Section | Iterable[Section] | None) -> str:
    """A section, or several, as JSON text for a command's flag."""
    if section is None:
        return "null"
    if isinstance(section, Section):
        return json.dumps(section.model_dump(mode="json"))
    return json.dumps([entry.model_dump(mode="json") for entry in section])
