"""Two who start the same study in one folder: one works, the other is told by whom; after a kill, resume goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.repository import copy_to

pytestmark = pytest.mark.slow

SNAKEMAKE = str(Path(sys.executable).parent / "snakemake")
FLAGS = ["--profile", "profiles/local", "--configfile", "presets/miniature.yaml", "presets/smoke.yaml"]
TARGET = "results/smoke/miniature/world.json"


def call(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_second_is_told_who_works_and_goes_on_once_that_one_is_killed(tmp_path: Path) -> None:
    folder = copy_to(tmp_path / "repository")
    first = subprocess.Popen(
        [SNAKEMAKE, TARGET, *FLAGS],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until = time.monotonic() + 120
        while not list(folder.glob(".snakemake/locks/*.lock")) and time.monotonic() < until:
            time.sleep(0.05)
        second = call(folder, SNAKEMAKE, TARGET, *FLAGS)
        resumed = call(folder, sys.executable, "-m", "workflow_scripts.provenance.resume", TARGET, *FLAGS)
        assert first.poll() is None, "the first was done before the second came"
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    for refused in (second, resumed):
        assert refused.returncode != 0
        assert f"process {first.pid} on " in refused.stdout + refused.stderr
    assert "is at work" in resumed.stderr
    assert "LockException" in call(folder, SNAKEMAKE, TARGET, *FLAGS).stderr
    done = call(folder, sys.executable, "-m", "workflow_scripts.provenance.resume", TARGET, *FLAGS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"process {first.pid} on " in done.stderr
    assert "lock is removed" in done.stderr
    assert (folder / TARGET).is_file()
    assert not list(folder.glob(".snakemake/locks/*.lock"))
    assert not list(folder.glob(".snakemake/starts/*.json"))
