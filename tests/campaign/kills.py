"""The smoke study, killed with -9 at random moments and resumed, comes to the figures of an undisturbed run.

    python -m tests.campaign.kills [--kills 50] [--seed 0] [--cores 2] [--longest 40] [--against results/smoke]
        [--overlay smaller.yaml]

In a copy of the repository the study runs once undisturbed, unless --against names such a run's results. Then all is
deleted, and it is started again and again by `workflow_scripts.provenance.resume`, as `make resume` does. Each start's
whole process group is killed after a drawn time. A study that is done before its kill is compared and deleted, and the
next begins, until the kills are used up; the last study is then left to finish. Compared are all CSV files of figures/,
byte for byte, but for the columns that hold how long jobs took.

Exit status 1: a start failed by itself, a lock stayed, or a file differs. The counts are printed as JSON: kills, by
command at work at the moment of the kill, studies finished, files compared, files that differ, seconds.
"""

import argparse
import collections
import csv
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.repository import copy_to

STUDY = ["--configfile", "presets/miniature.yaml", "presets/smoke.yaml"]
RESULTS = Path("results/smoke")
TIMES = ("seconds",)
"""Columns that no two runs share."""
LONGEST = 40.0
"""Seconds between a start and its kill are drawn from 0 to this. The study's longest job must fit, or it never ends."""


@dataclass
class Counts:
    """What happened."""

    kills: int = 0
    at_work: collections.Counter[str] = field(default_factory=collections.Counter)
    studies: int = 0
    compared: int = 0
    differ: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


class Campaign:
    """A study in a folder, and the moments at which it is killed."""

    def __init__(
        self, folder: Path, cores: int, seed: int, overlays: Sequence[Path] = (), longest: float = LONGEST
    ) -> None:
        self.folder = folder
        self.longest = longest
        self.draw = random.Random(seed)
        flags = [
            "--profile",
            "profiles/local",
            "--cores",
            str(cores),
            *STUDY,
            *(str(path.absolute()) for path in overlays),
        ]
        self.command = [sys.executable, "-m", "workflow_scripts.provenance.resume", *flags]
        self.log = folder / "campaign.log"
        self.counts = Counts()

    def run(self, kills: int, against: Path | None = None) -> dict[str, Any]:
        """Kill so many times; the counts. ``against`` holds an undisturbed run's results, else one is made first."""
        began = time.monotonic()
        if against is None:
            self.start(None)
        wanted = figures(against or self.folder / RESULTS)
        undisturbed = None if against else round(time.monotonic() - began)
        print(f"undisturbed: {against or f'{undisturbed} s'}, {len(wanted)} files", file=sys.stderr, flush=True)
        self.delete()
        while wanted and not self.counts.failed:
            moment = self.draw.uniform(0, self.longest) if self.counts.kills < kills else None
            if self.start(moment):
                self.compare(wanted)
                if moment is None:
                    break
                self.delete()
        return {
            "kills": self.counts.kills,
            "at work": dict(self.counts.at_work.most_common()),
            "studies finished": self.counts.studies,
            "files compared": self.counts.compared,
            "files that differ": self.counts.differ,
            "failed starts": self.counts.failed,
            "undisturbed seconds": undisturbed,
            "seconds": round(time.monotonic() - began),
        }

    def start(self, moment: float | None) -> bool:
        """Start, and kill after so many seconds; whether it was done before."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                self.command, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        try:
            status = process.wait(moment)
        except subprocess.TimeoutExpired:
            self.counts.at_work.update(at_work(process.pid) or ["no job"])
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self.counts.kills += 1
            print(f"kill {self.counts.kills} after {moment:.1f} s", file=sys.stderr, flush=True)
            return False
        if status != 0:
            self.counts.failed.append(f"status {status}: {self.log.read_text(errors='replace')[-2000:]}")
        return status == 0

    def compare(self, wanted: dict[str, str]) -> None:
        """Set the figures beside the undisturbed run's; nothing half-written may be left among them."""
        found = figures(self.folder / RESULTS)
        self.counts.studies += 1
        self.counts.compared += len(wanted)
        self.counts.differ += sorted(name for name in wanted | found if wanted.get(name) != found.get(name))

    def delete(self) -> None:
        """All results, and what Snakemake knows of them."""
        shutil.rmtree(self.folder / RESULTS, ignore_errors=True)
        shutil.rmtree(self.folder / ".snakemake", ignore_errors=True)


def figures(results: Path) -> dict[str, str]:
    """Checksum of each figure's data, without the columns TIMES."""
    return {path.name: _checksum(path) for path in sorted((results / "figures").glob("*.csv"))}


def _checksum(path: Path) -> str:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    timed = {place for place, name in enumerate(rows[0] if rows else []) if name in TIMES}
    if not timed:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    kept = [[cell for place, cell in enumerate(row) if place not in timed] for row in rows]
    return hashlib.sha256(json.dumps(kept).encode()).hexdigest()


def at_work(group: int) -> set[str]:
    """The commands of this repository that run in a process group."""
    found = set()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if os.getpgid(int(entry.name)) != group:
                continue
            named = re.search(rb"-m\x00workflow_scripts\.([\w.]+)", (entry / "cmdline").read_bytes())
        except OSError:
            continue
        if named and named[1] != b"provenance.resume":
            found.add(named[1].decode())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument(
        "--overlay", type=Path, nargs="+", default=[], help="further overlays, that make the study smaller"
    )
    parser.add_argument("--longest", type=float, default=LONGEST, help="seconds between a start and its kill, at most")
    parser.add_argument(
        "--against", type=Path, help="results of an undisturbed run by the same code, instead of one here"
    )
    options = parser.parse_args()
    if options.against and not figures(options.against):
        parser.error(f"--against {options.against}: there is no figures/*.csv; expected a finished study's results")
    with tempfile.TemporaryDirectory(prefix="campaign-") as scratch:
        campaign = Campaign(copy_to(Path(scratch)), options.cores, options.seed, options.overlay, options.longest)
        found = campaign.run(options.kills, options.against)
    print(json.dumps(found, indent=2))
    sys.exit(1 if found["failed starts"] or found["files that differ"] or not found["files compared"] else 0)


if __name__ == "__main__":
    main()
