"""Run one function over many items in worker processes that can be killed.

Decoders of video hang and crash; a thread or a pool of the standard library cannot survive that. Here each worker is a
process of its own: one that exceeds the time limit is killed, one that dies is replaced, and the item is reported.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

Item = TypeVar("Item")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Outcome(Generic[Value]):
    """What became of one item: a value, or an exception of the function, or a worker that hung or died."""

    value: Value | None = None
    error: Exception | None = None
    hung: bool = False
    exit_code: int | None = None


def _serve(function: Callable[[Any], Any], connection: Connection) -> None:
    connection.send("ready")
    while True:
        try:
            item = connection.recv()
        except (EOFError, KeyboardInterrupt):
            return
        outcome: Outcome[Any]
        try:
            outcome = Outcome(value=function(item))
        except Exception as error:  # the caller decides what an error means
            outcome = Outcome(error=error)
        try:
            connection.send(outcome)
        except (BrokenPipeError, KeyboardInterrupt):
            return


class _Worker:
    def __init__(self, function: Callable[[Any], Any]) -> None:
        context = multiprocessing.get_context("forkserver")
        self.connection, remote = context.Pipe()
        self.process = context.Process(target=_serve, args=(function, remote), daemon=True)
        self.process.start()
        remote.close()
        self.started = False
        self.index: int | None = None
        self.deadline = float("inf")

    def close(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join()


def each(
    function: Callable[[Item], Value],
    items: Sequence[Item],
    *,
    workers: int,
    timeout_s: float,
    lookahead: int = 4,
    preload: Sequence[str] = (),
) -> Iterator[Outcome[Value]]:
    """Yield the outcome of `function(item)` for every item, in the order of `items`.

    function: a module-level function; it, its items and its values travel by pickle. timeout_s: seconds an item may
    take in a started worker before the worker is killed. lookahead: items a worker may run ahead of the slowest one,
    which bounds the memory held by finished values. preload: modules to import once for all workers, in the server that
    they are forked from.
    """
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(preload))
    pool = [_Worker(function) for _ in range(max(1, min(workers, len(items))))] if items else []
    finished: dict[int, Outcome[Value]] = {}
    dispatched = yielded = 0
    try:
        while yielded < len(items):
            while yielded in finished:
                yield finished.pop(yielded)
                yielded += 1
            for worker in pool:
                ahead = dispatched - yielded
                if (
                    worker.started
                    and worker.index is None
                    and dispatched < len(items)
                    and ahead < lookahead * len(pool)
                ):
                    with contextlib.suppress(BrokenPipeError):  # a dead worker is found below
                        worker.connection.send(items[dispatched])
                    worker.index, worker.deadline = dispatched, time.monotonic() + timeout_s
                    dispatched += 1
            remaining = min((w.deadline for w in pool), default=float("inf")) - time.monotonic()
            if yielded < len(items):
                wait([w.connection for w in pool], timeout=max(0.0, min(remaining, 60.0)))
            for position, worker in enumerate(pool):
                outcome: Outcome[Value] | None = None
                try:
                    if worker.connection.poll():
                        message = worker.connection.recv()
                        if worker.started:
                            outcome = message
                        worker.started = True
                    elif time.monotonic() > worker.deadline:
                        outcome = Outcome(hung=True)
                except (EOFError, OSError):
                    worker.process.join()
                    outcome = Outcome(exit_code=worker.process.exitcode)
                    if worker.index is None:
                        raise RuntimeError(f"worker process ended with {outcome.exit_code} before any item") from None
                if outcome is None:
                    continue
                if worker.index is not None:
                    finished[worker.index] = outcome
                worker.index, worker.deadline = None, float("inf")
                if outcome.hung or outcome.exit_code is not None:
                    worker.close()
                    pool[position] = _Worker(function)
    finally:
        for worker in pool:
            worker.close()
