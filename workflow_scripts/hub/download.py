"""Files of a repository, brought to a folder: each appears whole and checked, and a killed download goes on."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from workflow_scripts.hub.client import RemoteFile
from workflow_scripts.hub.stream import CHUNK, Damaged, Stream, digest_of
from workflow_scripts.settings import InputError, cli

MEGABYTE = 10**6
Item = TypeVar("Item")


def download(
    file: RemoteFile,
    target: Path,
    advance: Callable[[int], None] = lambda count: None,
    stop: threading.Event | None = None,
) -> None:
    """Bring one file. What a killed download left in `<target>.partial` is not read again.

    Raises InputError where it is not there, or is not what the repository lists.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.parent / f"{target.name}.partial"
    try:
        for _ in range(2):
            resumed = _bring(file, partial, advance, stop)
            if resumed is None:
                break
            partial.unlink()
            advance(-file.size)
            if not resumed:
                raise InputError(f"{file.where} is not what the repository lists; nothing was kept of it")
        os.replace(partial, target)
    except OSError as error:
        raise InputError(f"file {target} cannot be written: {error.strerror or error}") from None


def _bring(
    file: RemoteFile, partial: Path, advance: Callable[[int], None], stop: threading.Event | None
) -> bool | None:
    """Complete the partial file: None if it is right, else whether a part of it was there before."""
    digest, _ = digest_of(file)
    with partial.open("ab+") as handle:
        handle.seek(0)
        while data := handle.read(CHUNK):
            digest.update(data)
        start = handle.tell()
        advance(start)
        if start > file.size:
            advance(file.size - start)
            return True
        with Stream(file, start=start, digest=digest, advance=advance, stop=stop) as stream:
            try:
                while data := stream.read(CHUNK):
                    handle.write(data)
                stream.finish()
            except Damaged:
                advance(file.size - stream.position)
                return start > 0
    return None


def is_there(file: RemoteFile, target: Path, *, by_content: bool) -> bool:
    """Whether the file is in its place, by its size alone or by its checksum too."""
    if not target.is_file() or target.stat().st_size != file.size:
        return False
    if not by_content:
        return True
    digest, expected = digest_of(file)
    with target.open("rb") as handle:
        while data := handle.read(CHUNK):
            digest.update(data)
    return expected is None or digest.hexdigest() == expected


def download_all(
    wanted: Sequence[tuple[RemoteFile, Path]], *, connections: int, label: str, by_content: bool = False
) -> int:
    """Bring several files at a time; those in their place stay. Returns the bytes that had to be brought."""
    missing = [(file, target) for file, target in wanted if not is_there(file, target, by_content=by_content)]
    total = sum(file.size for file, _ in missing)
    if missing:
        with megabytes(total, label) as advance:
            each(missing, lambda entry, stop: download(*entry, advance=advance, stop=stop), connections)
    return total


@contextmanager
def megabytes(total: int, label: str) -> Iterator[Callable[[int], None]]:
    """Progress of bytes, shown as megabytes; `advance(bytes)` may be called from any thread."""
    lock, done, shown = threading.Lock(), 0, 0
    with cli.progress(-(-total // MEGABYTE), f"{label}, MB") as step:

        def advance(count: int) -> None:
            nonlocal done, shown
            with lock:
                done += count
                if (whole := done // MEGABYTE) != shown:
                    step(whole - shown)
                    shown = whole

        yield advance


def each(items: Sequence[Item], work: Callable[[Item, threading.Event], None], workers: int) -> None:
    """Do something with each item, several at a time.

    An item that fails does not keep the others from being done; what failed is then said in one InputError. An
    interrupt stops them all.
    """
    stop, faults = threading.Event(), []
    with ThreadPoolExecutor(max(1, min(workers, len(items)))) as pool:
        futures = [pool.submit(work, item, stop) for item in items]
        try:
            for future in futures:
                try:
                    future.result()
                except InputError as error:
                    faults.append(str(error))
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    if faults:
        raise InputError(
            "; ".join(faults) if len(faults) < 4 else f"{'; '.join(faults[:3])}; and {len(faults) - 3} more"
        )


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep a second fetch out of a folder, where the file system can. Raises InputError where there is one."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise InputError(f"folder {folder} is being fetched to by another process") from None
        yield
