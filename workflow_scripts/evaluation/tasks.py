"""lmms-eval's tasks, loaded offline, from the folder of benchmarks and without judges.

`use_benchmarks` must run before lmms-eval, datasets or huggingface_hub are imported: they read HF_HOME at import. That
is why this module imports lmms-eval inside functions only.

Judges: some upstream tasks send an unparsed answer to a chat model over the network. By default no judge is called:
TempCompass's unparsed answers count as wrong, and its record says so; any other attempt to open a connection while
answers are scored ends the evaluation with an error. Choose judge-free variants: mmbench_en_dev_static, and
TempCompass without captioning. With a judge, a question that it leaves open is an error: upstream would count it as
wrong, or guess.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workflow_scripts.evaluation import sources
from workflow_scripts.settings import BenchmarkSettings, InputError

NO_JUDGE = "Incorrect: the answer was not parsed, and no judge is called"
# Seconds of import that no task here needs: lmms-eval asks `evaluate` only for metrics of the Hub, and requests falls
# back on charset_normalizer.
UNUSED = ("evaluate", "chardet")
MEDIA = ("video", "cache_dir", "create_link")
MMBENCH_FAILED = "Failed to obtain answer via API"

Task = Any  # lmms_eval.api.task.ConfigurableTask


def use_benchmarks(root: Path) -> None:
    """Make ``root`` this process's HF_HOME, and keep it off the network. Models stay where they were cached."""
    from importlib.util import find_spec

    if not root.is_dir():
        raise InputError(f"--root {root} is missing; expected the folder of the benchmarks' data")
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface")
    os.environ.setdefault("HF_HUB_CACHE", os.path.join(os.path.expanduser(home), "hub"))
    os.environ["HF_HOME"] = str(root.resolve())
    # On a network file system lmms-eval would look for the tables in a node-local folder, which is empty.
    os.environ["LMMS_EVAL_DATASETS_CACHE"] = str(root.resolve() / "datasets")
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TQDM_DISABLE="1", DO_NOT_TRACK="1")
    if find_spec("loguru"):
        from loguru import logger

        logger.remove()
        logger.add(sys.stderr, level="WARNING", format="{level}: {message}")


def import_lmms_eval() -> None:
    """Import lmms-eval without the libraries it does not need here, which saves two of its five seconds."""
    absent = [name for name in UNUSED if name not in sys.modules]
    for name in absent:
        sys.modules[name] = types.ModuleType(name) if name == "evaluate" else None  # type: ignore[assignment]
    try:
        import lmms_eval.evaluator  # noqa: F401
    finally:
        for name in absent:
            sys.modules.pop(name, None)


def load_tasks(
    benchmarks: Sequence[BenchmarkSettings], folder: Path | None, *, judge: bool = False
) -> dict[str, dict[str, Task]]:
    """Load every benchmark's tasks with their data.

    Args:
        benchmarks: what to load.
        folder: further task files, or None.
        judge: whether tasks may ask theirs.

    Returns:
        The tasks by benchmark and by name, in the order of the settings.

    Raises:
        InputError: a task is unknown, its data cannot be loaded, or its number of questions, its repository or its
            commit is not the registry's.
    """
    import_lmms_eval()
    from lmms_eval.tasks import TaskManager

    names = [task for benchmark in benchmarks for task in benchmark.tasks]
    places = [str(folder)] if folder is not None else []
    manager = TaskManager(include_path=[*places, *upstream_folders(names)], include_defaults=False)
    loaded: dict[str, dict[str, Task]] = {}
    for benchmark in benchmarks:
        with media_in_place():
            tasks = {name: _load_task(manager, benchmark.name, name, folder) for name in benchmark.tasks}
        for task in tasks.values():
            (_oblige_judge if judge else _refuse_judge)(task)
        found = sum(len(task.eval_docs_no_media) for task in tasks.values())
        if found != benchmark.questions:
            raise InputError(
                f"benchmark {benchmark.name} holds {found} questions; its settings say {benchmark.questions}"
            )
        sources.commit(benchmark, tasks)
        loaded[benchmark.name] = tasks
    return loaded


@contextmanager
def media_in_place() -> Iterator[None]:
    """Take media as they lie below HF_HOME, whatever `dataset_kwargs` say of them.

    For tasks with `video`, upstream asks for a snapshot of the whole repository and unpacks its archives, and with
    `create_link` it removes and makes again a link that processes beside this one read through. The tasks' own code
    knows their folder without these keys.
    """
    from lmms_eval.api.task import ConfigurableTask

    download = ConfigurableTask.download

    def questions_only(self: Any, dataset_kwargs: dict[str, Any] | None = None) -> None:
        download(self, {key: value for key, value in (dataset_kwargs or {}).items() if key not in MEDIA})

    ConfigurableTask.download = questions_only
    try:
        yield
    finally:
        ConfigurableTask.download = download


def _load_task(manager: Any, benchmark: str, name: str, folder: Path | None) -> Task:
    if name not in manager.all_subtasks:
        raise InputError(
            f"benchmark {benchmark}: lmms-eval knows no task {name!r}; expected a task of its own"
            + (f" or of {folder}" if folder else "")
        )
    try:
        [task] = manager.load_task_or_group(name).values()
    except (Exception, SystemExit) as error:
        cause = _root(error)
        raise InputError(
            f"benchmark {benchmark}: task {name} cannot be loaded from {os.environ['HF_HOME']}: "
            f"{type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else ''}"
        ) from error
    return task


def _root(error: BaseException) -> BaseException:
    """What a retried download failed with."""
    last = getattr(error, "last_attempt", None)
    return last.exception() or error if last is not None else error


def upstream_folders(names: Sequence[str]) -> list[str]:
    """Folders of lmms-eval's own task files that define one of the names: indexing all of them takes seconds."""
    import lmms_eval.tasks

    wanted = re.compile(rf"^task:\s*[\"']?({'|'.join(map(re.escape, names))})[\"']?\s*$", re.MULTILINE)
    files = Path(lmms_eval.tasks.__file__).parent.rglob("*.yaml")
    return sorted({str(path.parent) for path in files if wanted.search(path.read_text(encoding="utf-8"))})


def _refuse_judge(task: Task) -> None:
    """Take the judge out of the module that scores the task."""
    scope = getattr(task.config.process_results, "__globals__", {})
    if "get_eval_result" in scope:
        scope["get_eval_result"] = lambda *_, **__: (NO_JUDGE, 0)


def _oblige_judge(task: Task) -> None:
    """Let no question pass that the judge leaves open, in the module that scores the task or in MMBench's evaluator."""

    def obliged(ask: Callable[..., Any], open_: Callable[[Any], bool]) -> Callable[..., Any]:
        def asked(*arguments: Any, **named: Any) -> Any:
            said = ask(*arguments, **named)
            if open_(said):
                raise NoVerdict(task.config.task)
            return said

        return asked

    scope = getattr(task.config.process_results, "__globals__", {})
    if "get_eval_result" in scope:
        scope["get_eval_result"] = obliged(scope["get_eval_result"], lambda said: said[0] is None)
        captioning = scope["get_eval_result_for_captioning"]
        scope["get_eval_result_for_captioning"] = obliged(captioning, lambda said: said["rating"] == -1)
    if "mmbench_evaluator" in scope:
        judge = scope["mmbench_evaluator"]
        judge.get_chat_response = obliged(judge.get_chat_response, lambda said: said == MMBENCH_FAILED)


class NoVerdict(BaseException):
    """A judge left a question open. Not an Exception: upstream retries those."""


@contextmanager
def verdicts() -> Iterator[None]:
    """Raises InputError where a judge left a question open."""
    try:
        yield
    except NoVerdict as error:
        raise InputError(f"task {error}: the judge gave no verdict; expected one, or no --judge") from None


class ConnectionRefused(BaseException):
    """Scoring tried to reach the network. Not an Exception: upstream retries those, for minutes."""


@contextmanager
def no_network() -> Iterator[None]:
    """Refuse connections to other machines. Raises InputError where one was tried."""
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family == socket.AF_UNIX:
            return connect(self, address)
        raise ConnectionRefused(str(address))

    socket.socket.connect = refuse  # type: ignore[method-assign,assignment]
    try:
        yield
    except ConnectionRefused as error:
        raise InputError(
            f"a task tried to connect to {error} while it was scored; expected tasks that need no judge, such as "
            "mmbench_en_dev_static"
        ) from None
    finally:
        socket.socket.connect = connect  # type: ignore[method-assign]
