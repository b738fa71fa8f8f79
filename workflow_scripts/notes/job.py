"""A command's note of itself: what only its process knows of how a result is made.

A job of the workflow finds in FOLDER, an environment variable, where notes are kept: one JSON file a command, written
when it starts and again when it ends, whole each time. A start without an end was killed; the next start of the same
command keeps it under `earlier`. Without the variable, in a terminal say, nothing is written. Of the processes of one
training the first writes. Provenance takes the notes into the records (workflow_scripts/provenance/gather.py).

A note says `status` (of the process; null while it runs), `module`, `arguments`, `directory`, `host`, `pid`, `started`,
`ended`, `wall_s`, `cpu_s`, `peak_memory_mb`, `processes`, `machine`, `gpus`, `slurm`, `python`, `packages`, `commit`,
`modules` (git's name of the content of each file of this repository that was run), `wrote` (files it put in place:
size, times and inode with SHA-256), `identity` (what a figure carries) and `earlier`.

A disk without room, or a machine without git, costs the note and never the result.
"""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

FOLDER = "TEMPORAL_TRAP_NOTES"
ROOT = Path(__file__).parents[2]
PACKAGE = "workflow_scripts"
LARGE_BYTES = 1_000_000
"""Files from this size on are hashed by the process that wrote them, side by side with others and still in memory."""
MODULES = {"pillow": "PIL", "pyyaml": "yaml"}
"""Modules that are not called as the distribution that holds them."""

_IMPORTED = time.monotonic()
_told: dict[str, Any] = {}
_written: list[Path] = []


def tell(key: str, value: Any) -> None:
    """Add to this process's note."""
    _told[key] = value


def wrote(path: Path) -> None:
    """Name a file, or a folder, that this process has put in place."""
    _written.append(path)


def name(module: str, arguments: Sequence[str]) -> str:
    """The name of a command's note: the same for the same command, without the ending."""
    return hashlib.sha256("\0".join([module, *arguments]).encode()).hexdigest()[:32]


@contextlib.contextmanager
def observed() -> Iterator[None]:
    """Note what runs inside. Children of the process are told nothing, so that each note is of one command."""
    folder = os.environ.pop(FOLDER, None)
    module = command()
    if folder is None or module is None or os.environ.get("RANK", "0") != "0":
        yield
        return
    path = Path(folder).absolute() / f"{name(module, sys.argv[1:])}.json"
    note = _start(module, path)
    _write(note, path)
    status: int | str | None = 1
    try:
        yield
        status = 0
    except SystemExit as stopped:
        status = 0 if stopped.code is None else stopped.code
        raise
    finally:
        note |= {"status": status, "ended": _time(), "wall_s": round(_age_s(), 3)}
        _write(note | _end(note), path)


def blob(content: bytes) -> str:
    """Git's name of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _start(module: str, path: Path) -> dict[str, Any]:
    before = _read(path)
    lost = [{key: before.get(key) for key in ("host", "started", "slurm")}] if before.get("status", 0) != 0 else []
    return {
        "status": None,
        "module": module,
        "arguments": sys.argv[1:],
        "directory": os.getcwd(),
        "host": platform.node(),
        "pid": os.getpid(),
        "started": _time(_age_s()),
        "slurm": {key: value for key, value in sorted(os.environ.items()) if key in SLURM},
        "commit": commit(),
        "modules": modules(),
        "earlier": [*before.get("earlier", []), *lost] if lost else [],
    }


SLURM = tuple(
    f"SLURM_{key}"
    for key in ("JOB_ID", "JOB_NAME", "JOB_PARTITION", "JOB_NODELIST", "NNODES", "CLUSTER_NAME", "RESTART_COUNT")
)


def _end(note: dict[str, Any]) -> dict[str, Any]:
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "cpu_s": round(sum(one.ru_utime + one.ru_stime for one in used), 3),
        "peak_memory_mb": round(max(one.ru_maxrss for one in used) / 1024, 1),
        "processes": int(os.environ.get("WORLD_SIZE", "1")),
        "machine": {
            "system": platform.platform(),
            "processor": _processor(),
            "cores": os.cpu_count() or 1,
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        },
        "gpus": _gpus(),
        "python": platform.python_version(),
        "packages": _packages(),
        "modules": modules(note["modules"]),
        "wrote": _checksums() if note["status"] == 0 else {},
        **_told,
    }


def command() -> str | None:
    """The module that `python -m` started; None where something else did."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    found = None if spec is None else spec.name.removesuffix(".__main__")
    return found if found is not None and found.split(".")[0] == PACKAGE else None


def modules(known: Mapping[str, str] | None = None) -> dict[str, str]:
    """Content, by path, of each file of this repository that the process has loaded; known ones stay as they were."""
    found = dict(known or {})
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file is None or not file.startswith(f"{ROOT / PACKAGE}{os.sep}"):
            continue
        path = Path(file).relative_to(ROOT).as_posix()
        if path not in found:
            with contextlib.suppress(OSError):
                found[path] = blob(Path(file).read_bytes())
    return dict(sorted(found.items()))


def _packages() -> dict[str, str]:
    """Installed version of each locked distribution that the process has loaded."""
    lock = ROOT / "envs" / "requirements.txt"
    with contextlib.suppress(OSError):
        locked = re.findall(r"^([A-Za-z0-9._-]+)==", lock.read_text(encoding="utf-8"), re.MULTILINE)
        loaded = {key.partition(".")[0] for key in sys.modules}
        found = {}
        for distribution in (one.lower().replace("_", "-") for one in locked):
            if MODULES.get(distribution, distribution.replace("-", "_")) in loaded:
                with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                    found[distribution] = importlib.metadata.version(distribution)
        return found
    return {}


def _gpus() -> list[str]:
    """GPUs, where the process has used one."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return []
    version = Path("/proc/driver/nvidia/version")
    driver = re.search(r"\b\d{3}\.[\d.]+", version.read_text()) if version.is_file() else None
    found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    said = f", driver {driver[0]}" if driver else ""
    return [f"{one.name}, {one.total_memory / 2**30:.0f} GiB{said}" for one in found]


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def commit() -> str | None:
    """The commit of the repository; None outside git."""
    with contextlib.suppress(OSError):
        command = ["git", "-C", str(ROOT), "rev-parse", "--verify", "--quiet", "HEAD"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout.strip() or None
    return None


def _checksums() -> dict[str, list[int | str]]:
    """Stamp and SHA-256 of the large files that the process has put in place and that are still there."""
    found: dict[str, list[int | str]] = {}
    for target in _written:
        for path in sorted(target.rglob("*")) if target.is_dir() else [target]:
            with contextlib.suppress(OSError):
                before = path.stat()
                if path.is_file() and before.st_size >= LARGE_BYTES:
                    with path.open("rb") as file:
                        content = hashlib.file_digest(file, "sha256").hexdigest()
                    stamp = [before.st_size, before.st_mtime_ns, before.st_ctime_ns, before.st_ino]
                    found[str(path)] = [*stamp, content]
    return found


def _time(ago_s: float = 0.0) -> str:
    return (datetime.now(UTC) - timedelta(seconds=ago_s)).isoformat(timespec="milliseconds")


def _age_s() -> float:
    """Seconds since the process started, its imports among them; where that cannot be told, since this module's."""
    with contextlib.suppress(OSError, AttributeError, ValueError, IndexError):
        started = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
        return time.clock_gettime(time.CLOCK_BOOTTIME) - int(started) / os.sysconf("SC_CLK_TCK")
    return time.monotonic() - _IMPORTED


def _read(path: Path) -> dict[str, Any]:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _write(note: dict[str, Any], path: Path) -> None:
    partial = path.parent / f"{path.name}.{uuid4().hex}.partial"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(note, indent=1), encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        # first what was half written: the log, on the same full disk, may not take the warning
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            print(f"warning: no note of this command in {path}: {error}", file=sys.stderr)
