"""Rule `media`: lists the video files of one benchmark, for the frame store.

In: the benchmark's questions, through its lmms-eval tasks. Out: a CSV with the column video, each path relative to the
benchmarks' root, sorted. A question whose video is not there is an error that names it.

    python -m workflow_scripts.evaluation.media --benchmark '{"name": "mvbench", ...}' --tasks none \
        --root data/benchmarks --output results/paper/evaluation/media/mvbench.csv
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from workflow_scripts.evaluation.tasks import Task, load_tasks, use_benchmarks
from workflow_scripts.settings import BenchmarkSettings, InputError, cli
from workflow_scripts.settings.files import atomic_path


def relative(path: str) -> str:
    """A video's path as the frame store has it: relative to the benchmarks' root."""
    return os.path.relpath(os.path.realpath(path), os.environ["HF_HOME"])


def visuals(task: Task, doc: dict[str, Any]) -> list[Any]:
    """What a question shows: images, or paths of videos. Raises InputError where the task finds no file."""
    try:
        return list(task.doc_to_visual(doc) or [])
    except SystemExit as error:
        raise InputError(f"task {task.config.task}: {error.code}") from None


def videos(tasks: Iterable[Task]) -> list[str]:
    """Paths of all videos that the tasks' questions show, sorted, each once. Raises InputError naming the missing."""
    found: set[str] = set()
    missing: set[str] = set()
    for task in tasks:
        for doc in task.eval_docs_no_media:
            try:
                paths = [visual for visual in visuals(task, doc) if isinstance(visual, str)]
            except InputError as error:
                missing.add(str(error))
                continue
            found.update(relative(path) for path in paths)
            missing.update(relative(path) for path in paths if not os.path.exists(path))
    if missing:
        raise InputError(
            f"{len(missing)} videos of the benchmark are missing in {os.environ['HF_HOME']}; expected each question's: "
            + ", ".join(sorted(missing))
        )
    return sorted(found)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--benchmark", type=cli.json_of(BenchmarkSettings), required=True, help="one of the registry")
    parser.add_argument("--tasks", default="none", help="folder with further task files, or none")
    parser.add_argument("--root", type=Path, required=True, help="folder of the benchmarks' data, laid out as HF_HOME")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    use_benchmarks(arguments.root)
    loaded = load_tasks([arguments.benchmark], None if arguments.tasks == "none" else Path(arguments.tasks))
    listed = videos(loaded[arguments.benchmark.name].values())
    with atomic_path(arguments.output) as partial:
        partial.write_text("\n".join(["video", *listed]) + "\n", encoding="utf-8")
    print(f"{len(listed)} videos")


if __name__ == "__main__":
    cli.run(main)
