"""The base of every configuration section, and the error for bad input."""

import json
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator

NUMBERS = (int, float, int | None, float | None)

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
"""A name that is part of a path."""
Place = Annotated[str, StringConstraints(pattern=r"^[^{}<>\n\t]+$", max_length=1000)]
"""A file or folder. Braces and angle brackets are Snakemake's."""
Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""A seed as numpy takes it."""


class InputError(Exception):
    """Bad input from outside: a setting, a file or a value, named in the message together with what was expected."""


class Section(BaseModel):
    """A part of the configuration: unknown keys are forbidden, values never change after they were read.

    Infinite numbers are refused, and truth values where numbers are expected.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _number(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation in NUMBERS:
            raise ValueError(f"{str(value).lower()} is no number")
        return value


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
            if entry.get("name", name) != name:
                raise ValueError(f"{name}.name is {shortened(entry['name'])}; expected the key, or no name")
            entry = {"name": name, **entry}
            if inner and isinstance(entry.get(inner), dict):
                entry[inner] = {"name": name, **entry[inner]}
        named[name] = entry
    return named


def shortened(value: object) -> str:
    """A value as Python writes it, its middle left out where that is long."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        text = f"a number of {value.bit_length()} bits" if isinstance(value, int) else f"a long {type(value).__name__}"
    return text if len(text) <= 120 else f"{text[:80]} ... {text[-20:]}"


def to_json(section: Section | Iterable[Section] | None) -> str:
    """A section, or several, as JSON text for a command's flag."""
    if section is None:
        return "null"
    if isinstance(section, Section):
        return json.dumps(section.model_dump(mode="json"))
    return json.dumps([entry.model_dump(mode="json") for entry in section])
