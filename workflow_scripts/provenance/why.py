"""Why would a job run again? For each pending job, what changed since it ran last.

    python -m workflow_scripts.provenance.why results/paper/figures/frames.pdf
    python -m workflow_scripts.provenance.why --configfile presets/miniature.yaml

Jobs that run only because another one does are named with it and not explained again. A changed module is shown as a
difference to the version that the job ran, where git has it; a changed setting with its values before and after.
Exit status: 0 nothing would run, 1 something would, 2 the workflow cannot be planned.
"""

import argparse
import ast
import difflib
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.content.syntax import digest
from workflow_scripts.provenance.closure import DIGITS, ROOT, Repository
from workflow_scripts.provenance.parameters import is_code, parsed
from workflow_scripts.provenance.pending import Pending, pending
from workflow_scripts.settings.cli import run

SEARCHED_COMMITS = 200
SHOWN_LINES = 40
ABSENT = "nothing"


def explain(job: Pending, repository: Repository) -> list[str]:
    """Why a job would run: a line a cause, the lines of a difference indented below it."""
    lines = [f"{path} is not there" for path in job.missing]
    lines += [f"{path} has other content" for path in job.updated]
    lines += [f"{path} is an input now" for path in job.added]
    lines += [f"{path} is no input any more" for path in job.gone]
    if job.command:
        lines.append("the rule's command line changed")
    for before, now in pair([parsed(text) for text in job.before], [parsed(text) for text in job.now]):
        lines += list(_changes(before, now, repository))
    if job.upstream:
        lines.append(f"after the jobs that make {', '.join(job.upstream)}")
    return lines


def pair(before: Sequence[Any], now: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Parameters before and after, matched by what they look like; None where there is no counterpart.

    Snakemake keeps a job's parameters without their names. Mappings match the mapping with which they share most keys,
    flags (`--seed 1`) the flag of the same name, lists lists, anything else what is left in order.
    """
    left = list(now)
    pairs: list[tuple[Any, Any]] = []
    alone = []
    for old in before:
        likeness = [_likeness(old, new) for new in left]
        if likeness and max(likeness) > 0:
            pairs.append((old, left.pop(likeness.index(max(likeness)))))
        else:
            alone.append(old)
    while alone or left:
        pairs.append((alone.pop(0) if alone else None, left.pop(0) if left else None))
    return pairs


def differences(before: Any, now: Any, key: str = "") -> Iterator[str]:
    """Where two values differ, a line a key: `learning_rates.projector: 1e-05 -> 2e-05`."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in dict.fromkeys([*before, *now]):
            yield from differences(before.get(name), now.get(name), f"{key}.{name}" if key else str(name))
    elif isinstance(before, list) and isinstance(now, list) and all(map(_named, [*before, *now])):
        yield from differences({one["name"]: one for one in before}, {one["name"]: one for one in now}, key)
    elif before != now:
        yield f"{key + ': ' if key else ''}{_shown(before)} -> {_shown(now)}"


def _changes(before: Any, now: Any, repository: Repository) -> Iterator[str]:
    if is_code(before) and is_code(now):
        old, new = before["modules"], now["modules"]
        for module in sorted(set(old) | set(new)):
            if old.get(module) != new.get(module):
                yield from _module_change(module, old.get(module), new.get(module), repository)
        for package in sorted(set(before["packages"]) | set(now["packages"])):
            versions = [one["packages"].get(package, ABSENT) for one in (before, now)]
            if versions[0] != versions[1]:
                yield f"package {package}: {versions[0]} -> {versions[1]}"
        return
    yield from (f"setting {line}" for line in differences(before, now))


def _module_change(module: str, old: str | None, new: str | None, repository: Repository) -> Iterator[str]:
    if old is None or new is None:
        yield f"code {module} is {'imported now' if old is None else 'imported no more'}"
        return
    path = repository.path(module) or repository.root / module
    yield f"code {path.relative_to(repository.root)} changed"
    text = committed(path, old, repository.root) if path.suffix == ".py" else None
    if text is None:
        yield "    the version that ran is in none of its last commits"
        return
    new_text = path.read_text(encoding="utf-8")
    lines = list(difflib.unified_diff(text.splitlines(), new_text.splitlines(), "ran", "here", n=1, lineterm=""))
    yield from (f"    {line}" for line in lines[:SHOWN_LINES])
    if len(lines) > SHOWN_LINES:
        yield f"    ... {len(lines) - SHOWN_LINES} more lines"


def committed(path: Path, wanted: str, root: Path) -> str | None:
    """The text of a file in the newest commit in which its syntax tree has this digest; None where git has none."""
    relative = path.relative_to(root).as_posix()
    commits = _git(root, "log", f"--max-count={SEARCHED_COMMITS}", "--format=%H", "--", relative) or ""
    for commit in commits.split():
        text = _git(root, "show", f"{commit}:{relative}")
        if text is not None and _digest(text) == wanted:
            return text
    return None


def _digest(text: str) -> str | None:
    try:
        return digest(ast.parse(text))[:DIGITS]
    except SyntaxError:
        return None


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def _likeness(one: Any, other: Any) -> float:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return len(set(one) & set(other)) / max(len(set(one) | set(other)), 1)
    if isinstance(one, str) and isinstance(other, str) and one.startswith("--"):
        return float(one.split()[0] == other.split()[0])
    return float(isinstance(one, list) and isinstance(other, list))


def _named(value: Any) -> bool:
    return isinstance(value, Mapping) and "name" in value


def _shown(value: Any) -> str:
    return ABSENT if value is None else value if isinstance(value, str) else json.dumps(value)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="files or rules; by default the whole study")
    parser.add_argument(
        "--configfile", type=Path, nargs="+", default=[], help="overlays on config.yaml, as Snakemake's"
    )
    parser.add_argument("--directory", type=Path, default=Path(), help="working directory; by default this one")
    options = parser.parse_args(arguments)
    configfiles = [path.absolute() for path in options.configfile]
    jobs = pending(options.targets, configfiles, options.directory.absolute(), ROOT / "Snakefile")
    repository = Repository()
    for job in jobs:
        print(job.name)
        for line in explain(job, repository):
            print(f"    {line}")
    print(f"{len(jobs)} jobs would run" if jobs else "nothing would run")
    sys.exit(1 if jobs else 0)


if __name__ == "__main__":
    run(main)
