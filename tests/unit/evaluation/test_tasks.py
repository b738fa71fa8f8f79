"""Tasks from a cache of the hub: their media stay as they are, and their sources are those of the settings."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from datasets import Dataset

from tests.unit.evaluation.conftest import World
from workflow_scripts.evaluation import sources
from workflow_scripts.evaluation.tasks import load_tasks
from workflow_scripts.settings import BenchmarkSettings, InputError

COMMIT = "ab12" * 10
MVBENCH = BenchmarkSettings(
    name="mvbench",
    suite="video",
    tasks=("mvbench_action_sequence",),
    metrics=({"metric": "mvbench_accuracy", "maximum": 100},),  # type: ignore[arg-type]
    dataset="OpenGVLab/MVBench",
    questions=2,
)


@pytest.fixture
def home(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that holds one of MVBench's tables, as `datasets` leaves it."""
    place = tmp_path / "datasets" / "OpenGVLab___mv_bench" / "action_sequence" / "0.0.0" / COMMIT
    question = {"video": "a.mp4", "question": "Which?", "candidates": ["x", "y", "z"], "answer": "x"}
    table = Dataset.from_list([question, {**question, "video": "b.mp4"}])
    table.save_to_disk(tmp_path / "made")
    place.mkdir(parents=True)
    [arrow] = (tmp_path / "made").glob("*.arrow")
    arrow.rename(place / "mv_bench-train.arrow")
    split = {"name": "train", "num_examples": 2, "num_bytes": 1, "dataset_name": "mv_bench"}
    info = json.loads((tmp_path / "made" / "dataset_info.json").read_text())
    info |= {"dataset_name": "mv_bench", "config_name": "action_sequence", "splits": {"train": split}}
    (place / "dataset_info.json").write_text(json.dumps(info))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    # Upstream remembers the first folder it found.
    monkeypatch.setattr("lmms_eval.api.task._resolve_hf_datasets_cache_dir", lambda: str(tmp_path / "datasets"))
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return tmp_path


def test_media_stay_as_they_are(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr("lmms_eval.api.task.snapshot_download", lambda *_, **named: asked.append(named))
    (home / "elsewhere").mkdir()
    link = home / "mvbench_video"
    link.symlink_to(home / "elsewhere")
    made = link.lstat()
    task = load_tasks([MVBENCH], None)["mvbench"]["mvbench_action_sequence"]
    assert [doc["video"] for doc in task.eval_docs_no_media] == ["a.mp4", "b.mp4"]
    assert asked == []
    assert (link.lstat().st_ino, link.readlink()) == (made.st_ino, home / "elsewhere")
    assert task.config.dataset_kwargs["cache_dir"] == "mvbench_video"


def test_the_source_is_that_of_the_settings(home: Path) -> None:
    pinned = MVBENCH.model_copy(update={"revision": COMMIT})
    assert sources.commit(pinned, load_tasks([pinned], None)["mvbench"]) == COMMIT
    other = MVBENCH.model_copy(update={"dataset": "OpenGVLab/MVBench2"})
    with pytest.raises(InputError, match=r"reads dataset OpenGVLab/MVBench; its settings say OpenGVLab/MVBench2"):
        load_tasks([other], None)
    newer = MVBENCH.model_copy(update={"revision": "cd34" * 10})
    with pytest.raises(InputError, match=rf"at commit {COMMIT}; its settings say revision {'cd34' * 10}"):
        load_tasks([newer], None)


def test_a_commit_is_read_from_the_paths_of_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    files: dict[str, list[str]] = {
        "a": [f"/root/datasets/o___n/default/0.0.0/{COMMIT}/n-test.arrow"],
        "b": [f"/root/datasets/o___n/default/0.0.0/{'cd34' * 10}/cache-0123456789abcdef.arrow"],
        "c": ["/root/datasets/o___n/default-0123456789abcdef/0.0.0/n-test.arrow"],
    }
    monkeypatch.setattr(sources, "cached_files", lambda task: files[task.name])

    def commit(names: str, revision: str | None = None, path: str = "o/n") -> str | None:
        tasks: dict[str, Any] = {name: SimpleNamespace(name=name, DATASET_PATH=path) for name in names}
        settings = MVBENCH.model_copy(update={"dataset": "o/n", "revision": revision})
        return sources.commit(settings, tasks)

    assert commit("a") == commit("a", COMMIT) == COMMIT
    assert commit("c") is None
    with pytest.raises(InputError, match=rf"commit unknown; its settings say revision {COMMIT}"):
        commit("c", COMMIT)
    with pytest.raises(InputError, match=rf"commits {COMMIT}, {'cd34' * 10}; expected a single one"):
        commit("ab")
    # Files of a task's own have no repository.
    assert commit("ab", COMMIT, path="parquet") is None
