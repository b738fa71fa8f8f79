"""Who works on a study in a folder: a file for each Snakemake that has read the workflow there and has not ended.

Snakemake locks what it is about to make, but its lock does not say whose it is, and stays when its process is killed.
So each start leaves `.snakemake/starts/<number>.json` before it locks anything: the study, the user, and the process by
host, process number and the time at which it began. At its end, good or bad, the process takes it away; kill -9 or a
power loss leave it.
"""

import atexit
import getpass
import json
import os
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from workflow_scripts.finetuning import slurm
from workflow_scripts.finetuning.lease import Holder
from workflow_scripts.settings.files import write_json

STARTS = Path(".snakemake") / "starts"
LOCKS = Path(".snakemake") / "locks"
"""Where Snakemake keeps its locks: lists of files, `<number>.input.lock` and `<number>.output.lock`."""
MACHINE = Path("/etc/machine-id")
_STUDY = re.compile(r"results/([^/\s]+)/")


@dataclass(frozen=True)
class Start:
    """A Snakemake at work on a study. `machine`: what stays the same when the host starts again; empty if not known."""

    study: str
    user: str
    began: str
    machine: str
    holder: Holder

    def __str__(self) -> str:
        return f"{self.holder}, started by {self.user} at {self.began}"

    @property
    def is_dead(self) -> bool | None:
        """True and False are proven; None: a process of a machine that cannot be asked from here."""
        runs = self.holder.runs_here()
        if runs is not None:
            return not runs
        restarted = self.holder.host == socket.gethostname() and self.machine == _machine() != ""
        booted = [name.split("/")[1:2] for name in (self.holder.machine, Holder.here().machine)]
        if restarted and booted[0] != booted[1]:
            return True
        return slurm.is_over(self.holder.job) if self.holder.job is not None else None


def announce(study: str, folder: Path = Path()) -> list[Start]:
    """Say that this process works on a study, until it ends; the others on the same study that are not proven dead."""
    others = [start for start in starts(folder) if start.study == study and start.is_dead is not True]
    if not locks(folder):
        for path in _paths(folder):
            start = _read(path)
            if start is None or start.is_dead:
                path.unlink(missing_ok=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    mine = Start(study, _user(), now, _machine(), Holder.here())
    path = (folder / STARTS / f"{mine.holder.token}.json").absolute()
    write_json(asdict(mine), path)
    process = os.getpid()
    atexit.register(lambda: path.unlink(missing_ok=True) if os.getpid() == process else None)
    return others


def starts(folder: Path = Path()) -> list[Start]:
    """All that are on record."""
    return [start for path in _paths(folder) if (start := _read(path)) is not None]


def locks(folder: Path = Path()) -> dict[str, list[Path]]:
    """Snakemake's locks by study; those of files of no study under the empty name."""
    found: dict[str, list[Path]] = {}
    for path in sorted((folder / LOCKS).glob("*.lock")):
        named = _STUDY.search(path.read_text(encoding="utf-8", errors="replace"))
        found.setdefault(named[1] if named else "", []).append(path)
    return found


def judge(study: str, known: Sequence[Start]) -> tuple[bool, str]:
    """Whether a study's lock may go, and why, in words. known: all starts on record."""
    of_it = [start for start in known if start.study == study]
    living = [start for start in of_it if start.is_dead is not True]
    if living:
        state = "is at work" if living[0].is_dead is False else "may be at work; it cannot be asked from here"
        return False, f"results/{study} is locked by {living[0]}, which {state}"
    if not of_it:
        return False, (
            f"results/{study} is locked, and nothing says by whom; make sure that no Snakemake works on it, on any "
            "machine, and take the lock away with `snakemake --unlock`"
        )
    return True, f"results/{study} was locked by {of_it[-1]}, which is no more"


def _paths(folder: Path) -> Iterator[Path]:
    return iter(sorted((folder / STARTS).glob("*.json"), key=lambda path: path.name))


def _read(path: Path) -> Start | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        return Start(**{**value, "holder": Holder(**value["holder"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _machine() -> str:
    return MACHINE.read_text().strip() if MACHINE.is_file() else ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())
