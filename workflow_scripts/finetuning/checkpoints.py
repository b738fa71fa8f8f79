"""Where a run's checkpoints lie, and the last one that is whole.

The folder is keyed by the run's specification and declared by no rule: Snakemake deletes the declared outputs of a
failed job, and a run whose specification changed must not go on from another's weights. A checkpoint is written in
`.partial/` and renamed, so that every `checkpoint-<step>` is whole.
"""

import hashlib
import os
import shutil
from pathlib import Path

from transformers.trainer_utils import get_last_checkpoint, rotate_checkpoints

KEPT = 2  # whole checkpoints kept: the last, and one before it should the last one's disk fail


def run_folder(root: Path, spec: Path) -> Path:
    """The folder of the run that the file `spec` describes, below `root`."""
    return root / hashlib.sha256(spec.read_bytes()).hexdigest()[:16]


def staging(folder: Path) -> Path:
    """Where checkpoints are while they are written."""
    return folder / ".partial"


def clear_staging(folder: Path) -> None:
    """Make the run's folder, and clear away what a killed process left half written."""
    folder.mkdir(parents=True, exist_ok=True)
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
    """Delete a run's checkpoints, once its final weights are published."""
    shutil.rmtree(folder, ignore_errors=True)
