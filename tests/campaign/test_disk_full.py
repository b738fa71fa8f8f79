"""A disk that fills up in any stage: one clear error, nothing half-written, and the same command then finishes.

The results lie on a file system of their own in memory, which takes root to mount. Before each stage it is made just
large enough for what is there.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repository import copy_to

SNAKEMAKE = [str(Path(sys.executable).parent / "snakemake"), "--profile", "profiles/local"]
STUDY = ["--configfile", "presets/miniature.yaml", "presets/smoke.yaml", "one.yaml"]
ONE = """experiments:
- {figure: overview, recipe: full, models: [qwen2.5-vl-7b], allocations: [uniform-8], seeds: [1], eval_frames: [8]}
"""
RUN = "finetuning/full/qwen2.5-vl-7b/uniform-8/seed-1"
STAGES = {
    "world": "miniature/world.json",
    "inventory": "curation/index.parquet",
    "manifest": "curation/manifest.parquet",
    "store": "frames/shard-0.arrow",
    "uniform": "budgets/uniform-8.parquet",
    "spec": f"{RUN}/spec.yaml",
    "train": f"{RUN}/summary.json",
    "evaluate": "evaluation/base/qwen2.5-vl-7b/image/frames-1/scores.json",
    "figure_scores": "analysis/overview/scores.csv",
    "overview": "figures/overview.png",
}
SPARE = 4 * 1024  # bytes left on the disk: a page, for a log's first lines, not for a result
ROOM = 2 * 1024**3

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("disk")]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the repository whose results are on a small disk."""
    folder = copy_to(tmp_path_factory.mktemp("disk") / "repository")
    (folder / "one.yaml").write_text(ONE)
    disk = folder / "results" / "smoke"
    disk.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(disk)]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here: that takes root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def resize(disk: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(disk)], check=True)


def used(disk: Path) -> int:
    found = os.statvfs(disk)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def make(study: Path, target: str, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*SNAKEMAKE, f"results/smoke/{target}", *flags, *STUDY]
    return subprocess.run(command, cwd=study, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("rule", STAGES)
def test_a_stage_whose_disk_is_full_says_so_and_is_done_once_there_is_room(study: Path, rule: str) -> None:
    disk, target = study / "results" / "smoke", STAGES[rule]
    before = make(study, target, flags=("--omit-from", rule))
    assert before.returncode == 0, before.stdout + before.stderr
    resize(disk, used(disk) + SPARE)
    full = make(study, target)
    said = full.stdout + full.stderr
    left = list(disk.rglob("*.partial"))
    there = (disk / target).exists()
    resize(disk, ROOM)
    assert full.returncode != 0
    assert re.search("no space left on device|kB are left on the disk of results/smoke", said, re.IGNORECASE)
    assert "Traceback" not in said
    assert left == []
    assert not there
    again = make(study, target)
    assert again.returncode == 0, again.stdout + again.stderr
    assert (disk / target).stat().st_size > 0
