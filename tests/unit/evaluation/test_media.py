"""Containers and folders of frames, from files on disk to what the model is shown; what cannot be read is named."""

import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import yaml
from datasets import Dataset
from PIL import Image

from tests.unit.evaluation.conftest import World
from workflow_scripts.evaluation.evaluate import check_videos
from workflow_scripts.evaluation.media import videos
from workflow_scripts.evaluation.model import Answerer
from workflow_scripts.evaluation.tasks import load_tasks
from workflow_scripts.frames.store import FrameStore, Recipe, write_shard
from workflow_scripts.miniature.benchmarks import upstream_tasks
from workflow_scripts.settings import BenchmarkSettings, InputError, ModelSettings

# Sub-task of MVBench, the folder where upstream looks, and the files: each container, and a folder of frames.
FILES = {
    "action_count": ("perception/videos", ["one.mp4", "two.mkv", "three.webm"]),
    "episodic_reasoning": ("tvqa/video_fps3_hq_segment", ["castle_s01"]),
}
CODECS = {".mp4": "libx264", ".mkv": "libvpx-vp9", ".webm": "libvpx"}
LENGTH = 12  # frames of each; frame i is of grey 20 * i
BUDGET = 4


def grey(number: int) -> np.ndarray:
    return np.full((48, 64, 3), 20 * number, np.uint8)


def write_media(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.suffix:
        path.mkdir()
        # The order of the names is that of time; the order on disk need not be.
        for number in reversed(range(LENGTH)):
            Image.fromarray(grey(number)).save(path / f"{number + 1:05}.jpg", quality=95)
        return
    with av.open(str(path), "w") as container:
        stream = container.add_stream(CODECS[path.suffix], rate=3)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 64, 48, "yuv420p", 2_000_000
        for number in range(LENGTH):
            frame = av.VideoFrame.from_ndarray(grey(number), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 3)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.fixture(scope="module")
def benchmark(world: World) -> tuple[BenchmarkSettings, dict[str, Any]]:
    """MVBench's own tasks on these files."""
    folder = world.root / "containers"
    folder.mkdir()
    for part, (place, names) in FILES.items():
        for name in names:
            write_media(world.root / "mvbench_video" / place / name)
        row = {"question": "Which?", "candidates": ["a", "b"], "answer": "a"}
        Dataset.from_list([{"video": name, **row} for name in names]).to_parquet(str(folder / f"{part}.parquet"))
        config = {"include": str(upstream_tasks() / f"mvbench/mvbench_{part}.yaml"), "task": f"containers_{part}"}
        config |= {"dataset_path": "parquet", "dataset_name": None}
        config |= {"dataset_kwargs": {"data_files": {"train": str(folder / f"{part}.parquet")}}}
        (folder / f"{part}.yaml").write_text(yaml.safe_dump(config))
    settings = BenchmarkSettings.model_validate(
        {"name": "mvbench", "suite": "video", "tasks": [f"containers_{part}" for part in FILES]}
        | {"metrics": [{"metric": "mvbench_accuracy", "maximum": 100}], "dataset": "rows", "questions": 4}
    )
    return settings, load_tasks([settings], folder)["mvbench"]


@pytest.fixture
def store(world: World, benchmark: tuple[BenchmarkSettings, dict[str, Any]], tmp_path: Path) -> FrameStore:
    listed = videos(benchmark[1].values())
    recipe = Recipe(world.root, (BUDGET,), 4096, 95)
    assert write_shard(listed, recipe, tmp_path / "s.arrow", tmp_path / "q.csv") == len(listed) == 4
    return FrameStore(tmp_path / "s.arrow")


def ask(model: Any, tasks: dict[str, Any]) -> list[str]:
    requests = []
    for task in tasks.values():
        task.build_all_requests(limit=None, rank=0, world_size=1)
        requests += [SimpleNamespace(args=instance.args) for instance in task.instances]
    answers: list[str] = model.generate_until(requests)
    return answers


def test_every_container_and_folders_of_frames_are_shown(
    benchmark: tuple[BenchmarkSettings, dict[str, Any]], store: FrameStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, np.ndarray] = {}

    def generate(vlm: Any, examples: Any, **_: Any) -> list[str]:
        for example in examples:
            seen[example.turns[0].text + str(len(seen))] = example.media.frames.mean((1, 2, 3))
        return ["A"] * len(examples)

    monkeypatch.setattr("workflow_scripts.evaluation.model.generate", generate)
    model = Answerer(lambda: None, benchmark[1].values(), store, BUDGET)  # type: ignore[arg-type, return-value]
    assert ask(model, benchmark[1]) == ["A"] * 4
    assert {shown.cluster.rpartition("/")[2] for shown in model.shown.values()} == {
        name for _, names in FILES.values() for name in names
    }
    for means in seen.values():
        np.testing.assert_allclose(means, [0, 60, 120, 180], atol=6)


def test_what_cannot_be_read_is_named_and_not_asked_about(
    world: World, benchmark: tuple[BenchmarkSettings, dict[str, Any]], tmp_path: Path
) -> None:
    names = ["perception/videos/three.webm", "tvqa/video_fps3_hq_segment/castle_s01/00004.jpg"]
    broken = [world.root / "mvbench_video" / name for name in names]
    kept = [path.read_bytes() for path in broken]
    try:
        for path, data in zip(broken, kept, strict=True):
            path.write_bytes(data[: len(data) // 3])
        listed = videos(benchmark[1].values())
        write_shard(listed, Recipe(world.root, (BUDGET,), 4096, 95), tmp_path / "s.arrow", tmp_path / "q.csv")
        with pytest.raises(InputError, match=r"2 videos are not in the frame store.*three\.webm, .*castle_s01$"):
            check_videos("mvbench", benchmark[1], FrameStore(tmp_path / "s.arrow"))
        os.replace(broken[0], tmp_path / "away")
        with pytest.raises(InputError, match=r"1 videos of the benchmark are missing .*three\.webm"):
            videos(benchmark[1].values())
    finally:
        for path, data in zip(broken, kept, strict=True):
            path.write_bytes(data)


@pytest.mark.slow
def test_a_small_model_answers_about_files_and_about_several_images(
    benchmark: tuple[BenchmarkSettings, dict[str, Any]],
    store: FrameStore,
    tiny: ModelSettings,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from workflow_scripts.vlm.load import load

    vlm = load(tiny)
    model = Answerer(lambda: vlm, benchmark[1].values(), store, BUDGET, batch_size=3)
    answers = ask(model, benchmark[1])
    model.batch_size = 1
    assert ask(model, benchmark[1]) == answers
    assert len(model.shown) == len(answers) == 4
    [mmstar] = world.tasks["mmstar"].values()
    pictures: Callable[[Any], list[Any]] = lambda doc: [doc["image"], doc["image"].resize((40, 32))]  # noqa: E731
    monkeypatch.setattr(mmstar, "doc_to_visual", pictures)
    model = Answerer(lambda: vlm, [mmstar], store, 1)
    assert len(model.generate_until([SimpleNamespace(args=("Which?", {}, None, 0, "mini_mmstar", "val"))])) == 1
    assert model.shown["mini_mmstar", 0].frames == 2
