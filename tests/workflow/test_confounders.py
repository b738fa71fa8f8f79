"""The plans of the presets that sweep over frames under other times and other pixels."""

import pytest

from .conftest import Snakemake
from .test_plan import jobs

VIEWS = ("integer_rate", "constant", "total-{}")


@pytest.mark.parametrize(
    ("study", "presets", "seeds", "frames", "total"),
    [
        ("paper", ("confounders",), 3, 64, 8 * 128 * 28 * 28),
        ("miniature", ("miniature", "miniature-confounders"), 1, 16, 16 * 64 * 64),
    ],
)
def test_the_sweep_is_planned_in_four_recipes(
    snakemake: Snakemake, study: str, presets: tuple[str, ...], seeds: int, frames: int, total: int
) -> None:
    done = snakemake("--dry-run", "--printshellcmds", presets=presets)
    planned = jobs(done)
    runs = 4 * 4 * seeds
    assert planned["train"] == planned["spec"] == runs
    # Each run on two suites; base and blind on images once, on videos once for each of the four views.
    assert planned["evaluate"] == 2 * runs + 2 * (1 + 4)
    assert planned["confounders"] == planned["figure_scores"] == planned["figure_deltas"] == 1
    commands = [line for line in done.stdout.splitlines() if "workflow_scripts.evaluation.evaluate" in line]
    for place, shown in {
        "base/qwen2.5-vl-7b/video": "--temporal-positions real_time --",
        "base/qwen2.5-vl-7b/integer_rate/video": "--temporal-positions integer_rate --",
        "blind/qwen2.5-vl-7b/constant/video": "--temporal-positions constant --",
        f"base/qwen2.5-vl-7b/total-{total}/video": f"--temporal-positions real_time --total-pixels {total} --",
        "tuned/full/qwen2.5-vl-7b/uniform-8/seed-1/video": "--temporal-positions real_time --",
        "tuned/full-integer-rate/qwen2.5-vl-7b/uniform-8/seed-1/video": "--temporal-positions integer_rate --",
        "tuned/full-total-pixels/qwen2.5-vl-7b/uniform-64/seed-1/video": f"real_time --total-pixels {total} --",
    }.items():
        found = [line for line in commands if f"--output results/{study}/evaluation/{place}/frames-{frames}" in line]
        assert len(found) == 1, place
        assert shown in " ".join(found[0].split()), place
    assert not [line for line in commands if "/image/frames-1" in line and any(f"/{v}/image" in line for v in VIEWS)]


def test_without_variants_no_evaluation_has_a_view(snakemake: Snakemake) -> None:
    """The places of a study that shows videos in one way are as if there were no other."""
    done = snakemake("results/paper/figures/frames.png", "--dry-run", "--printshellcmds")
    assert jobs(done)["evaluate"] == 2 * (4 * 3 + 1 + 1)
    assert "--output results/paper/evaluation/base/qwen2.5-vl-7b/video/frames-64" in done.stdout
