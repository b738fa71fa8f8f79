"""Visual tokens before a run exists, where frames share a total of pixels."""

from typing import Any

import pytest

from workflow_scripts.settings import load_study
from workflow_scripts.settings.context import visual_tokens
from workflow_scripts.settings.demand import training

STORED = 448 * 448


@pytest.mark.parametrize(
    ("frames", "tokens"),
    [
        (4, 2 * 128),  # the model's video_max_pixels bounds a frame: 128 squares of 28 x 28 pixels
        (8, 4 * 128),
        (9, 5 * 102),  # five pairs, ten frames: 802,816 / 10 / 784 = 102.4
        (16, 8 * 64),
        (32, 16 * 32),
        (64, 32 * 16),
    ],
)
def test_a_total_bounds_the_tokens(paper: dict[str, Any], frames: int, tokens: int) -> None:
    model = load_study(paper).models["qwen2.5-vl-7b"]
    assert visual_tokens(model, frames, STORED, 8 * 100_352) == tokens


def test_a_total_leaves_frames_of_one_size_alone(paper: dict[str, Any]) -> None:
    model = load_study(paper).models["llava-1.5-7b"]
    assert visual_tokens(model, 16, STORED, 1000) == visual_tokens(model, 16, STORED) == 16 * 144


def test_what_a_job_asks_for_follows_the_total(paper: dict[str, Any]) -> None:
    study = load_study(paper)
    model, recipe = study.models["qwen2.5-vl-7b"], study.recipes["full"]
    sharing = recipe.model_copy(update={"total_pixels": 8 * 100_352})
    demands = [training(study, model, sharing, f"uniform-{count}") for count in (8, 16, 32, 64)]
    constant = training(study, model, recipe, "uniform-64")
    assert {demand.tokens for demand in demands} == {512}
    assert len({demand.hours for demand in demands}) == 1
    assert len({demand.host_mb for demand in demands}) == 1
    assert demands[3].hours < constant.hours / 3
    assert demands[3].gpu_bytes < constant.gpu_bytes
    assert demands[3].host_mb < constant.host_mb
