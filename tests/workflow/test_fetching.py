"""The targets that fetch: planned only where named, run where Snakemake runs; what they bring is drawn from."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pandas as pd
import pytest

from tests.footage import X264, write_video
from tests.hub_server import COMMIT, FakeHub, serve

from .conftest import Snakemake

TARGETS = ("pin", "plan_data", "fetch", "fetch_images", "fetch_boxes", "fetch_models", "fetch_benchmarks")
SUBSET = "0_30_s_nextqa"


def test_what_fetches_is_planned_only_where_named(snakemake: Snakemake) -> None:
    planned = snakemake(*TARGETS, "--dry-run", "--quiet", "rules")
    assert planned.returncode == 0, planned.stderr
    lines = (planned.stdout + planned.stderr).splitlines()
    assert {line.split()[0]: line.split()[1] for line in lines if line.startswith(TARGETS)} == dict.fromkeys(
        TARGETS, "1"
    )
    bare = snakemake("training_data", "--dry-run", "--quiet", "rules")
    assert not [line for line in (bare.stdout + bare.stderr).splitlines() if line.startswith(TARGETS)]


def archive(folder: Path, count: int) -> bytes:
    """An archive of real clips, of which the third is broken."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for number in range(count):
            clip = folder / f"{number}.mp4"
            write_video(clip, options=X264, times_ms=range(0, 400, 40), first_number=number)
            if number == 2:
                clip.write_bytes(b"broken")
            tar.add(clip, f"NextQA/NExTVideo/1/{number}.mp4")
    return buffer.getvalue()


@pytest.mark.slow
def test_a_fetched_sample_is_drawn_and_probed(snakemake: Snakemake, tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "<image>\nWhat happens?"}, {"from": "gpt", "value": "Much."}]
    videos = [f"NextQA/NExTVideo/1/{number}.mp4" for number in range(12)]
    records = [{"id": video, "conversations": turns, "data_source": "x", "video": video} for video in videos]
    choice = [{"from": "human", "value": "<image>\nWhat?\nA. x\nB. y"}, {"from": "gpt", "value": "A."}]
    files = {
        f"{SUBSET}/{SUBSET}_oe_qa_processed.json": json.dumps(records).encode(),
        f"{SUBSET}/{SUBSET}_mc_qa_processed.json": json.dumps([{**records[0], "conversations": choice}]).encode(),
        f"{SUBSET}/{SUBSET}_videos_1.tar.gz": archive(tmp_path / "clips", 12),
    }
    with serve(FakeHub({("datasets", "o/videos"): files})) as hub:
        overlay = f"""
hub: {{endpoint: "{hub.endpoint}"}}
dataset: {{repository: o/videos, revision: {COMMIT}, subsets: [{SUBSET}], root: data, reserve: 0.5}}
curation: {{videos: 6, probe_shards: 1}}
compute: {{threads: {{curation: 1}}}}
"""
        done = snakemake("fetch", overlay=overlay)
        assert done.returncode == 0, done.stdout + done.stderr
        kept = pd.read_parquet(tmp_path / "results/paper/curation/fetched.parquet").query("kept")
        done = snakemake("results/paper/curation/manifest.parquet", overlay=overlay)
        assert done.returncode == 0, done.stdout + done.stderr
        manifest = pd.read_parquet(tmp_path / "results/paper/curation/manifest.parquet")
        assert len(manifest) == 6
        assert set(manifest.video) <= set(kept.video)
        assert f"{SUBSET}/{videos[2]}" not in set(manifest.video)
