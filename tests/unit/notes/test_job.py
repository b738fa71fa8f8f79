"""What a command notes of itself, and where it notes nothing."""

import hashlib
import json
import os
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from workflow_scripts.notes import job
from workflow_scripts.settings import InputError
from workflow_scripts.settings.cli import run
from workflow_scripts.settings.files import atomic_path, write_json

MODULE = "workflow_scripts.stage.command"


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a job of the workflow is given, and a process that looks like `python -m <MODULE> --seed 1`."""
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", SimpleNamespace(name=MODULE))
    monkeypatch.setattr(sys, "argv", ["command.py", "--seed", "1"])
    monkeypatch.setenv(job.FOLDER, str(tmp_path / "notes"))
    monkeypatch.setattr(job, "_told", {})
    monkeypatch.setattr(job, "_written", [])
    monkeypatch.delenv("RANK", raising=False)
    return tmp_path / "notes"


def again(monkeypatch: pytest.MonkeyPatch, notes: Path) -> None:
    """Let the workflow start the command once more."""
    monkeypatch.setenv(job.FOLDER, str(notes))


def read(notes: Path) -> dict[str, Any]:
    """The only note, by its name."""
    assert [path.name for path in notes.iterdir()] == [f"{job.name(MODULE, ['--seed', '1'])}.json"]
    found: dict[str, Any] = json.loads(next(notes.iterdir()).read_text())
    return found


def test_a_finished_command_says_what_only_its_process_knows(notes: Path) -> None:
    def main() -> None:
        assert read(notes)["status"] is None

    run(main)
    note = read(notes)
    assert (note["status"], note["module"], note["arguments"]) == (0, MODULE, ["--seed", "1"])
    assert note["wall_s"] == pytest.approx(time.time() - psutil.Process().create_time(), abs=0.5)
    started = datetime.fromisoformat(note["started"]).timestamp()
    assert started == pytest.approx(psutil.Process().create_time(), abs=0.5)
    assert note["peak_memory_mb"] > 1
    assert note["packages"]["pytest"] == pytest.__version__
    name = "workflow_scripts/notes/job.py"
    content = subprocess.run(["git", "hash-object", str(job.ROOT / name)], capture_output=True, text=True, check=True)
    assert note["modules"][name] == content.stdout.strip()


def test_nothing_is_written_in_a_terminal_nor_by_any_process_but_the_first(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    run(lambda: None)
    monkeypatch.delenv("RANK")
    run(lambda: None)  # the variable is gone with the first call
    assert not notes.exists()
    again(monkeypatch, notes)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    run(lambda: None)
    assert not notes.exists()


def test_children_are_told_nothing(notes: Path) -> None:
    run(lambda: None)
    assert job.FOLDER not in os.environ


def refuse() -> None:
    raise InputError("key a is 1; expected 2")


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(("main", "status"), [(refuse, 2), (lambda: sys.exit(3), 3), (interrupt, 1)])
def test_a_command_that_fails_says_so(notes: Path, main: Any, status: int) -> None:
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        run(main)
    assert read(notes)["status"] == status


def test_a_start_without_an_end_is_kept_until_the_command_has_ended(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = notes / f"{job.name(MODULE, ['--seed', '1'])}.json"
    write_json({"status": None, "host": "lost", "started": "then", "slurm": {"SLURM_JOB_ID": "7"}}, path)
    run(lambda: None)
    assert read(notes)["earlier"] == [{"host": "lost", "started": "then", "slurm": {"SLURM_JOB_ID": "7"}}]
    again(monkeypatch, notes)
    run(lambda: None)
    assert read(notes)["earlier"] == []


def test_large_files_put_in_place_are_noted_with_their_checksums(notes: Path, tmp_path: Path) -> None:
    content = b"w" * job.LARGE_BYTES

    def main() -> None:
        with atomic_path(tmp_path / "model") as folder:
            folder.mkdir()
            (folder / "model.safetensors").write_bytes(content)
            (folder / "config.json").write_text("{}")

    run(main)
    path = tmp_path / "model" / "model.safetensors"
    status = path.stat()
    stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
    assert read(notes)["wrote"] == {str(path): [*stamp, hashlib.sha256(content).hexdigest()]}


@pytest.mark.parametrize(("used", "expected"), [(True, ["H100, 80 GiB"] * 2), (False, [])])
def test_gpus_are_named_where_the_process_has_used_them(
    notes: Path, monkeypatch: pytest.MonkeyPatch, used: bool, expected: list[str]
) -> None:
    cuda = SimpleNamespace(
        is_initialized=lambda: used,
        device_count=lambda: 2,
        get_device_properties=lambda index: SimpleNamespace(name="H100", total_memory=80 * 2**30),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))  # type: ignore[arg-type]
    run(lambda: None)
    assert [said.partition(", driver")[0] for said in read(notes)["gpus"]] == expected


def test_a_folder_that_cannot_be_written_costs_the_note_and_not_the_command(
    notes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes.write_text("a file where the folder should be")
    done = []
    run(lambda: done.append(1))
    assert done == [1]
    assert "warning: no note of this command" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_a_broken_note_is_written_anew(notes: Path, text: str) -> None:
    notes.mkdir()
    (notes / f"{job.name(MODULE, ['--seed', '1'])}.json").write_text(text)
    run(lambda: None)
    assert read(notes)["earlier"] == []
