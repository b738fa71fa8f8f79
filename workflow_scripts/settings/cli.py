"""What every command shares: arguments that are settings, errors in one line, progress."""

import argparse
import errno
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from workflow_scripts.notes import job

from .section import InputError

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 10.0


def run(main: Callable[[], None]) -> None:
    """Call main; on InputError, or where the disk is full, print `error: ...` and exit 2, without a traceback.

    A job of the workflow leaves a note of its process: see workflow_scripts/notes/job.py.
    """
    with job.observed():
        try:
            main()
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2)
        except Exception as error:
            full = _full(error)
            if full is None:
                raise
            print(f"error: {full}; make room and start the same command again", file=sys.stderr)
            sys.exit(2)


def _full(error: BaseException | None) -> str | None:
    """What an error says of a disk without room, as Python, Arrow, PyAV and safetensors each say it; else None."""
    while error is not None:
        for number in (errno.ENOSPC, errno.EDQUOT):
            said = os.strerror(number)
            if getattr(error, "errno", None) == number or said.lower() in str(error).lower():
                name = getattr(error, "filename", None)
                return f"{said}: {name}" if name else said
        error = error.__cause__ or error.__context__
    return None


def json_of(kind: type[T]) -> Callable[[str], T]:
    """A type for argparse: JSON text, validated as `kind`, e.g. `type=json_of(list[BenchmarkSettings])`."""
    adapter = TypeAdapter(kind)

    def parse(text: str) -> T:
        try:
            return adapter.validate_python(json.loads(text))
        except json.JSONDecodeError as error:
            raise argparse.ArgumentTypeError(f"not JSON: {error}") from None
        except ValidationError as error:
            faults = (f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
            raise argparse.ArgumentTypeError("; ".join(faults)) from None

    return parse


@contextmanager
def progress(total: int, label: str) -> Iterator[Callable[..., None]]:
    """Show progress; yields `advance(steps=1)`.

    On a terminal a bar; elsewhere a line with done, total and time left, at most every 10 s and once at the end.
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True)) as bars:
            task = bars.add_task(label, total=total)
            yield lambda steps=1: bars.advance(task, steps)
        return

    start = last = time.monotonic()
    done = 0

    def advance(steps: int = 1) -> None:
        nonlocal done, last
        done += steps
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            left = (now - start) / done * max(total - done, 0) if done else float("nan")
            print(f"{label}: {done}/{total}, {_clock(left)} left", file=sys.stderr, flush=True)

    yield advance
    print(f"{label}: {done}/{total} in {_clock(time.monotonic() - start)}", file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    return "?" if seconds != seconds else f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
