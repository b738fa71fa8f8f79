"""Where a run's checkpoints lie, and the last one that is whole.

The folder is keyed by the run's specification and declared by no rule: Snakemake deletes the declared outputs of a
failed job, and a run whose specification changed must not go on from another's weights. A checkpoint is written in
`.partial/` and renamed, so that every `checkpoint-<step>` is whole.
"""

import fcntl
import hashlib
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from transformers.trainer_utils import get_last_checkpoint, rotate_checkpoints

from workflow_scripts.settings import InputError

KEPT = 2  # whole checkpoints kept: the last, and one before it should the last one's disk fail


def run_folder(root: Path, spec: Path) -> Path:
    """The folder of the run that the file `spec` describes, below `root`."""
    return root / hashlib.sha256(spec.read_bytes()).hexdigest()[:16]


def staging(folder: Path) -> Path:
    """Where checkpoints are while they are written."""
    return folder / ".partial"


@contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Hold the run's folder, made if need be; the kernel lets go of it however this process ends.

    Raises InputError if another process holds it: two writers would mix their checkpoints.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "writer.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise InputError(
                f"folder {folder}: {file.read() or 'another process'} is training this run; wait for it or end it"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


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
    """Delete the checkpoints of a run whose weights are published, and the folder of all runs once it is empty."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.parent.rmdir()
