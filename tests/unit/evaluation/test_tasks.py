"""Tasks as lmms-eval has them, from a cache of the hub: media stay as they are, and sources are those of the settings."""

import json
from pathlib import Path

import pytest
from datasets import Dataset

from tests.unit.evaluation.conftest import World
from workflow_scripts.evaluation.tasks import load_tasks
from workflow_scripts.settings import BenchmarkSettings

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
