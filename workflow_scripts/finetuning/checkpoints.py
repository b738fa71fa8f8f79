"""Where a run's checkpoints lie, and the last one that is whole.

The folder is keyed by the run's specification and declared by no rule: Snakemake deletes the declared outputs of a
failed job, and a run whose specification changed must not go on from another's weights. A checkpoint is written in
`.partial/` and renamed, so that every `checkpoint-<step>` is whole.
"""

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from transformers.trainer_utils import get_last_checkpoint, rotate_checkpoints

LITTLE_BYTES = 2**20
KEPT = 2  # whole checkpoints kept: the last, and one before it should the last one's disk fail


def run_folder(root: Path, spec: Path) -> Path:
    """The folder of the run that the file `spec` describes, below `root`."""
    return root / hashlib.sha256(spec.read_bytes()).hexdigest()[:16]


def staging(folder: Path) -> Path:
    """Where checkpoints are while they are written."""
    return folder / ".partial"


class DiskFullError(Exception):
    """A checkpoint or a result did not fit on the disk; the message says what is kept and what to do."""


@contextmanager
def room_on_disk(folder: Path, *, wanted: str) -> Iterator[None]:
    """Turn the many errors of writing to a full disk into DiskFullError, what was half written cleared away.

    torch and safetensors raise errors of their own that do not always name the cause, so the disk is asked.
    """
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        tried = size(staging(folder))
        free = shutil.disk_usage(folder).free
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        if not full and free > max(tried, LITTLE_BYTES) and "No space left" not in str(error):
            raise
        clear_staging(folder)
        last = last_whole(folder)
        kept = f"the checkpoint of step {step_of(last)} is whole" if last else "no checkpoint was written before"
        raise DiskFullError(
            f"folder {folder}: no room on its disk for {wanted} ({(free + tried) / 1e9:.3g} GB were free, "
            f"{tried / 1e9:.3g} GB of it written); {kept}. Make room and start the same command again"
        ) from error


def size(folder: Path) -> int:
    """Bytes in the files below a folder; 0 if there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def clear_staging(folder: Path) -> None:
    """Clear away what a killed process left half written."""
    shutil.rmtree(staging(folder), ignore_errors=True)


def last_whole(folder: Path) -> Path | None:
    """The newest whole checkpoint of a run, or None."""
    found = get_last_checkpoint(str(folder))
    return Path(found) if found else None


def commit(folder: Path, step: int) -> None:
    """Make the checkpoint of `step` in staging the run's newest, and delete those that are no longer kept."""
    target = folder / f"checkpoint-{step}"
    if target.exists():  # the same step was saved before; the bytes are the same
        shutil.rmtree(staging(folder))
        return
    os.replace(staging(folder) / target.name, target)
    rotate_checkpoints(output_dir=str(folder), save_total_limit=KEPT)


def step_of(checkpoint: Path) -> int:
    """Optimizer steps done at a checkpoint."""
    return int(checkpoint.name.rpartition("-")[2])


def forget(folder: Path) -> None:
    """Delete the checkpoints and snapshots of a run whose weights are published; its lease and its record stay."""
    for path in folder.iterdir():
        if path.is_dir() and path.name != "finished":
            shutil.rmtree(path)
    (folder / "log.jsonl").unlink(missing_ok=True)
