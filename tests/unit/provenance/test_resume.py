"""A lock goes only if its owner is proven dead; otherwise it is said whose it is."""

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.finetuning.lease import Holder
from workflow_scripts.provenance import starts
from workflow_scripts.provenance.resume import clear, wanted
from workflow_scripts.provenance.starts import LOCKS, STARTS, Start, announce

ROOT = Path(__file__).parents[3]
WORKER = """
import sys, time
from pathlib import Path
from workflow_scripts.provenance.starts import announce
announce(sys.argv[1])
print("at work", flush=True)
time.sleep(600)
"""


def lock(folder: Path, study: str) -> Path:
    path = folder / LOCKS / f"{len(list((folder / LOCKS).glob('*')))}.output.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"results/{study}/figures/frames.png\nresults/{study}/analysis/scores.csv\n")
    return path


def leave(folder: Path, start: Start) -> None:
    (folder / STARTS).mkdir(parents=True, exist_ok=True)
    (folder / STARTS / f"{start.holder.token}.json").write_text(json.dumps(asdict(start)))


def begun(study: str, **holder: Any) -> Start:
    return Start(study, "ada", "2026-01-01T00:00:00+00:00", starts._machine(), replace(Holder.here(), **holder))


def worker(folder: Path, study: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, study], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "at work\n"
    return process


def test_the_lock_of_a_living_process_stays_and_it_is_named_until_it_is_killed(tmp_path: Path) -> None:
    process = worker(tmp_path, "smoke")
    path = lock(tmp_path, "smoke")
    try:
        with pytest.raises(PermissionError, match=rf"process {process.pid} on {socket.gethostname()}.* is at work"):
            clear("smoke", tmp_path)
        assert path.exists()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert "is no more" in str(clear("smoke", tmp_path))
    assert not path.exists()
    assert clear("smoke", tmp_path) is None


def test_a_number_that_another_process_has_by_now_is_no_owner(tmp_path: Path) -> None:
    leave(tmp_path, begun("smoke", began="1"))
    lock(tmp_path, "smoke")
    assert f"process {os.getpid()}" in str(clear("smoke", tmp_path))


def test_after_a_restart_of_the_host_its_processes_are_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starts, "_machine", lambda: "the same")
    leave(tmp_path, begun("smoke", machine=f"{socket.gethostname()}/another-boot/pid:[1]"))
    lock(tmp_path, "smoke")
    assert clear("smoke", tmp_path)


@pytest.mark.parametrize("host", ["node7", socket.gethostname()])
def test_a_process_that_cannot_be_asked_keeps_its_lock(tmp_path: Path, host: str) -> None:
    """On another host; or on one of this name that is another machine, or another container on this one."""
    elsewhere = begun("smoke", host=host, machine=f"{host}/another-boot", pid=4321)
    leave(tmp_path, replace(elsewhere, machine="another"))
    path = lock(tmp_path, "smoke")
    with pytest.raises(PermissionError, match=f"process 4321 on {host}, started by ada .* cannot be asked from here"):
        clear("smoke", tmp_path)
    assert path.exists()


def test_a_lock_of_nobody_known_stays(tmp_path: Path) -> None:
    path = lock(tmp_path, "smoke")
    leave(tmp_path, begun("miniature", began="1"))
    with pytest.raises(PermissionError, match="nothing says by whom"):
        clear("smoke", tmp_path)
    assert path.exists()


def test_another_studys_lock_is_left_alone(tmp_path: Path) -> None:
    mine, others = lock(tmp_path, "smoke"), lock(tmp_path, "miniature")
    leave(tmp_path, begun("smoke", began="1"))
    leave(tmp_path, begun("miniature", began="2"))
    assert clear("smoke", tmp_path)
    assert [mine.exists(), others.exists()] == [False, True]


def test_who_comes_second_is_told_who_is_there_and_an_end_leaves_nothing(tmp_path: Path) -> None:
    process = worker(tmp_path, "smoke")
    try:
        assert [start.holder.pid for start in announce("smoke", tmp_path)] == [process.pid]
        assert announce("miniature", tmp_path) == []
    finally:
        process.terminate()
        process.wait()
    code = "from workflow_scripts.provenance.starts import announce; announce('paper')"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert {start.study for start in starts.starts(tmp_path)} == {"smoke", "miniature"}


def test_the_study_is_that_of_snakemakes_arguments(tmp_path: Path) -> None:
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("study: mine\n")
    assert wanted(["--cores", "2"]) == ("paper", Path())
    flags = ["--configfile", f"{ROOT}/presets/miniature.yaml", str(overlay), "-n", "--directory", "there"]
    assert wanted(flags) == ("mine", Path("there"))
    assert wanted([*flags, "--config", "study=other", "x=1"])[0] == "other"


def test_a_damaged_note_of_a_start_proves_nothing(tmp_path: Path) -> None:
    (tmp_path / STARTS).mkdir(parents=True)
    (tmp_path / STARTS / "x.json").write_text('{"study": "smoke"')
    lock(tmp_path, "smoke")
    with pytest.raises(PermissionError):
        clear("smoke", tmp_path)
