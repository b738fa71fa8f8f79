"""The frame store: shards written by the command, read back by FrameStore."""

import csv
import hashlib
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from tests.commands import Finished, run
from tests.footage import X264, painted, read_number, sequential, write_audio, write_video
from workflow_scripts.frames.rows import Recipe
from workflow_scripts.frames.store import SCHEMA, FrameStore, main, shard_videos, write_shard
from workflow_scripts.settings import InputError
from workflow_scripts.video.sampling import Sampling

open_file = pa.ipc.open_file
GOOD = ["a/long.mp4", "b/short.mkv", "c/frames", "d/other.mp4"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    write_video(root / "a/long.mp4", options=X264, times_ms=range(0, 6000, 40))
    write_video(root / "b/short.mkv", options=X264, times_ms=range(0, 480, 40))
    write_video(root / "d/other.mp4", options=X264, first_number=500)
    (root / "c/frames").mkdir(parents=True)
    for number in range(20):
        Image.fromarray(painted(number)).save(root / f"c/frames/{number:05d}.jpg", quality=95)
    (root / "broken").mkdir()
    (root / "broken/cut.mp4").write_bytes((root / "a/long.mp4").read_bytes()[:4000])
    (root / "broken/empty.mp4").touch()
    (root / "broken/text.mp4").write_text("no video at all\n" * 50)
    write_audio(root / "broken/sound.mp4")
    return root


def store(videos: Path, root: Path, output: Path, *more: object) -> Finished:
    settings = ("--budgets", 8, 16, 32, 64, "--max-pixels", 4800, "--jpeg-quality", 95)
    place = ("--output", output, "--quarantine", output.parent / f"{output.stem}.quarantine.csv")
    return run(main, "--videos", videos, "--root", root, *settings, *place, *more)


@pytest.fixture(scope="module")
def shard(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    names = [*GOOD, "broken/cut.mp4", "broken/empty.mp4", "broken/text.mp4", "broken/sound.mp4", "broken/absent.mp4"]
    (folder / "list.csv").write_text("video\n" + "\n".join(reversed(names)) + "\n")
    result = store(folder / "list.csv", root, folder / "shard-0.arrow")
    assert result.returncode == 0, result.stderr
    return folder / "shard-0.arrow"


def test_one_row_a_video_in_order(shard: Path) -> None:
    table = pa.ipc.open_file(str(shard)).read_all()
    assert table.schema.equals(SCHEMA)
    assert json.loads(table.schema.metadata[b"frames"])["sampling"] == {"method": "uniform", "fps": None}
    assert table["video"].to_pylist() == GOOD
    assert table["n_frames"].to_pylist() == [150, 12, 20, 100]
    assert table["duration_s"].to_pylist() == pytest.approx([6.0, 0.48, 20 / 3, 4.0], abs=0.05)
    assert [len(jpegs) for jpegs in table["jpeg"].to_pylist()] == [64, 12, 20, 64]


def test_the_broken_are_listed_with_their_reasons(shard: Path) -> None:
    with (shard.parent / "shard-0.quarantine.csv").open() as handle:
        reasons = {row["video"]: row["reason"] for row in csv.DictReader(handle)}
    assert reasons == {
        "broken/absent.mp4": "missing",
        "broken/cut.mp4": "truncated",
        "broken/empty.mp4": "empty",
        "broken/sound.mp4": "no-video-stream",
        "broken/text.mp4": "not-a-video",
    }


def test_clips_hold_the_right_frames_at_their_times(shard: Path, root: Path) -> None:
    frames = FrameStore(shard)
    assert frames.videos == set(GOOD)
    _, times = sequential(root / "a/long.mp4")
    for budget in (8, 16, 32, 64):
        clip = frames.clip("a/long.mp4", budget)
        wanted = [i * 150 // budget for i in range(budget)]
        assert clip.frames.dtype == np.uint8
        assert clip.frames.shape == (budget, 60, 80, 3)
        assert [read_number(image) for image in clip.frames] == wanted
        assert clip.timestamps_s == pytest.approx([times[i] for i in wanted])
        assert clip.duration_s == pytest.approx(6.0, abs=0.01)
    assert [read_number(image) for image in frames.clip("d/other.mp4", 8).frames] == [
        500 + i * 100 // 8 for i in range(8)
    ]


def test_budgets_nest(shard: Path) -> None:
    frames = FrameStore(shard)
    times = {budget: set(frames.clip("a/long.mp4", budget).timestamps_s) for budget in (8, 16, 32, 64)}
    assert times[8] < times[16] < times[32] < times[64]


def test_a_short_video_gives_its_distinct_frames(shard: Path) -> None:
    clip = FrameStore(shard).clip("b/short.mkv", 64)
    assert [read_number(image) for image in clip.frames] == list(range(12))


def test_the_last_frame_is_stored_and_shown_where_asked(shard: Path, root: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("video\na/long.mp4\nb/short.mkv\nc/frames\n")
    result = store(tmp_path / "list.csv", root, tmp_path / "s.arrow", "--last-frame")
    assert result.returncode == 0, result.stderr
    frames = FrameStore(tmp_path / "s.arrow")
    for budget in (8, 64):
        uniform = [i * 150 // budget for i in range(budget)]
        assert [read_number(image) for image in frames.clip("a/long.mp4", budget).frames] == uniform
        clip = frames.clip("a/long.mp4", budget, last=True)
        assert [read_number(image) for image in clip.frames] == [*uniform[:-1], 149]
        assert clip.timestamps_s[-1] == pytest.approx(149 * 0.04)
    assert [read_number(image) for image in frames.clip("b/short.mkv", 64, last=True).frames] == list(range(12))
    assert len(frames.clip("c/frames", 8, last=True)) == 8
    with pytest.raises(InputError, match=r"budget 8, with the last, are not all there"):
        FrameStore(shard).clip("a/long.mp4", 8, last=True)


@pytest.mark.parametrize(
    ("flags", "sampling", "frames_of"),
    [
        (("--sampling", "linspace"), Sampling("linspace"), lambda n: list(map(int, np.linspace(0, 149, n)))),
        (("--sampling", "fps", "--fps", 4), Sampling("fps", 4.0), lambda n: [i * 150 // n for i in range(n)]),
    ],
    ids=["linspace", "fps"],
)
def test_another_sampling(
    root: Path, tmp_path: Path, flags: tuple[object, ...], sampling: Sampling, frames_of: Callable[[int], list[int]]
) -> None:
    (tmp_path / "list.csv").write_text("video\na/long.mp4\nb/short.mkv\n")
    result = store(tmp_path / "list.csv", root, tmp_path / "s.arrow", *flags)
    assert result.returncode == 0, result.stderr
    frames = FrameStore(tmp_path / "s.arrow", sampling)
    whole = 24 if sampling.fps else 64  # 6 s at 4 frames a second
    taken = {budget: frames_of(min(budget, whole)) for budget in (8, 16, 32, 64)}
    for budget in (8, 16, 32, 64):
        assert [read_number(image) for image in frames.clip("a/long.mp4", budget).frames] == taken[budget]
    table = pa.ipc.open_file(str(tmp_path / "s.arrow")).read_all()
    assert table["frame_index"][0].as_py() == sorted({i for budget in (8, 16, 32, 64) for i in taken[budget]})
    assert table["effective_budget"][0].as_py() == [len(taken[budget]) for budget in (8, 16, 32, 64)]
    clip, places = frames.clip_of_all("a/long.mp4", (8, 32))
    for budget in (8, 32):
        assert [read_number(clip.frames[place]) for place in places[budget]] == taken[budget]


def test_a_reader_with_another_sampling_is_refused(shard: Path, root: Path, tmp_path: Path) -> None:
    write_shard(
        ["b/short.mkv"], Recipe(root, (8,), 4800, 95, sampling=Sampling("fps", 2.0)), tmp_path / "s", tmp_path / "q"
    )
    with pytest.raises(InputError, match=r"sampled by fps \(2 a second\); expected uniform"):
        FrameStore(tmp_path / "s", Sampling())
    with pytest.raises(InputError, match=r"sampled by fps \(2 a second\); expected fps \(1 a second\)"):
        pickle.loads(pickle.dumps(FrameStore(tmp_path / "s", Sampling("fps", 1.0))))
    with pytest.raises(InputError, match="expected uniform"):
        FrameStore([shard, tmp_path / "s"])
    assert FrameStore(shard).sampling == FrameStore([shard], Sampling()).sampling == Sampling()


def test_the_effective_budget_is_recorded(shard: Path) -> None:
    table = pa.ipc.open_file(str(shard)).read_all()
    found = dict(zip(table["video"].to_pylist(), table["effective_budget"].to_pylist(), strict=True))
    assert found == {
        "a/long.mp4": [8, 16, 32, 64],
        "b/short.mkv": [8, 12, 12, 12],
        "c/frames": [8, 16, 20, 20],
        "d/other.mp4": [8, 16, 32, 64],
    }


def test_opening_reads_no_rows(shard: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The names are in the footer; a shard without them, as written by hand, is read row by row."""
    table = pa.ipc.open_file(str(shard)).read_all()
    by_hand = shard.parent / "by_hand.arrow"
    with pa.ipc.new_file(str(by_hand), table.schema.remove_metadata()) as writer:
        writer.write_table(table.replace_schema_metadata(None), max_chunksize=1)
    assert FrameStore(by_hand).videos == FrameStore(shard).videos
    by_hand.unlink()
    monkeypatch.setattr("workflow_scripts.frames.store.pa.ipc.open_file", lambda source: Unreadable(open_file(source)))
    assert FrameStore(shard).videos == set(GOOD)


class Unreadable:
    """An opened Arrow file that gives everything but rows."""

    def __init__(self, reader: pa.ipc.RecordBatchFileReader) -> None:
        self.schema, self.metadata = reader.schema, reader.metadata


def test_stored_pictures_are_close_to_the_decoded(root: Path, tmp_path: Path) -> None:
    recipe = Recipe(root, (8,), 10**6, 95)
    write_shard(["a/long.mp4"], recipe, tmp_path / "s.arrow", tmp_path / "q.csv")
    images, _ = sequential(root / "a/long.mp4")
    stored = FrameStore(tmp_path / "s.arrow").clip("a/long.mp4", 8).frames
    expected = np.stack([images[i * 150 // 8] for i in range(8)])
    assert np.abs(stored.astype(float) - expected).mean() < 4


def test_the_same_input_gives_the_same_bytes(shard: Path, root: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text((shard.parent / "list.csv").read_text())
    result = store(tmp_path / "list.csv", root, tmp_path / "again.arrow", "--workers", 2)
    assert result.returncode == 0, result.stderr
    assert (
        hashlib.sha256(shard.read_bytes()).digest() == hashlib.sha256((tmp_path / "again.arrow").read_bytes()).digest()
    )
    assert not list(tmp_path.glob("*.partial"))


def test_shards_share_out_the_distinct_videos() -> None:
    videos = ["b", "a", "c", "a", "e", "d"]
    parts = [shard_videos(videos, k, 3) for k in range(3)]
    assert parts == [["a", "d"], ["b", "e"], ["c"]]


def test_more_shards_than_videos(root: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("video\na/long.mp4\n")
    result = store(tmp_path / "list.csv", root, tmp_path / "s.arrow", "--shard", 1, "--shards", 2)
    assert result.returncode == 0, result.stderr
    assert FrameStore([tmp_path / "s.arrow"]).videos == set()
    assert (tmp_path / "s.quarantine.csv").read_text() == "video,reason,detail\n"


def test_a_store_travels_to_other_processes(shard: Path) -> None:
    copy = pickle.loads(pickle.dumps(FrameStore([shard])))
    assert len(copy.clip("c/frames", 8)) == 8


def test_errors_name_video_and_file(shard: Path, tmp_path: Path) -> None:
    frames = FrameStore(shard)
    with pytest.raises(InputError, match=r"broken/cut.mp4 is not in the frame store"):
        frames.clip("broken/cut.mp4", 8)
    with pytest.raises(InputError, match=r"a/long.mp4: the frames of budget 48"):
        frames.clip("a/long.mp4", 48)
    with pytest.raises(InputError, match="is missing"):
        FrameStore(tmp_path / "absent.arrow")
    (tmp_path / "text.arrow").write_text("no arrow")
    with pytest.raises(InputError, match="is not an Arrow file"):
        FrameStore(tmp_path / "text.arrow")
    with pytest.raises(InputError, match="is also in"):
        FrameStore([shard, shard])


def test_a_manifest_that_names_a_missing_video_fails_before_decoding(root: Path, tmp_path: Path) -> None:
    pyarrow.parquet.write_table(pa.table({"video": ["a/long.mp4", "a/gone.mp4"]}), tmp_path / "manifest.parquet")
    result = store(tmp_path / "manifest.parquet", root, tmp_path / "s.arrow")
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert "a/gone.mp4" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "s.arrow").exists()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("--root", "/nowhere"), "/nowhere"),
        (("--videos", "/nowhere.csv"), "/nowhere.csv"),
        (("--videos", "/nowhere.parquet"), "/nowhere.parquet"),
        (("--shard", 3, "--shards", 3), "--shard is 3"),
        (("--budgets", 0), "--budgets"),
        (("--sampling", "fps"), "expected a rate > 0"),
    ],
)
def test_bad_input_is_one_clear_line(root: Path, tmp_path: Path, change: tuple[object, ...], named: str) -> None:
    (tmp_path / "list.csv").write_text("video\na/long.mp4\n")
    result = store(tmp_path / "list.csv", root, tmp_path / "s.arrow", *change)
    assert result.returncode == 2
    assert named in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_list_without_the_column(root: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path\na/long.mp4\n")
    result = store(tmp_path / "list.csv", root, tmp_path / "s.arrow")
    assert result.returncode == 2
    assert "expected one named video" in result.stderr


def test_a_broken_run_leaves_nothing_half_written(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("workflow_scripts.frames.store._judge", stop)
    with pytest.raises(KeyboardInterrupt):
        write_shard(["a/long.mp4"], Recipe(root, (8,), 4800, 95), tmp_path / "s.arrow", tmp_path / "q.csv")
    assert list(tmp_path.iterdir()) == []


def test_the_command_line(root: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("video\nb/short.mkv\n")
    place = ("--output", tmp_path / "s.arrow", "--quarantine", tmp_path / "q.csv")
    words = ("--videos", tmp_path / "list.csv", "--root", root, "--budgets", 8, "--max-pixels", 4800, *place)
    subprocess.run([sys.executable, "-m", "workflow_scripts.frames.store", *map(str, words)], check=True)
    assert FrameStore(tmp_path / "s.arrow").videos == {"b/short.mkv"}


def test_reading_needs_no_torch() -> None:
    code = "import sys, workflow_scripts.frames.store; sys.exit('torch' in sys.modules or 'av' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
