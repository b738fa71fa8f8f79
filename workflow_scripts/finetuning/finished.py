"""The record of a run that is finished, kept beside where its checkpoints were.

Snakemake deletes the declared outputs of a job before it starts it. When Snakemake was killed and started again while
the job of a run went on, it starts that run a second time, and may do so just after the first has published. The second
then puts the few declared files back instead of training for days what is already there.
"""

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.settings.files import atomic_path, write_json

DECLARED = ("model/config.json", "log.jsonl", "summary.json")
FOLDER = "finished"
PACKAGES = ("finetuning", "vlm")


def record(folder: Path, output: Path, results: Sequence[str]) -> None:
    """Note in `folder` what the run left in `output`: the files in `results`, which are names of files or folders."""
    files = {
        str(path.relative_to(output)): _stamp(path)
        for name in results
        for path in ([output / name] if (output / name).is_file() else sorted((output / name).rglob("*")))
        if path.is_file()
    }
    with atomic_path(folder / FOLDER) as partial:
        for name in DECLARED:
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(output / name, partial / name)
        write_json({"code": code_sha256(), "files": files}, partial / "record.json")


def restore(folder: Path, output: Path) -> bool:
    """Put the declared files back where all else that the run left is there, unchanged, and the code is the same."""
    note = folder / FOLDER / "record.json"
    if not note.is_file():
        return False
    known = json.loads(note.read_text(encoding="utf-8"))
    others = {name: stamp for name, stamp in known["files"].items() if name not in DECLARED}
    if known["code"] != code_sha256() or any(_stamp(output / name) != stamp for name, stamp in others.items()):
        return False
    for name in DECLARED:
        with atomic_path(output / name) as partial:
            shutil.copy2(folder / FOLDER / name, partial)
    return True


def recorded(folder: Path) -> bool:
    """Whether the run is finished, after the first process has restored its files or forgotten it."""
    return (folder / FOLDER / "record.json").is_file()


def forget(folder: Path) -> None:
    """Drop the record: the run is trained again."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)


def code_sha256() -> str:
    """Checksum of the code that trains."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(path for name in PACKAGES for path in (package / name).rglob("*.py")):
        digest.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _stamp(path: Path) -> list[int] | None:
    """Size and time of change of a file."""
    if not path.is_file():
        return None
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]
