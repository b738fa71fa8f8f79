"""The world on disk: laid out as the real data set, its files real, its truth apart."""

from __future__ import annotations

import json
import re
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest

from workflow_scripts.miniature.encode import write_video
from workflow_scripts.miniature.render import render
from workflow_scripts.miniature.scene import draw_video_scene
from workflow_scripts.miniature.world import write_world
from workflow_scripts.settings import MiniatureSettings

SETTINGS = MiniatureSettings(seed=500, videos=30, broken=4)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    counts = write_world(SETTINGS, folder, threads=1)
    assert counts["videos"] == 30
    return folder


def test_a_world_is_the_same_to_the_byte_each_time_it_is_made(world: Path, tmp_path: Path) -> None:
    write_world(SETTINGS, tmp_path, threads=2)
    made, again = ({path.relative_to(folder): path for path in folder.rglob("*")} for folder in (world, tmp_path))
    assert set(made) == set(again)
    assert [
        str(name) for name, path in made.items() if path.is_file() and path.read_bytes() != again[name].read_bytes()
    ] == []


def records(world: Path) -> list[tuple[str, str, dict]]:
    files = sorted((world / "dataset").glob("*/*.json"))
    return [(file.parent.name, file.name, record) for file in files for record in json.loads(file.read_text())]


def test_records_have_the_schema_of_the_real_ones(world: Path) -> None:
    for subset, name, record in records(world):
        assert list(record) == ["id", "conversations", "data_source", "video"]
        assert record["data_source"] == subset
        assert name.startswith(subset.rsplit("_v0_1", 1)[0].rsplit("_", 1)[0])
        first, *rest = record["conversations"]
        assert first["from"] == "human"
        assert first["value"].startswith("<image>\n")
        assert not any("<image>" in turn["value"] for turn in rest)


def test_nothing_that_training_reads_tells_the_budget(world: Path) -> None:
    truth = pd.read_parquet(world / "truth.parquet")
    assert set(truth.budget) <= {8, 16, 32, 64}
    assert truth.budget.nunique() > 1
    assert list(truth.budget) == [max(budgets) for budgets in truth.turn_budgets]
    keys = {(subset, record["id"], record["video"]) for subset, _, record in records(world)}
    assert keys == set(zip(truth.subset, truth.record_id, truth.video, strict=True))
    assert not any("budget" in json.dumps(record) for _, _, record in records(world))


def test_ten_sources_and_three_formats(world: Path) -> None:
    roots = {re.sub(r"/\d.*|/[^/]*$", "", record["video"]) for _, _, record in records(world)}
    assert len(roots) == 10
    kinds = pd.read_parquet(world / "truth.parquet").format
    assert set(kinds) == {"caption", "open_ended", "multiple_choice"}


def test_the_last_videos_are_broken_on_purpose(world: Path) -> None:
    broken = 0
    for subset, video in {(subset, record["video"]) for subset, _, record in records(world)}:
        path = world / "dataset" / subset / video
        try:
            with av.open(str(path)) as container:
                frames = sum(1 for _ in container.decode(video=0))
            broken += frames < 64
        except (av.FFmpegError, OSError):
            broken += 1
    assert broken == SETTINGS.broken


@pytest.mark.parametrize(("name", "codec"), [("clip.mp4", "libx264"), ("clip.mkv", "libvpx-vp9")])
def test_a_video_file_shows_the_scene_at_its_times(tmp_path: Path, name: str, codec: str) -> None:
    scene = draw_video_scene(11, event="flashes", budget=64, variable=True)
    write_video(scene, tmp_path / name, codec)
    with av.open(str(tmp_path / name)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == scene.n_frames
    assert np.allclose([frame.time for frame in frames], scene.timestamps_s, atol=0.0015)
    error = [np.abs(f.to_ndarray(format="rgb24").astype(int) - render(scene, i)).mean() for i, f in enumerate(frames)]
    assert max(error) < 12


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_a_scene_is_encoded_to_the_same_bytes_each_time(tmp_path: Path, name: str) -> None:
    for seed in range(40):
        scene = draw_video_scene(seed, event="flashes", budget=8 << seed % 4)
        twice = []
        for _ in range(2):
            write_video(scene, tmp_path / name)
            twice.append((tmp_path / name).read_bytes())
        assert twice[0] == twice[1], seed
