"""Rule `fetch_benchmarks`: bring the benchmarks of a study, at their pinned commits, and check them.

In: the study's settings and the pins. Out, in `benchmarks.root`, laid out as lmms-eval expects it under HF_HOME: the
questions under `datasets/`, and each video benchmark's media in the folder that its tasks name. Media are checked
against the repository's checksums, and archives unpacked safely; an archive is kept no longer than that takes. With
`--check` nothing is fetched: questions are counted and compared with the registry, and every video must be there.

    python -m workflow_scripts.evaluation.fetch_benchmarks --study '{...}'
    python -m workflow_scripts.evaluation.fetch_benchmarks --study '{...}' --check
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.evaluation.media import videos
from workflow_scripts.evaluation.tasks import import_lmms_eval, load_tasks, upstream_folders, use_benchmarks
from workflow_scripts.hub import pins as pinning
from workflow_scripts.hub.archive import Member, tar_members, zip_members
from workflow_scripts.hub.client import Hub, RemoteFile
from workflow_scripts.hub.download import alone, download_all
from workflow_scripts.hub.stream import Damaged
from workflow_scripts.settings import BenchmarkSettings, InputError, StudySettings, cli, files

NOT_MEDIA = (".md", ".parquet", ".gitattributes", ".gitignore", ".py")
ZIP, TAR = (".zip",), (".tar", ".tar.gz", ".tgz")
Unpacked = Iterator[tuple[Member, Callable[[Path], None]]]


@dataclass(frozen=True)
class Questions:
    """Where a benchmark's tasks read: tables of the repository, and a folder of media, if they have one."""

    names: tuple[str | None, ...]
    media: str | None


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=cli.json_of(StudySettings), required=True, help="the configuration, as JSON")
    parser.add_argument("--pins", type=Path, default=pinning.PATH, help="commits of the repositories")
    parser.add_argument("--check", action="store_true", help="fetch nothing; count questions and look for videos")
    arguments = parser.parse_args()
    study: StudySettings = arguments.study
    if study.benchmarks.tasks is not None:
        print(f"the benchmarks of this study are its own, in {study.benchmarks.root}; nothing to fetch")
        return
    pins = pinning.read(arguments.pins)
    pinned = pinning.pinned(study, pins).benchmarks
    benchmarks = [entry for suite in pinned.suites for entry in pinned.of(suite)]
    for entry in benchmarks:
        pinning.required(pinning.Repository("datasets", entry.dataset, entry.revision), pins)
    root = Path(study.benchmarks.root)
    if arguments.check:
        check(benchmarks, root)
    else:
        root.mkdir(parents=True, exist_ok=True)
        with alone(root):
            fetch(benchmarks, root, study.hub.endpoint, study.hub.connections)


def fetch(benchmarks: Iterable[BenchmarkSettings], root: Path, endpoint: str, connections: int) -> None:
    """Bring media, then questions."""
    _use_hub(root, endpoint)
    hub = Hub(endpoint)
    for benchmark in benchmarks:
        questions = _questions(benchmark)
        assert benchmark.revision is not None
        if questions.media is not None:
            listing = hub.files("dataset", benchmark.dataset, benchmark.revision)
            _media(benchmark, list(listing.values()), root, root / questions.media, connections)
        for name in questions.names:
            _table(benchmark, name, root)
        print(f"{benchmark.name}: {benchmark.dataset} at {benchmark.revision}", file=sys.stderr)


def _use_hub(root: Path, endpoint: str) -> None:
    """Tell the libraries, before they are imported, which hub to ask and where things belong; a login stays valid."""
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface")
    os.environ.setdefault("HF_TOKEN_PATH", os.path.join(os.path.expanduser(home), "token"))
    os.environ["HF_HOME"] = str(root.resolve())
    os.environ["HF_ENDPOINT"] = endpoint
    os.environ.update(TQDM_DISABLE="1", DO_NOT_TRACK="1", HF_HUB_DISABLE_PROGRESS_BARS="1")


def _questions(benchmark: BenchmarkSettings) -> Questions:
    """What lmms-eval's task files say. Raises InputError where they read another repository than the settings name."""
    import_lmms_eval()
    from lmms_eval.tasks import TaskManager

    manager = TaskManager(include_path=upstream_folders(benchmark.tasks), include_defaults=False)
    names, media = [], set()
    for task in benchmark.tasks:
        if task not in manager.all_subtasks:
            raise InputError(f"benchmark {benchmark.name}: lmms-eval knows no task {task!r}")
        config: dict[str, Any] = manager._get_config(task)
        if config["dataset_path"] != benchmark.dataset:
            raise InputError(
                f"benchmark {benchmark.name}: task {task} reads dataset {config['dataset_path']}; "
                f"its settings say {benchmark.dataset}"
            )
        names.append(config.get("dataset_name"))
        options = config.get("dataset_kwargs") or {}
        if options.get("video"):
            media.add(options["cache_dir"])
    if len(media) > 1:
        raise InputError(f"benchmark {benchmark.name}: its tasks look for videos in {' and '.join(sorted(media))}")
    return Questions(tuple(dict.fromkeys(names)), next(iter(media), None))


def _table(benchmark: BenchmarkSettings, name: str | None, root: Path) -> None:
    from datasets import load_dataset

    try:
        load_dataset(benchmark.dataset, name, revision=benchmark.revision, cache_dir=str(root / "datasets"))
    except Exception as error:  # of many libraries
        raise InputError(
            f"benchmark {benchmark.name}: table {name or 'default'} of {benchmark.dataset} at {benchmark.revision} "
            f"cannot be fetched: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        ) from None


def _media(benchmark: BenchmarkSettings, listing: list[RemoteFile], root: Path, folder: Path, connections: int) -> None:
    """Bring the media to the folder: plain files as they are, archives unpacked."""
    media = [file for file in listing if not file.path.endswith(NOT_MEDIA)]
    plain = [file for file in media if not file.path.endswith(ZIP + TAR)]
    download_all([(file, folder / file.path) for file in plain], connections=connections, label=benchmark.name)
    place = root / ".fetch" / benchmark.name
    done = {file: place / f"{file.path.replace('/', '--')}-{(file.sha256 or '')[:16]}.json" for file in media}
    for file in media:
        if not file.path.endswith(ZIP + TAR) or done[file].is_file():
            continue
        archive = place / file.path
        download_all([(file, archive)], connections=1, label=file.path, by_content=True)
        with ExitStack() as stack:
            stack.callback(archive.unlink, missing_ok=True)
            if file.path.endswith(ZIP):
                members: Unpacked = zip_members(archive, file.where)
            else:
                members = tar_members(stack.enter_context(archive.open("rb")), file.size, file.where)
            try:
                kept, refused = unpack(members, folder)
            except Damaged as error:
                raise InputError(str(error)) from None
        for member in refused:
            print(f"refused: {member.name!r} of {file.where}: {member.refused}", file=sys.stderr)
        files.write_json({"kept": kept, "refused": [member.name for member in refused]}, done[file])


def unpack(members: Unpacked, folder: Path) -> tuple[int, list[Member]]:
    """Unpack an archive; each file appears whole. Returns the number of files, and the members refused."""
    kept, refused = 0, []
    for member, write in members:
        if member.refused:
            refused.append(member)
            continue
        target = folder / member.name
        partial = target.parent / f"{target.name}.partial"
        partial.unlink(missing_ok=True)
        write(partial)
        os.replace(partial, target)
        kept += 1
    return kept, refused


def check(benchmarks: list[BenchmarkSettings], root: Path) -> None:
    """Count every benchmark's questions, and look for its videos. Raises InputError where something is not as said."""
    use_benchmarks(root)
    loaded = load_tasks(benchmarks, None)
    for benchmark in benchmarks:
        tasks = loaded[benchmark.name].values()
        number = len(videos(tasks)) if benchmark.suite == "video" else 0
        print(f"{benchmark.name}: {benchmark.questions} questions" + (f", {number} videos" if number else ""))


if __name__ == "__main__":
    cli.run(main)
