"""One writer of a run's folder, on a file system that several machines share.

The n-th writer holds `lease-<n>.json`: who it is, and a beat that a thread counts up every few seconds. The file is put
in place by a hard link, which on NFS too happens once or fails; from then on only its holder changes it. The holder is
whoever has the highest n, so a process that was taken for dead and comes back sees that it was replaced, and ends.

A writer counts as gone when it let go of its lease; when its process is no more, if it was on this machine; otherwise
when its beat stands still for `EXPIRY_SECONDS` by this machine's clock (clocks are never compared) and SLURM says that
its job is over. flock would be simpler, but on some shared file systems it holds on one machine only.
"""

import json
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from workflow_scripts.finetuning import slurm
from workflow_scripts.settings import InputError

BEAT_SECONDS = 10.0
EXPIRY_SECONDS = 300.0
POLL_SECONDS = 1.0
PATIENCE_SECONDS = 2 * 3600.0
"""How long a job that SLURM started again waits for its own earlier start to save and end."""
LOST = 70  # EX_SOFTWARE
KILLED = (
    "was killed or lost its machine. If that was for the memory it used (SLURM: OUT_OF_MEMORY), ask for more, by "
    "--set-resources train:mem_mb=<MB>"
)


@dataclass(frozen=True)
class Holder:
    """A process. `machine`: host, its start and its process namespace; `began`: when the process started, in ticks."""

    host: str
    machine: str
    pid: int
    began: str
    job: str | None
    token: str

    @classmethod
    def here(cls) -> "Holder":
        """This process."""
        pid = os.getpid()
        return cls(socket.gethostname(), _machine(), pid, _began(pid) or "", slurm.own_job(), uuid.uuid4().hex)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}" + (f", SLURM job {self.job}" if self.job else "")

    def runs_here(self) -> bool | None:
        """Whether it is still running; None if it is of another machine."""
        return None if self.machine != _machine() else _began(self.pid) == self.began


class Lease:
    """The lease that this process holds."""

    def __init__(self, folder: Path, number: int, holder: Holder) -> None:
        self.folder = folder
        self.number = number
        self.holder = holder
        self.beat = 0
        self.ended = threading.Event()

    @property
    def lost(self) -> bool:
        """Whether another writer took this one for gone, or the folder was cleared."""
        state = _read(self.folder, self.number)
        return _last(self.folder) != self.number or state is None or state["holder"]["token"] != self.holder.token

    @property
    def wanted(self) -> bool:
        """Whether a later start of the same job waits for this writer to save and end."""
        return (self.folder / f"lease-{self.number}.wanted").exists()

    def check(self) -> None:
        """End this process at once if it is no longer the writer: whatever it wrote now would mix with another's."""
        if self.lost:
            print(f"error: folder {self.folder}: another process took over this run; ending", file=sys.stderr)
            sys.stderr.flush()
            os._exit(LOST)

    def renew(self) -> None:
        """Count the beat up."""
        self.check()
        self.beat += 1
        _put(self.folder, self.number, self.holder, beat=self.beat)

    def release(self) -> None:
        """Let go, unless it was lost."""
        self.ended.set()
        if not self.lost:
            _put(self.folder, self.number, self.holder, beat=self.beat, released=True)

    def keep_renewing(self) -> None:
        """Renew until released. A write that fails (a full disk, say) is tried again at the next beat."""
        while not self.ended.wait(BEAT_SECONDS):
            with suppress(OSError):
                self.renew()


@contextmanager
def held(folder: Path, stop: Callable[[], bool] = lambda: False) -> Iterator[Lease]:
    """Hold the lease of `folder`, made if need be. Raises InputError while another writer lives (see `acquire`)."""
    lease = acquire(folder, stop)
    threading.Thread(target=lease.keep_renewing, name="lease", daemon=True).start()
    try:
        yield lease
    finally:
        with suppress(OSError):
            lease.release()


def acquire(folder: Path, stop: Callable[[], bool] = lambda: False) -> Lease:
    """Become the writer of `folder` once the one before is gone.

    While that one lives: an earlier start of this very SLURM job, left over by a failed node, is asked to save and end,
    and waited for; behind another SLURM job this job queues again, which gives its GPUs back; otherwise InputError.
    `stop`: whether to wait no longer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    me = Holder.here()
    watch = _Watch()
    began = time.monotonic()
    said: Holder | None = None
    while True:
        number = _last(folder)
        state = _read(folder, number)
        other = Holder(**state["holder"]) if state else None
        alive: bool | None = False
        if state and other and not state["released"]:
            watch.look(other, state["beat"])
            alive = _alive(other, me, watch)
        if alive is False or other is None:
            lease = _take(folder, number + 1, me)
            if lease is None:
                continue
            if state and other and not state["released"]:
                _say(f"the start before, {other}, {KILLED}")
            return lease
        if alive and other.job == me.job and me.job is not None:
            (folder / f"lease-{number}.wanted").touch()
        elif alive:
            if me.job and other.job and slurm.queue_again(behind=other.job):
                _say(f"{other} is training this run; this job waits in the queue until that one has ended")
                raise SystemExit(os.EX_TEMPFAIL)
            raise InputError(f"folder {folder}: {other} is training this run; wait for it or end it. Nothing is lost")
        if said != other:
            _say(f"waiting for {other}, the last known writer of {folder}, to end or to prove gone")
            said = other
        if time.monotonic() - began > PATIENCE_SECONDS:
            raise InputError(f"folder {folder}: {other} may still be training this run; end it and start again")
        if stop():
            raise SystemExit(os.EX_TEMPFAIL)
        time.sleep(POLL_SECONDS)


class _Watch:
    """What the beat of another machine's writer did while this process looked."""

    def __init__(self) -> None:
        self.seen: tuple[Holder, int] | None = None
        self.since = time.monotonic()
        self.moved = False

    def look(self, holder: Holder, beat: int) -> None:
        if (holder, beat) != self.seen:
            self.moved = self.seen is not None and self.seen[0] == holder
            self.seen = (holder, beat)
            self.since = time.monotonic()

    @property
    def still_seconds(self) -> float:
        return time.monotonic() - self.since


def _alive(other: Holder, me: Holder, watch: _Watch) -> bool | None:
    """Whether a writer lives; None where that is not known yet."""
    here = other.runs_here()
    if here is not None:
        return here
    if watch.moved:
        return True
    if other.job is not None and other.job != me.job:
        over = slurm.is_over(other.job)
        if over is not True:
            return None if over is None else True
    return False if watch.still_seconds > EXPIRY_SECONDS else None


def _take(folder: Path, number: int, holder: Holder) -> Lease | None:
    """The lease with this number, or None if another process was first."""
    fresh = folder / f".lease-{holder.token}"
    fresh.write_text(_text(holder, beat=0, released=False))
    try:
        os.link(fresh, _path(folder, number))
    except FileExistsError:
        return None
    finally:
        fresh.unlink()
    for path in folder.glob("lease-*"):
        if _number(path) < number:
            path.unlink(missing_ok=True)
    return Lease(folder, number, holder)


def _put(folder: Path, number: int, holder: Holder, *, beat: int, released: bool = False) -> None:
    fresh = folder / f".lease-{holder.token}"
    fresh.write_text(_text(holder, beat=beat, released=released))
    os.replace(fresh, _path(folder, number))


def _text(holder: Holder, *, beat: int, released: bool) -> str:
    return json.dumps({"holder": asdict(holder), "beat": beat, "released": released}) + "\n"


def _path(folder: Path, number: int) -> Path:
    return folder / f"lease-{number}.json"


def _number(path: Path) -> int:
    text = path.name.removeprefix("lease-").partition(".")[0]
    return int(text) if text.isdigit() else 0


def _last(folder: Path) -> int:
    """The highest number of a lease, 0 if there is none."""
    return max((_number(path) for path in folder.glob("lease-*.json")), default=0)


def _read(folder: Path, number: int) -> dict[str, Any] | None:
    """The content of a lease; None if it is not there any more."""
    try:
        state: dict[str, Any] = json.loads(_path(folder, number).read_text())
    except (OSError, ValueError):
        return None
    return state


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _machine() -> str:
    """A name that a restart of the machine, or another container on it, does not have."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    namespace = Path("/proc/self/ns/pid")
    known = [boot.read_text().strip()] if boot.is_file() else []
    with suppress(OSError):
        known.append(os.readlink(namespace))
    return "/".join([socket.gethostname(), *known])


def _began(pid: int) -> str | None:
    """When a process of this machine started, in clock ticks since boot; None if there is none (or only its zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
