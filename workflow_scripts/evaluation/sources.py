"""Where a benchmark's questions come from: the repository and the commit that its settings name, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.settings import BenchmarkSettings, InputError

FILES = "parquet"  # what a task calls its dataset where it reads files of its own
COMMIT = re.compile(r"[0-9a-f]{40}")


def commit(benchmark: BenchmarkSettings, tasks: Mapping[str, Any]) -> str | None:
    """The commit of a benchmark's cached questions; None where they are files of their own, or the cache tells none.

    Args:
        benchmark: names the repository, `dataset`, and may name a commit, `revision`.
        tasks: its loaded tasks, by name.

    Raises:
        InputError: a task reads another repository or commit, or the tasks read several commits.
    """
    found: set[str] = set()
    for name, task in tasks.items():
        repository = str(task.DATASET_PATH)
        if repository == FILES:
            continue
        where = f"benchmark {benchmark.name}: task {name} reads"
        if repository != benchmark.dataset:
            raise InputError(f"{where} dataset {repository}; its settings say {benchmark.dataset}")
        commits = commits_in(cached_files(task))
        if benchmark.revision is not None and commits != {benchmark.revision}:
            raise InputError(
                f"{where} {repository} at commit {_list(commits)}; its settings say revision {benchmark.revision}"
            )
        found |= commits
    if len(found) > 1:
        raise InputError(
            f"benchmark {benchmark.name}: its tasks read the commits {_list(found)}; expected a single one"
        )
    return next(iter(found), None)


def cached_files(task: Any) -> list[str]:
    """Paths of the files below a loaded task's questions, in the cache of `datasets`."""
    return [entry["filename"] for files in task.dataset.cache_files.values() for entry in files]


def commits_in(paths: Iterable[str]) -> set[str]:
    """Commits that files of that cache are of: each lies in a folder that its repository's commit names."""
    return {part for path in paths for part in Path(path).parts if COMMIT.fullmatch(part)}


def _list(commits: Iterable[str]) -> str:
    return ", ".join(sorted(commits)) or "unknown"
