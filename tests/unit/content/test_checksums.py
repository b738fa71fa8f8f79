"""Checksums against hashlib, and what makes a file read again."""

import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from workflow_scripts.content.checksums import Checksums, stamp
from workflow_scripts.settings import InputError


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an hour pass."""
    now = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: now)


def test_a_checksum_is_sha256(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    assert Checksums().of(path) == hashlib.sha256(b"content").hexdigest()


def test_a_file_is_read_again_where_size_time_or_inode_differ(tmp_path: Path) -> None:
    path, memory = tmp_path / "file", tmp_path / "memory.json"
    path.write_bytes(b"content")
    checksums = Checksums(memory)
    before = checksums.of(path)
    checksums.remember()
    path.write_bytes(b"CONTENT")
    os.utime(path, ns=(0, 0))
    assert Checksums(memory).of(path) == hashlib.sha256(b"CONTENT").hexdigest() != before


def test_a_remembered_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, memory = tmp_path / "file", tmp_path / "memory.json"
    path.write_bytes(b"content")
    settle(monkeypatch)
    first = Checksums(memory)
    first.of(path)
    first.remember()
    known = json.loads(memory.read_text())
    known[str(path)][-1] = "remembered"
    memory.write_text(json.dumps(known))
    assert Checksums(memory).of(path) == "remembered"


def test_what_another_program_learnt_is_taken_over_while_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    checksums = Checksums()
    checksums.learn(path, [*stamp(path), "learnt"])
    assert checksums.of(path) == "learnt"
    path.write_bytes(b"changed")
    assert checksums.of(path) == hashlib.sha256(b"changed").hexdigest()


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"file": 1}', '{"file": [1, 2, 3, "old"]}'])
def test_a_broken_memory_costs_time_only(tmp_path: Path, text: str) -> None:
    path, memory = tmp_path / "file", tmp_path / "memory.json"
    path.write_bytes(b"content")
    memory.write_text(text)
    assert Checksums(memory).of(path) == hashlib.sha256(b"content").hexdigest()


def test_two_programs_remember_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(monkeypatch)
    memory = tmp_path / "memory.json"
    programs = [Checksums(memory), Checksums(memory)]
    for number, one in enumerate(programs):
        (tmp_path / str(number)).write_text("x")
        one.of(tmp_path / str(number))
    for one in programs:
        one.remember()
    assert set(json.loads(memory.read_text())) == {str(tmp_path / "0"), str(tmp_path / "1")}


def test_a_model_is_its_files_but_for_cards_and_logs(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_text("weights")
    before = Checksums().of_model(tmp_path)
    (tmp_path / "README.md").write_text("card")
    (tmp_path / "log.jsonl").write_text("log")
    assert Checksums().of_model(tmp_path) == before
    (tmp_path / "model.safetensors").rename(tmp_path / "other.safetensors")
    assert Checksums().of_model(tmp_path) != before


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"file .*/gone is missing"):
        Checksums().of(tmp_path / "gone")
