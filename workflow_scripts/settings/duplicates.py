"""Keys that a configuration file holds twice. YAML's readers keep the last one and say nothing."""

from collections.abc import Iterator
from pathlib import Path

import yaml

from .section import InputError

LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def refuse_duplicates(path: Path) -> None:
    """Raise InputError where a mapping of a YAML or JSON file has a key twice: a line a key, with where it stands.

    A file that is not YAML is left to its reader to refuse.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=LOADER)
    except (yaml.YAMLError, OSError, UnicodeDecodeError):
        return
    if faults := list(_twice(root, "", set())):
        raise InputError("\n".join(f"file {path}, {fault}" for fault in faults))


def _twice(node: yaml.Node | None, key: str, seen: set[int]) -> Iterator[str]:
    """seen: nodes that aliases lead to again."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for number, entry in enumerate(node.value):
            yield from _twice(entry, f"{key}[{number}]", seen)
    elif isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for name, entry in node.value:
            inner = f"{key}.{name.value}" if key else str(name.value)
            line = name.start_mark.line + 1
            if isinstance(name, yaml.ScalarNode) and name.value in lines:
                first = lines[name.value]
                yield f"line {line}: configuration key {inner} stands there again, first in line {first}; expected once"
            elif isinstance(name, yaml.ScalarNode):
                lines[name.value] = line
            yield from _twice(entry, inner, seen)
