"""What jobs ask for follows the sizes; what cannot fit is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.settings import InputError, RecipeSettings, load_study
from workflow_scripts.settings.context import visual_tokens
from workflow_scripts.settings.demand import gpu_bytes, gpus, host_mb, likelihood_minutes, memory_mb, nodes, training

SHIPPED = Path("resources/miniature/qwen2.5-vl-7b")


def test_gpus(paper: dict[str, Any]) -> None:
    study = load_study(paper)
    full = study.recipes["full"]
    # 8.29e9 parameters x 18 bytes = 149 GB of states over GPUs of 72 usable: two would hold them, but nothing else.
    assert gpus(study, study.models["qwen2.5-vl-7b"], full) == 4
    assert gpus(study, study.models["qwen2.5-vl-7b"]) == 1
    # 73.41e9 x 2 x 1.25 = 184 GB.
    assert gpus(study, study.models["qwen2.5-vl-72b"]) == 4
    lora = full.model_copy(update={"method": "lora"})
    assert gpus(study, study.models["qwen2.5-vl-7b"], lora) == 1


def test_nodes(paper: dict[str, Any]) -> None:
    paper["compute"] = {"gpus_per_node": 6}
    study = load_study(paper)
    full = study.recipes["full"]
    assert nodes(study, study.models["qwen2.5-vl-7b"], full) == 1
    # 73.41e9 x 18 = 1321 GB: 19 GPUs, 32 as a power of two; on six machines of six they would not be even.
    large = study.models["qwen2.5-vl-72b"]
    assert (gpus(study, large, full), nodes(study, large, full)) == (32, 8)


def test_a_run_that_fits_on_no_number_of_gpus_is_refused(paper: dict[str, Any]) -> None:
    paper["compute"] = {"gpu_memory_gb": 8}
    study = load_study(paper)
    with pytest.raises(InputError, match=r"compute.gpu_memory_gb is 8; qwen2.5-vl-7b on 64 frames, recipe full, needs"):
        gpus(study, study.models["qwen2.5-vl-7b"], study.recipes["full"])


def test_no_gpus(paper: dict[str, Any]) -> None:
    paper["compute"] = {"gpu_memory_gb": None}
    study = load_study(paper)
    assert gpus(study, study.models["qwen2.5-vl-72b"], study.recipes["full"]) == 0


def test_larger_models_and_more_frames_ask_for_more(paper: dict[str, Any]) -> None:
    study = load_study(paper)
    recipe = study.recipes["full"]
    small, large = study.models["qwen2.5-vl-3b"], study.models["qwen2.5-vl-72b"]
    assert memory_mb(small) < memory_mb(large)
    demands = [training(study, small, recipe, f"uniform-{count}") for count in (8, 16, 32, 64)]
    for name in ("tokens", "gpu_bytes", "host_mb", "hours", "minutes"):
        values = [getattr(demand, name) for demand in demands]
        assert values == sorted(set(values))
    assert len({demand.gpus for demand in demands}) == 1
    assert training(study, large, recipe, "uniform-8").gpu_hours > 10 * demands[0].gpu_hours
    hybrid = training(study, small, recipe, "hybrid-dinov2")
    assert demands[1].hours < hybrid.hours < demands[2].hours
    assert replace(hybrid, hours=0) == replace(demands[3], hours=0)


def test_reading_the_answers_takes_as_long_as_its_passes(paper: dict[str, Any]) -> None:
    """A training step with activation checkpointing is four passes; 8, 16, 32 and 64 frames are read in one each."""
    study = load_study(paper)
    recipe, model = study.recipes["full"], study.models["qwen2.5-vl-3b"]
    hours = sum(training(study, model, recipe, f"uniform-{count}").gpu_hours for count in (8, 16, 32, 64))
    assert gpus(study, model) == 1
    assert likelihood_minutes(study, model) == pytest.approx(30 + 2 * 60 * hours / 4, abs=1)


def test_the_frames_that_loaders_hold_are_counted(paper: dict[str, Any]) -> None:
    """128 samples of 64 frames of 100,352 pixels in float32 are 9.9 GB; five such steps are held."""
    study = load_study(paper)
    model, recipe = study.models["qwen2.5-vl-7b"], study.recipes["full"]
    step = 128 * 64 * 100_352 * 3 * 4 / 1e6
    assert host_mb(study, model, recipe, 64) - host_mb(study, model, recipe, 0) == pytest.approx(5 * step, abs=1)


def test_what_is_offloaded_is_asked_of_the_machine(paper: dict[str, Any]) -> None:
    study = load_study(paper)
    model, zero3 = study.models["qwen2.5-vl-7b"], study.recipes["full"]
    zero2 = zero3.model_copy(update={"deepspeed": "zero2"})

    def states(recipe: RecipeSettings, offload: str, count: int = 2) -> float:
        """Difference in GPU memory that offloading makes, in bytes a parameter."""
        other = recipe.model_copy(update={"offload": offload})
        saved = gpu_bytes(study, model, recipe, 8, count) - gpu_bytes(study, model, other, 8, count)
        return saved / (model.size_b * 1e9)

    assert states(zero2, "optimizer") == pytest.approx(12 / 2)
    assert states(zero3, "optimizer") == pytest.approx(16 / 2)
    assert states(zero3, "parameters") == pytest.approx(18 / 2)

    # 4 GPUs hold the states of 7B; with the optimizer's on the machine one holds the weights, 16.6 GB of 72.
    offloading = zero3.model_copy(update={"offload": "optimizer"})
    assert (gpus(study, model, zero3), gpus(study, model, offloading)) == (4, 1)
    more = host_mb(study, model, offloading, 8) - host_mb(study, model, zero3, 8)
    assert more == pytest.approx(20 * 8.29 * 1000 - 3 * 4000, abs=1)


@pytest.mark.parametrize(
    ("model", "frames", "tokens"),
    [
        ("qwen2.5-vl-7b", 8, 4 * 128),  # 128 squares of 28 x 28 pixels, two frames together
        ("qwen2.5-vl-7b", 7, 4 * 128),
        ("qwen2.5-vl-72b", 64, 32 * 128),
        ("llava-next-video-7b", 16, 16 * 144),
        ("llava-1.5-7b", 16, 16 * 144),  # 24 x 24 features, pooled by 2
    ],
)
def test_visual_tokens(paper: dict[str, Any], model: str, frames: int, tokens: int) -> None:
    study = load_study(paper)
    assert visual_tokens(study.models[model], frames, study.frames.max_pixels) == tokens


def test_visual_tokens_of_a_folder_follow_its_own_configuration(paper: dict[str, Any]) -> None:
    model = load_study(paper).models["qwen2.5-vl-7b"]
    local = model.model_copy(update={"source": str(SHIPPED), "video_max_pixels": 64 * 64})
    assert visual_tokens(local, 16, 448 * 448) == 8 * 16
    assert visual_tokens(model.model_copy(update={"source": "/not/there"}), 16, 448 * 448) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"models": {"llava-1.5-7b": {"video_pool_stride": 1}}},
            r"uniform-16: 16 frames are up to 9216 visual tokens for llava-1.5-7b, whose max_length is 4096",
        ),
        (
            {"models": {"qwen2.5-vl-7b": {"max_length": 4096}}},
            r"allocations: hybrid-dinov2: 64 frames are up to 4096 visual tokens for qwen2.5-vl-7b",
        ),
    ],
)
def test_a_context_that_overflows_is_refused(paper: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    for name, change in changes["models"].items():
        paper["models"][name] |= change
    with pytest.raises(InputError, match=message):
        load_study(paper)
