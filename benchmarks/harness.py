"""What every benchmark shares: arguments, measured processes, peers installed aside, the table, the file.

A benchmark is a script, `benchmarks/<name>.py [--quick]`, run with the project's own Python. It adds rows to `Results`
and ends with `finish()`, which prints the table and writes `benchmarks/results/<name>.json`: benchmark, quick, date,
machine, versions, notes, and rows {case, metric, unit, ours, peer, peer_name, ratio}; ratio > 1 where ours is better.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PEERS = ROOT / "benchmarks" / ".peers"
sys.path.insert(0, str(ROOT))  # a script finds workflow_scripts however it was called


@dataclass(frozen=True)
class Row:
    """One figure: ours, and a peer's where there is one."""

    case: str
    metric: str
    unit: str
    ours: float
    peer: float | None
    peer_name: str | None
    ratio: float | None


@dataclass(frozen=True)
class Measured:
    """What a process cost: wall time and processor time in seconds, largest resident memory in MiB, its output."""

    wall_s: float
    cpu_s: float
    peak_mib: float
    output: str


@dataclass
class Results:
    """Rows of one benchmark, and what is needed to judge them."""

    name: str
    quick: bool
    packages: Sequence[str] = ()  # whose versions matter, of this environment
    rows: list[Row] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)
    peer_versions: dict[str, str] = field(default_factory=dict)

    def add(
        self,
        case: str,
        metric: str,
        unit: str,
        ours: float,
        peer: float | None = None,
        peer_name: str | None = None,
        *,
        better: Literal["lower", "higher"] = "lower",
    ) -> Row:
        """Add a row; the ratio follows from which direction is better."""
        ratio = None
        if peer is not None:
            above, below = (peer, ours) if better == "lower" else (ours, peer)
            ratio = above / below if below else None
        row = Row(case, metric, unit, _short(ours), _short(peer), peer_name, _short(ratio))
        self.rows.append(row)
        return row

    def finish(self) -> Path:
        """Print the table and write the result file, whole or not at all."""
        table = Table("case", "metric", "unit", "ours", "peer", "peer's name", "ratio", title=self.name)
        for row in self.rows:
            table.add_row(*("" if value is None else str(value) for value in asdict(row).values()))
        Console(width=None if sys.stdout.isatty() else 150).print(table)
        for note, value in self.notes.items():
            print(f"{note}: {value}")
        value = {
            "benchmark": self.name,
            "quick": self.quick,
            "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "machine": machine(),
            "versions": versions(self.packages) | self.peer_versions,
            "notes": self.notes,
            "rows": [asdict(row) for row in self.rows],
        }
        RESULTS.mkdir(parents=True, exist_ok=True)
        path = RESULTS / f"{self.name}.json"
        partial = path.parent / f"{path.name}.partial"
        partial.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(partial, path)
        return path


def arguments(description: str | None, *more: tuple[str, dict[str, Any]]) -> argparse.Namespace:
    """Parse the command line: `--quick`, and further (flag, keywords of add_argument)."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smaller case, within five minutes")
    for flag, keywords in more:
        parser.add_argument(flag, **keywords)
    return parser.parse_args()


def measure(
    command: Sequence[str | Path], *, cores: int | None = None, environment: dict[str, str] | None = None
) -> Measured:
    """Run a command to its end and say what it cost. cores: how many it may use, of those this process may use.

    Processor time and memory include the processes it started and waited for; memory is that of the largest of them.
    Raises RuntimeError with the end of its output where it fails.
    """
    allowed = sorted(os.sched_getaffinity(0))
    threads = {} if cores is None else {name: str(cores) for name in ("OMP_NUM_THREADS", "ARROW_IO_THREADS")}
    start = time.perf_counter()
    process = subprocess.Popen(
        [str(part) for part in command],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | threads | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=None if cores is None else lambda: os.sched_setaffinity(0, allowed[-cores:]),
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} ended with {process.returncode}:\n{output[-2000:]}")
    return Measured(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output)


def peer_python(name: str, requirements: Sequence[str]) -> Path | None:
    """Python of an environment of its own that holds the peers; None where they cannot be installed.

    It lies in benchmarks/.peers/<name>/ and is kept for the next run.
    """
    folder = PEERS / name
    python, stamp = folder / "bin" / "python", folder / "installed"
    wanted = "\n".join(requirements)
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return python
    uv = Path(sys.executable).parent / "uv"
    for command in (
        [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, folder],
        [uv, "pip", "install", "--quiet", "--python", python, *requirements],
    ):
        if subprocess.run([str(part) for part in command], check=False).returncode:
            return None
    stamp.write_text(wanted, encoding="utf-8")
    return python


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), ""
    )
    memory = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "processor": model or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory / 2**20, 1),
        "system": f"{platform.system()} {platform.release()}",
        "load": [round(value, 2) for value in os.getloadavg()],
    }


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of Python, of packages of this environment, and the commit, with `+` where files differ from it."""
    found = {"python": platform.python_version()}
    for package in packages:
        found[package] = importlib.metadata.version(package)
    commit = subprocess.run(
        ["git", "describe", "--always", "--abbrev=12", "--dirty=+"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return found | {"commit": commit.stdout.strip() or "unknown"}


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).is_file() else []


def _short(value: Any) -> Any:
    """Four significant digits are all that a timing has."""
    return value if value is None or isinstance(value, int) else float(f"{value:.4g}")
