"""Record a study's effective settings, software, commit and machine.

Comes in: the effective settings. Goes out: provenance/study.json with the keys settings, packages (name: version of
every installed distribution), python, commit (null outside a git repository), changed (files that differ from the
commit), machine {system, processor, cores, memory_gb, gpus} and recorded (UTC time).
"""

import argparse
import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from workflow_scripts.settings.cli import json_of, run
from workflow_scripts.settings.files import write_json

ROOT = Path(__file__).parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=json_of(dict[str, Any]), required=True, help="effective settings, as JSON")
    parser.add_argument("--output", type=Path, required=True, help="provenance/study.json")
    arguments = parser.parse_args()
    write_json(record(arguments.config), arguments.output)


def record(settings: dict[str, Any]) -> dict[str, Any]:
    """Everything but the results themselves that a study's numbers depend on."""
    commit = _output("git", "-C", str(ROOT), "rev-parse", "HEAD")
    changed = _output("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no")
    return {
        "settings": settings,
        "packages": packages(),
        "python": platform.python_version(),
        "commit": commit,
        "changed": None if changed is None else [line.split(maxsplit=1)[1] for line in changed.splitlines()],
        "machine": machine(),
        "recorded": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def packages() -> dict[str, str]:
    """Installed distributions by name."""
    found = {item.metadata["Name"]: item.version for item in distributions() if item.metadata["Name"]}
    return dict(sorted(found.items(), key=lambda entry: entry[0].lower()))


def machine() -> dict[str, Any]:
    """The machine, as the operating system and the GPU driver describe it."""
    gpus = _output("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "gpus": gpus.splitlines() if gpus else [],
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _output(*command: str) -> str | None:
    """What a command prints; None where it is missing or fails."""
    if shutil.which(command[0]) is None:
        return None
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip("\n") if done.returncode == 0 else None


if __name__ == "__main__":
    run(main)
