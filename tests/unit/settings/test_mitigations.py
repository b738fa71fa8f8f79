"""Recipes against the cost on images: what a study may compare, what is refused, and what they ask for."""

from typing import Any

import pytest

from workflow_scripts.settings import InputError, demand, load_study
from workflow_scripts.settings.context import image_tokens
from workflow_scripts.settings.plan import Run, evaluations, made, runs

Config = dict[str, Any]
MODEL = "qwen2.5-vl-7b"
VARIANTS: dict[str, dict[str, Any]] = {
    "replay": {"replay": 0.2},
    "between": {"interpolation": 0.5},
    "frozen": {"learning_rates": {"vision_tower": 0}},
}


@pytest.fixture
def trade_off(paper: Config) -> Config:
    """The plain recipe at two budgets, each mitigation at one."""
    paper["recipes"] |= {name: {"like": "full", **changes} for name, changes in VARIANTS.items()}
    paper["experiments"] = [
        {
            "figure": "trade_off",
            "recipe": "full",
            "variants": list(VARIANTS),
            "variant_allocations": ["uniform-64"],
            "models": [MODEL],
            "allocations": ["uniform-16", "uniform-64"],
            "seeds": [1],
            "eval_frames": [64],
        }
    ]
    return paper


def refused(config: Config) -> str:
    with pytest.raises(InputError) as error:
        load_study(config)
    return str(error.value)


def test_variants_run_where_they_are_asked_for(trade_off: Config) -> None:
    study = load_study(trade_off)
    assert set(runs(study)) == {
        Run("full", MODEL, "uniform-16", 1),
        *(Run(recipe, MODEL, "uniform-64", 1) for recipe in ("full", *VARIANTS)),
    }
    assert len(evaluations(study)) == 2 * (2 + 5)  # base and blind, five runs; images and videos
    trade_off["experiments"][0]["variant_allocations"] = []
    assert len(runs(load_study(trade_off))) == 2 * 4


def test_a_run_that_an_interpolation_needs_is_made(trade_off: Config) -> None:
    trade_off["experiments"] = [
        {"figure": "overview", "recipe": "between", "models": [MODEL], "allocations": ["uniform-8"]}
        | {"seeds": [2], "eval_frames": [8]}
    ]
    study = load_study(trade_off)
    assert runs(study) == [Run("between", MODEL, "uniform-8", 2)]
    assert set(made(study)) == {*runs(study), Run("full", MODEL, "uniform-8", 2)}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"images": None},
            "recipes.replay.replay is 0.2, and images null; expected where image conversations come from",
        ),
        (
            {"recipes": {"frozen": {"learning_rates": {"projector": 1e-4}}}},
            "variants: recipes.frozen.learning_rates.projector is 0.0001; expected 1e-05",
        ),
        (
            {"recipes": {"frozen": {"epochs": 2}}},
            "recipes.frozen.epochs is 2.0 and recipes.full.epochs is 1.0; expected only learning_rates or replay or",
        ),
        (
            {"recipes": {"between": {"interpolation": 0.5, "replay": 0.1}}},
            "recipes.between.replay is 0.1, and recipes.full has None; expected the same, since interpolation trains",
        ),
        (
            {"experiment": {"recipe": "frozen", "variants": ["between"]}},
            "recipes.between interpolates towards full; expected that recipe in it too",
        ),
        (
            {"experiment": {"variant_allocations": ["uniform-8"]}},
            "variant_allocations names uniform-8; expected some of its allocations",
        ),
        (
            {"experiment": {"figure": "overview", "variants": []}},
            "variant_allocations is uniform-64; the figure has no axis for it, list none",
        ),
    ],
)
def test_what_would_mix_or_cannot_be_is_refused(trade_off: Config, change: Config, told: str) -> None:
    for name, settings in change.get("recipes", {}).items():
        trade_off["recipes"][name] = {"like": "full", **settings}
    trade_off["experiments"][0] |= change.get("experiment", {})
    if "images" in change:
        trade_off["images"] = change["images"]
    assert told in refused(trade_off)


def test_more_images_to_compare_with_than_there_are_is_refused(trade_off: Config) -> None:
    trade_off["recipes"]["held"] = {"like": "full", "gradient_projection": 64, "deepspeed": None}
    trade_off["images"]["conversations"] = 63
    told = "recipes.held.gradient_projection 64, and images.conversations 63; expected at least 64"
    assert told in refused(trade_off)


def test_hours_of_image_conversations_are_billed(trade_off: Config) -> None:
    """A quarter of an image conversation for each video: by hand, from the tokens of a picture and of a text."""
    study = load_study(trade_off)
    model = study.models[MODEL]
    plain, replay = (demand.training(study, model, study.recipes[name], "uniform-64") for name in ("full", "replay"))
    assert replay.gpus == plain.gpus
    tokens = model.max_pixels // 28**2
    assert image_tokens(model, 10**9) == tokens == 1280
    work = (8.29 - 0.67) * (tokens + 400) + 0.67 * tokens * 4
    hours = 0.25 * 8 * 1.1 * work * 1e9 * 20_000 / 75e12 / 3600 / plain.gpus
    assert replay.hours - plain.hours == pytest.approx(hours, rel=1e-6)


def test_an_interpolation_asks_for_no_gpu(trade_off: Config) -> None:
    study = load_study(trade_off)
    asked = demand.training(study, study.models["qwen2.5-vl-72b"], study.recipes["between"], "uniform-64")
    assert (asked.gpus, asked.nodes, asked.checkpoint_bytes) == (0, 1, 0)
    assert asked.result_bytes == pytest.approx(2 * 73.41e9)
    assert asked.host_mb < 8000
    assert 60 < asked.minutes < 24 * 60


def test_projection_keeps_a_copy_of_the_gradients(trade_off: Config) -> None:
    study = load_study(trade_off)
    plain = study.recipes["full"].model_copy(update={"deepspeed": None})
    held = plain.model_copy(update={"gradient_projection": 8})
    model = study.models["qwen2.5-vl-3b"]
    more = demand.gpu_bytes(study, model, held, 8, 1) - demand.gpu_bytes(study, model, plain, 8, 1)
    assert more == pytest.approx(4 * 3.75e9)
    assert demand.training_hours(study, model, held, 8) > demand.training_hours(study, model, plain, 8)
