"""The code behind a command: every module of this repository that it imports, and the packages those import.

A rule has this as its parameter `code`, so that Snakemake's own comparison of parameters reruns a job where code it
runs has changed, in whichever module, and leaves it where other code has. Modules are compared by their syntax trees
without docstrings: comments, formatting and documentation do not count. Packages count with the version that
envs/requirements.txt locks. What only shows or notes what happens does not count.

What is imported is read, not run. An import anywhere in a module counts, inside a function too. A package whose
`__init__` does nothing but pass names on (docstring, relative imports, `__all__`) stands for the modules that its names
come from: `from workflow_scripts.settings import InputError` depends on `settings/section.py`, not on all settings.
"""

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

from workflow_scripts.content.syntax import digest, is_text
from workflow_scripts.settings import InputError

ROOT = Path(__file__).parents[2]
PACKAGE = "workflow_scripts"
DIGITS = 12
"""Hexadecimal digits kept of a module's SHA-256: 48 bits, of some hundred modules."""
DISTRIBUTIONS = {"PIL": "pillow", "yaml": "pyyaml", "lmms_eval": "lmms-eval"}
"""Distributions that are not called as the module they hold."""
SHOWING = frozenset({"rich", "loguru"})
"""Packages that only show what happens."""
NOTING = f"{PACKAGE}.notes"
"""The package that only notes what happens."""
READ = {f"{PACKAGE}.curation.registry": "resources/llava_video_178k.yaml"}
"""Files of this repository that belong to a module as its code does."""
BY_NAME = frozenset({f"{PACKAGE}.vlm.families"})
"""Packages that import their own modules by names that a syntax tree does not show: all of these count."""
_VERSION = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


@dataclass(frozen=True)
class Code:
    """What a command runs, in order. `modules`: digest by name, or by path for a file that belongs to a module;
    `packages`: locked version by distribution."""

    modules: dict[str, str]
    packages: dict[str, str]


@dataclass(frozen=True)
class _Module:
    """One module: its digest, what it imports of this repository, and the top-level names it imports from elsewhere.

    `passes_on`: for a package that only passes names on, the module that each of its names comes from; else None.
    """

    digest: str
    own: tuple[tuple[str, str | None], ...]
    foreign: frozenset[str]
    passes_on: dict[str, tuple[str, str]] | None


class Repository:
    """The modules below `root`; each is read once."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self._modules: dict[str, _Module] = {}

    def code(self, module: str) -> Code:
        """All that the command `python -m <module>` depends on.

        Raises InputError where there is no such module, or a file is not Python.
        """
        if self.path(module) is None:
            raise InputError(f"module {module} is not in {self.root}; expected a module below {PACKAGE}/")
        found: dict[str, str] = {}
        packages: set[str] = set()
        waiting = list(self._executed(module))
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            read = self._read(name)
            found[name] = read.digest
            if name in READ:
                found[READ[name]] = _content(self.root / READ[name])
            if name in BY_NAME:
                waiting += self._modules_in(name)
            packages |= read.foreign
            for target, attribute in read.own:
                waiting.extend(self._imported(target, attribute))
        locked = self.locked
        return Code(
            modules=dict(sorted(found.items())),
            packages={name: locked[name] for name in sorted(_distribution(one) for one in packages) if name in locked},
        )

    def path(self, module: str) -> Path | None:
        """The file of a module or package; None where this repository has none of that name."""
        stem = self.root.joinpath(*module.split("."))
        for path in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py"):
            if path.is_file():
                return path
        return None

    @property
    def locked(self) -> dict[str, str]:
        """Distributions of envs/requirements.txt with their versions."""
        return _locked((self.root / "envs" / "requirements.txt").read_text(encoding="utf-8"))

    def _executed(self, module: str) -> Iterator[str]:
        """The packages around a module, from the outside in, and the module."""
        parts = module.split(".")
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            # a package that only passes names on does nothing by itself
            if name == module or self._read(name).passes_on is None:
                yield name

    def _imported(self, target: str, attribute: str | None) -> Iterator[str]:
        """The modules behind `import target` (no attribute) or `from target import attribute`."""
        if target == NOTING or target.startswith(f"{NOTING}."):
            return
        if attribute is not None and self.path(f"{target}.{attribute}") is not None:
            yield from self._executed(f"{target}.{attribute}")
            return
        names = self._read(target).passes_on
        if names is not None and attribute in names:
            yield from self._imported(*names[attribute])
            return
        yield from self._executed(target)

    def _modules_in(self, package: str) -> Iterator[str]:
        """The modules of a package."""
        folder = self.root.joinpath(*package.split("."))
        yield from (f"{package}.{path.stem}" for path in sorted(folder.glob("*.py")) if path.stem != "__init__")

    def _read(self, name: str) -> _Module:
        if name not in self._modules:
            path = self.path(name)
            assert path is not None, name
            self._modules[name] = self._parse(name, path)
        return self._modules[name]

    def _parse(self, name: str, path: Path) -> _Module:
        try:
            tree = ast.parse(path.read_bytes(), filename=str(path))
        except SyntaxError as error:
            raise InputError(f"file {path}, line {error.lineno}: {error.msg}; expected Python") from None
        own: list[tuple[str, str | None]] = []
        foreign: set[str] = set()
        for node in ast.walk(tree):
            for target, attribute in _targets(node, name, is_package=path.name == "__init__.py"):
                if target.split(".")[0] != PACKAGE:
                    foreign.add(target.split(".")[0])
                elif self.path(target) is None:
                    raise InputError(f"file {path}, line {getattr(node, 'lineno', 0)}: there is no module {target}")
                else:
                    own.append((target, attribute))
        names = _passed_on(tree, name) if path.name == "__init__.py" else None
        return _Module(
            digest(tree)[:DIGITS],
            tuple(dict.fromkeys(own)),
            frozenset(foreign - sys.stdlib_module_names - SHOWING),
            names,
        )


def _content(path: Path) -> str:
    """Digest of what a YAML file says; comments and layout do not count."""
    said = yaml.safe_load(path.read_text(encoding="utf-8"))
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:DIGITS]


def _targets(node: ast.AST, module: str, *, is_package: bool) -> Iterator[tuple[str, str | None]]:
    """What an import statement names: modules, or modules with the name taken from them."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.name, None
    elif isinstance(node, ast.ImportFrom):
        target = _absolute(node, module, is_package)
        for alias in node.names:
            yield target, None if alias.name == "*" else alias.name


def _absolute(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    if not node.level:
        return str(node.module)
    parts = module.split(".")
    base = parts[: len(parts) - node.level + is_package]
    return ".".join([*base, node.module] if node.module else base)


def _passed_on(tree: ast.Module, package: str) -> dict[str, tuple[str, str]] | None:
    """The names of a package that does nothing but pass them on; None where it does more."""
    names: dict[str, tuple[str, str]] = {}
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.level == 1:
            target = _absolute(statement, package, is_package=True)
            names |= {alias.asname or alias.name: (target, alias.name) for alias in statement.names}
        elif not (is_text(statement) or _names_all(statement)):
            return None
    return names


def _names_all(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Assign) and [ast.unparse(target) for target in statement.targets] == ["__all__"]


def _distribution(module: str) -> str:
    return DISTRIBUTIONS.get(module, module.lower().replace("_", "-"))


@lru_cache(maxsize=4)
def _locked(requirements: str) -> dict[str, str]:
    return {name.lower().replace("_", "-"): version for name, version in _VERSION.findall(requirements)}
