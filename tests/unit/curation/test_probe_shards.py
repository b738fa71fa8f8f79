"""The sharded command: every video in one shard, hangs and crashes named, a killed job leaves nothing half-written."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.commands import Finished, run
from tests.footage import X264, write_video
from workflow_scripts.curation import probe, probing
from workflow_scripts.curation.probing import Probe, probe_all, probes_table, read_probes
from workflow_scripts.settings import InputError
from workflow_scripts.video.container import Unusable

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten videos, of which v5 is missing and v7 is empty."""
    root = tmp_path_factory.mktemp("videos")
    for number in range(10):
        write_video(root / f"v{number}.mp4", options=X264, times_ms=range(0, 200, 40), first_number=number)
    (root / "v5.mp4").unlink()
    (root / "v7.mp4").write_bytes(b"")
    pq.write_table(pa.table({"video": [f"v{number}.mp4" for number in range(10)]}), root / "shortlist.parquet")
    return root


def flags(videos: Path, output: Path, shard: int, shards: int, *more: object) -> list[object]:
    which = ["--shortlist", videos / "shortlist.parquet", "--dataset", videos, "--shard", shard, "--shards", shards]
    return [*which, "--output", output, *more]


def call(*arguments: object) -> Finished:
    return run(probe.main, *flags(*arguments))  # type: ignore[arg-type]


@pytest.mark.parametrize("shards", [1, 3, 12])
def test_every_video_is_in_one_shard(videos: Path, tmp_path: Path, shards: int) -> None:
    paths = [tmp_path / f"{shard}.parquet" for shard in range(shards)]
    for shard, path in enumerate(paths):
        assert call(videos, path, shard, shards).returncode == 0
    found = read_probes(paths)
    assert sum(pq.read_metadata(path).num_rows for path in paths) == len(found) == 10
    unusable = {name: one.reason for name, one in found.items() if isinstance(one, Unusable)}
    assert unusable == {"v5.mp4": "missing", "v7.mp4": "empty"}
    assert {one.n_frames for one in found.values() if isinstance(one, Probe)} == {5}


def _misbehave(root: Path, path: str) -> Probe | Unusable:
    if path == "hang":
        time.sleep(60)
    if path == "die":
        os.kill(os.getpid(), signal.SIGSEGV)
    if path == "fail":
        raise OverflowError("no")
    return Probe(1.0, 2.0, 2, 4, 4, path)


def test_a_hang_is_killed_after_the_time_set_and_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(probing, "probe_in", _misbehave)
    start = time.monotonic()
    found = probe_all(tmp_path, ["a", "hang", "b", "die", "c", "fail", "d"], workers=1, timeout_s=2)
    assert time.monotonic() - start < 50
    assert {path: one.reason for path, one in found.items() if isinstance(one, Unusable)} == {
        "hang": "hang",
        "die": "crash",
        "fail": "undecodable",
    }
    assert found["hang"].detail == "no answer within 2 s"  # type: ignore[union-attr]
    pq.write_table(probes_table(found), tmp_path / "p.parquet")
    again = read_probes([tmp_path / "p.parquet"])
    assert list(again) == list(found)
    for path, one in found.items():
        assert repr(again[path]) == repr(one)
        if isinstance(one, Unusable):
            assert again[path].detail == one.detail  # type: ignore[union-attr]


def test_a_killed_job_leaves_nothing_and_its_rerun_gives_the_same_bytes(videos: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.parquet"
    assert call(videos, whole, 0, 1, "--workers", 2).returncode == 0
    output = tmp_path / "killed" / "shard.parquet"
    command = [sys.executable, "-m", "workflow_scripts.curation.probe", *map(str, flags(videos, output, 0, 1))]
    for wait_s in (0.3, 1.5, 2.5):
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(wait_s)
        process.kill()
        process.wait()
        assert not output.exists() or output.read_bytes() == whole.read_bytes()
    assert call(videos, output, 0, 1).returncode == 0
    assert output.read_bytes() == whole.read_bytes()
    assert [path.name for path in output.parent.iterdir()] == ["shard.parquet"]


def test_what_is_no_shard_or_no_table(videos: Path, tmp_path: Path) -> None:
    assert "--shard is 3; expected 0 to 2" in call(videos, tmp_path / "x.parquet", 3, 3).stderr
    (tmp_path / "bad.parquet").write_text("no")
    with pytest.raises(InputError, match=r"bad.parquet is not readable"):
        read_probes([tmp_path / "bad.parquet"])
