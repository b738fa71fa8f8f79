"""Parameters of jobs as Snakemake keeps them: without names, as Python's repr."""

import ast
import json
from collections.abc import Mapping
from typing import Any


def parsed(text: str) -> Any:
    """A recorded parameter as a value: settings are JSON text within Python's repr."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return list(value) if isinstance(value, tuple) else value


def is_code(value: Any) -> bool:
    """Whether a parameter is the code behind a command."""
    return isinstance(value, Mapping) and set(value) == {"modules", "packages"}
