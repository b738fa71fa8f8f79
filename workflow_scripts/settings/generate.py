"""Write `config.yaml`, the paper's study with every key explained, and its schema, from the settings' descriptions.

python -m workflow_scripts.settings.generate
"""

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from .files import atomic_path
from .paper import PAPER
from .study import StudySettings, load_study

ROOT = Path(__file__).parents[2]
WIDTH = 120
HEAD = """\
# The paper's study: what `snakemake` plans when nothing else is said. Generated from workflow_scripts/settings/ by
# `python -m workflow_scripts.settings.generate`; the schema is resources/config.schema.json.
# Change it for a study of your own through an overlay, as in presets/: mappings merge, lists replace.
# What is computed is decided by `experiments` alone. Each key is explained where it first stands; an entry that lacks a
# key has the value of the key's default.
"""


def config_text() -> str:
    """The commented configuration."""
    return HEAD + "\n".join(_section(load_study(PAPER), 0, set(), top=True)) + "\n"


def schema_text() -> str:
    """The JSON schema."""
    return json.dumps(StudySettings.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def _section(section: BaseModel, depth: int, explained: set[type], top: bool = False) -> Iterator[str]:
    """Lines of a section. The first of its kind shows and explains every key, later ones what is not default."""
    kind = type(section)
    first = kind not in explained
    explained.add(kind)
    for key, field in kind.model_fields.items():
        value = getattr(section, key)
        if key == "name" or (not first and not field.is_required() and value == field.get_default()):
            continue
        if top:
            yield ""
        if first:
            indent = "  " * depth + "# "
            yield from textwrap.wrap(
                field.description or "", WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
            )
        yield from _entry(key, value, field.annotation, depth, explained)


def _entry(key: str, value: Any, kind: Any, depth: int, explained: set[type]) -> Iterator[str]:
    pad = "  " * depth
    if isinstance(value, BaseModel):
        lines = list(_section(value, depth + 1, explained))
        yield from [f"{pad}{key}:", *lines] if lines else [f"{pad}{key}: {{}}"]
    elif isinstance(value, dict) and any(isinstance(entry, BaseModel) for entry in value.values()):
        yield f"{pad}{key}:"
        for name, entry in value.items():
            yield from _entry(name, entry, None, depth + 1, explained)
    elif isinstance(value, tuple) and any(isinstance(entry, BaseModel) for entry in value):
        yield from _sections(key, value, pad, explained)
    elif isinstance(value, str) and "\n" in value:
        yield f"{pad}{key}: |-"
        yield from (f"{pad}  {line}" for line in value.splitlines())
    elif isinstance(value, dict) and value:
        yield f"{pad}{key}:"
        for name, entry in value.items():
            yield from _entry(name, entry, None, depth + 1, explained)
    else:
        yield from _scalar(key, value, pad)


def _sections(key: str, sections: tuple[BaseModel, ...], pad: str, explained: set[type]) -> Iterator[str]:
    """A list of sections, each on a line if it fits; its keys are explained above it, once."""
    kind = type(sections[0])
    if kind not in explained:
        explained.add(kind)
        for name, field in kind.model_fields.items():
            yield from textwrap.wrap(
                f"{name}: {field.description}",
                WIDTH,
                initial_indent=f"{pad}#   ",
                subsequent_indent=f"{pad}#     ",
                break_on_hyphens=False,
            )
    yield f"{pad}{key}:"
    for section in sections:
        values = {
            name: getattr(section, name)
            for name, field in kind.model_fields.items()
            if field.is_required() or getattr(section, name) != field.get_default()
        }
        line = f"{pad}  - {_flow(values)}"
        if len(line) <= WIDTH:
            yield line
            continue
        marker = "- "
        for name, value in values.items():
            for text in _scalar(name, value, ""):
                yield f"{pad}  {marker}{text}"
                marker = "  "


def _scalar(key: str, value: Any, pad: str) -> Iterator[str]:
    line = f"{pad}{key}: {_flow(value)}"
    if len(line) <= WIDTH or not isinstance(value, tuple):
        yield line
        return
    yield f"{pad}{key}:"
    yield from (f"{pad}  - {_flow(entry)}" for entry in value)


def _flow(value: Any) -> str:
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() and abs(value) >= 1 else f"{value:.12f}".rstrip("0").rstrip(".")
    if isinstance(value, tuple):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_flow(entry)}" for name, entry in value.items()) + "}"
    return (
        yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True).removesuffix("...\n").strip()
    )


def main() -> None:
    for path, text in (("config.yaml", config_text()), ("resources/config.schema.json", schema_text())):
        with atomic_path(ROOT / path) as partial:
            partial.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
