"""A wrong configuration stops before anything runs, in words, without a traceback."""

import pytest

from .conftest import Snakemake

ONE = "experiments: [{{figure: frames, recipe: full, models: [{}], allocations: [{}], seeds: [1], eval_frames: [8]}}]"
FAULTS = {
    "curation: {vidoes: 3}": ["curation.vidoes", "did you mean 'videos'?"],
    "curation: {videos: many}": ["curation.videos", "'many'", "integer"],
    ONE.format("qwen3", "uniform-8"): [
        "experiments[frames].models", "'qwen3'", "llava-1.5-7b",
    ],
    ONE.format("llava-1.5-7b", "uniform-128"): [
        "uniform-128", "at most 64",
    ],
    "models: {a/../b: {family: qwen3-vl, source: x/y, size_b: 1}}": ["models.a/../b", "should match"],
    "frames: {shards: 1.0e+18}": ["frames.shards", "less than or equal to 10000"],
    "recipes: {full: {epochs: .inf}}": ["recipes.full.epochs", "finite"],
    "dataset: {root: 'data/{sample}'}": ["dataset.root", "data/{sample}"],
    "curation: {seed: 1, videos: 3, seed: 2}": ["curation.seed", "line 1", "expected once"],
    "experiments: []": ["experiments", "at least 1"],
}  # fmt: skip


@pytest.mark.parametrize(("overlay", "said"), FAULTS.items(), ids=range(len(FAULTS)))
def test_bad_settings(snakemake: Snakemake, overlay: str, said: list[str]) -> None:
    done = snakemake("--dry-run", overlay=overlay)
    assert done.returncode != 0
    for part in said:
        assert part in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_a_missing_dataset_that_is_to_be_there_is_named(snakemake: Snakemake) -> None:
    done = snakemake("training_data", "--dry-run", overlay="dataset: {ready: data/arrived}")
    assert done.returncode != 0
    assert "data/arrived" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
