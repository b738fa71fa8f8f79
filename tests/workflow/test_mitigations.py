"""The plans of the presets that compare mitigations, and what their jobs read."""

import pytest

from .conftest import Snakemake
from .test_plan import jobs


@pytest.mark.parametrize(
    ("presets", "trained", "interpolated", "allocations", "seeds"),
    [(("mitigations",), 5, 3, 7, 3), (("miniature", "miniature-mitigations"), 5, 3, 5, 1)],
)
def test_every_run_is_trained_or_interpolated(
    snakemake: Snakemake, presets: tuple[str, ...], trained: int, interpolated: int, allocations: int, seeds: int
) -> None:
    planned = jobs(snakemake("--dry-run", presets=presets))
    assert planned["train"] == planned["spec"] == (allocations + trained) * seeds
    assert planned["interpolate"] == interpolated * seeds
    assert planned["images"] == 1
    assert planned["evaluate"] == 2 * (allocations + trained + interpolated) * seeds + 2 * 2
    assert planned["trade_off"] == 1


def test_only_runs_that_need_images_read_them(snakemake: Snakemake) -> None:
    done = snakemake("--dry-run", "--printshellcmds", presets=("miniature", "miniature-mitigations"))
    commands = [" ".join(line.split()) for line in done.stdout.splitlines() if "python -m workflow_scripts" in line]
    specs = {line.split("--output ")[1].split("/")[3]: line for line in commands if "finetuning.spec" in line}
    flag = "--images results/miniature/curation/images.parquet"
    with_images = {recipe for recipe, line in specs.items() if flag in line}
    assert with_images == {"replay-20", "replay-50", "projection"}
    moved = next(line for line in commands if "finetuning.interpolate" in line and '"between-25"' in line)
    run = "qwen2.5-vl-7b/uniform-64/seed-1"
    assert f"--towards results/miniature/finetuning/full/{run} " in moved
    assert f"--output results/miniature/finetuning/between-25/{run} " in moved


def test_the_demo_draws_no_images(snakemake: Snakemake) -> None:
    planned = jobs(snakemake("--dry-run", presets=("miniature",)))
    assert not {"images", "stills", "interpolate"} & set(planned)
