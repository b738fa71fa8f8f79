"""What an answer depends on: content, not names."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from workflow_scripts.evaluation import identity as module
from workflow_scripts.evaluation.identity import code_sha256, folder_checksums, identity, weights
from workflow_scripts.settings import InputError, ModelSettings

HOW = {"temporal_positions": "real_time"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder, written long enough ago to be remembered."""
    place = tmp_path / "model"
    place.mkdir()
    (place / "config.json").write_text("{}")
    (place / "model.safetensors").write_bytes(b"weights 1")
    (place / "README.md").write_text("a card")
    return place


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose content is read."""
    found: list[str] = []
    digest = hashlib.file_digest

    def counted(handle: object, name: str) -> object:
        found.append(Path(handle.name).name)  # type: ignore[attr-defined]
        return digest(handle, name)  # type: ignore[arg-type]

    monkeypatch.setattr(hashlib, "file_digest", counted)
    return found


def settle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an hour pass."""
    now = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: now)


def test_files_are_known_by_their_content_and_read_once(
    folder: Path, tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settle(monkeypatch)
    found = folder_checksums(folder, tmp_path / "checksums")
    assert found == {
        "config.json": hashlib.sha256(b"{}").hexdigest(),
        "model.safetensors": hashlib.sha256(b"weights 1").hexdigest(),
    }
    assert folder_checksums(folder, tmp_path / "checksums") == found
    assert reads == ["config.json", "model.safetensors"]


@pytest.mark.parametrize("how", ["in place", "in place, times set back", "renamed over", "the folder replaced"])
def test_training_again_into_the_same_path_is_noticed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    settle(monkeypatch)
    before = folder_checksums(folder, tmp_path / "checksums")
    file, status = folder / "model.safetensors", (folder / "model.safetensors").stat()
    if how.startswith("in place"):
        file.write_bytes(b"weights 2")
        if how.endswith("set back"):
            os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
            assert file.stat().st_mtime_ns == status.st_mtime_ns
    elif how == "renamed over":
        (folder / "new").write_bytes(b"weights 2")
        os.utime(folder / "new", ns=(status.st_atime_ns, status.st_mtime_ns))
        os.replace(folder / "new", file)
    else:
        folder.rename(tmp_path / "old")
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        file.write_bytes(b"weights 2")
    after = folder_checksums(folder, tmp_path / "checksums")
    assert after["model.safetensors"] == hashlib.sha256(b"weights 2").hexdigest()
    assert after["config.json"] == before["config.json"]


def test_a_file_that_was_just_written_is_read_again(folder: Path, tmp_path: Path, reads: list[str]) -> None:
    # Its clock may stand still between two writes; nothing is remembered of it.
    folder_checksums(folder, tmp_path / "checksums")
    folder_checksums(folder, tmp_path / "checksums")
    assert reads == ["config.json", "model.safetensors"] * 2


def test_a_broken_memory_is_none(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(monkeypatch)
    found = folder_checksums(folder, tmp_path / "checksums")
    [memory] = (tmp_path / "checksums").iterdir()
    memory.write_bytes(memory.read_bytes()[:40])
    assert folder_checksums(folder, tmp_path / "checksums") == found


def settings(folder: Path, **changed: object) -> ModelSettings:
    """Settings of a model in the folder."""
    told = {"name": "m", "family": "qwen2.5-vl", "source": str(folder), "size_b": 1.0}
    return ModelSettings.model_validate(told | changed)


CHANGES: dict[str, object] = {
    "family": "llava-1.5",
    "min_pixels": 4,
    "max_pixels": 99,
    "video_max_pixels": 99,
    "precision": "float32",
    "max_length": 99,
}


@pytest.mark.parametrize("key", CHANGES)
def test_every_setting_that_shapes_an_answer_counts(folder: Path, key: str) -> None:
    plain = identity(settings(folder), None, HOW, "cpu", None)
    assert identity(settings(folder, **{key: CHANGES[key]}), None, HOW, "cpu", None) != plain


def test_device_time_and_adapter_count_and_names_do_not(folder: Path, tmp_path: Path) -> None:
    plain = identity(settings(folder), None, HOW, "cpu", None)
    assert identity(settings(folder, name="other", size_b=2.0), None, HOW, "cpu", None) == plain
    assert identity(settings(folder), None, HOW, "cuda:1", None)["device"] == "cuda"
    assert identity(settings(folder), None, {"temporal_positions": "constant"}, "cpu", None) != plain
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"low rank")
    assert identity(settings(folder), adapter, HOW, "cpu", None) != plain
    moved = folder.rename(tmp_path / "moved")
    assert identity(settings(moved), None, HOW, "cpu", None) == plain


def test_a_repository_of_the_hub_is_known_by_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "ab12" * 10
    pinned = settings(tmp_path, source="o/m", revision=commit)
    assert weights(pinned, None) == {"repository": "o/m", "commit": commit}
    cache = tmp_path / "hub" / "models--o--m"
    (cache / "snapshots" / commit).mkdir(parents=True)
    (cache / "snapshots" / commit / "config.json").write_text("{}")
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert weights(settings(tmp_path, source="o/m"), None) == {"repository": "o/m", "commit": commit}
    with pytest.raises(InputError, match="source o/unknown is neither a folder nor, at revision main"):
        weights(settings(tmp_path, source="o/unknown"), None)
    with pytest.raises(InputError, match="source gone/for/ever is neither"):
        weights(settings(tmp_path, source="gone/for/ever"), None)


def test_code_counts_and_its_comments_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def package(text: str) -> str:
        for name in ("vlm/a.py", "evaluation/model.py", "evaluation/identity.py"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text("X = 1\n")
        (tmp_path / "vlm/a.py").write_text(text)
        monkeypatch.setattr(module, "__file__", str(tmp_path / "evaluation/identity.py"))
        return code_sha256()

    plain = package('"""Says."""\n\ndef f(x):\n    """Does."""\n    return x + 1\n')
    assert package("def f(x):\n    # why\n    return (x\n      + 1)\n") == plain
    assert package("def f(x):\n    return x + 2\n") != plain
