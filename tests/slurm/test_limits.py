"""Time or disk runs out."""

import math
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import PATIENCE, Study, field, until

LIMIT_SPARE = 15


def test_time_limit(study: Study, whole: Study) -> None:
    """The run saves before its limit and queues itself again, without costing one of Snakemake's attempts."""
    minutes = math.ceil(PATIENCE / 120)
    study.start("--retries", "0", "--set-resources", f"train:runtime={minutes}")
    process = study.wait_for_steps(3)
    job = study.job()
    os.kill(process, signal.SIGSTOP)
    end = time.mktime(time.strptime(field(job, "EndTime"), "%Y-%m-%dT%H:%M:%S"))
    time.sleep(max(0.0, end - time.time() - LIMIT_SPARE))
    os.kill(process, signal.SIGCONT)
    until(lambda: "stopped: the time limit at step" in study.said, "a saved checkpoint")
    until(lambda: field(job, "Restarts") == "1", "the job in the queue again")
    study.ends_as(whole)
    assert study.jobs() == [job]


@pytest.fixture
def small_disk(study: Study) -> Iterator[Path]:
    """The run's checkpoints on a disk of 38 MB, where two of 15 MB fit."""
    folder = study.run / "checkpoints"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=38m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_disk_full_in_a_checkpoint(study: Study, whole: Study, small_disk: Path) -> None:
    usual = dict(study.overlay["compute"])
    study.overlay["compute"]["checkpoint_minutes"] = 0  # after each step
    study.start("--retries", "0")
    assert study.finish() == 1
    assert "no room on its disk for the checkpoint of step" in study.said
    assert "is whole. Make room and start the same command again" in study.said
    assert not list(study.run.glob("checkpoints/*/.partial"))
    assert shutil.disk_usage(small_disk).free > 0
    study.note_kept()
    study.overlay["compute"] = usual
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    study.start("--retries", "0")
    study.ends_as(whole)
