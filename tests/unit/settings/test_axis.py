"""Within one figure only its axis varies."""

from collections.abc import Callable
from typing import Any

import pytest

from workflow_scripts.settings import InputError, load_study
from workflow_scripts.settings.plan import Run, Subject, evaluations, runs, view
from workflow_scripts.settings.recipes import View

Config = dict[str, Any]
VARIANTS = {
    "full-integer-rate": {"temporal_positions": "integer_rate"},
    "full-constant-rate": {"temporal_positions": "constant"},
    "full-total-pixels": {"total_pixels": 8 * 100_352},
}


@pytest.fixture
def confounders(paper: Config) -> Config:
    """The frames sweep of one model in four recipes."""
    paper["recipes"] |= {name: {"like": "full", **changes} for name, changes in VARIANTS.items()}
    paper["experiments"] = [
        {
            "figure": "confounders",
            "recipe": "full",
            "variants": list(VARIANTS),
            "models": ["qwen2.5-vl-7b"],
            "allocations": ["uniform-8", "uniform-64"],
            "seeds": [1, 2],
            "eval_frames": [64],
        }
    ]
    return paper


def test_runs_of_all_variants_and_a_base_for_each_view(confounders: Config) -> None:
    study = load_study(confounders)
    assert len(runs(study)) == 4 * 2 * 2
    assert Run("full-total-pixels", "qwen2.5-vl-7b", "uniform-64", 2) in runs(study)
    found = evaluations(study)
    untrained = {path for path in found if "/tuned/" not in path}
    views = ["", "integer_rate/", "constant/", "total-802816/"]
    assert untrained == {
        *(f"evaluation/{kind}/qwen2.5-vl-7b/image/frames-1" for kind in ("base", "blind")),
        *(f"evaluation/{kind}/qwen2.5-vl-7b/{name}video/frames-64" for kind in ("base", "blind") for name in views),
    }
    assert len(found) == len(set(found)) == len(untrained) + 16 * 2


def test_an_evaluation_is_shown_videos_as_its_run_was(confounders: Config) -> None:
    study = load_study(confounders)
    for name in ("base", "blind"):
        assert view(study, Subject.parse(f"{name}/qwen2.5-vl-7b")) == View("real_time", None)
        assert view(study, Subject.parse(f"{name}/qwen2.5-vl-7b/integer_rate")) == View("integer_rate", None)
        assert view(study, Subject.parse(f"{name}/qwen2.5-vl-7b/total-802816")) == View("real_time", 802_816)
    for recipe in ("full", *VARIANTS):
        tuned = Subject.parse(f"tuned/{recipe}/qwen2.5-vl-7b/uniform-8/seed-1")
        assert view(study, tuned) == study.recipes[recipe].view
        assert tuned.view == ""


def test_the_base_of_a_recipe_is_shown_videos_as_it_is(paper: Config) -> None:
    """Not only among variants: a study whose one recipe rounds has bases that are rounded."""
    paper["recipes"]["full"]["temporal_positions"] = "integer_rate"
    bases = {path for path in evaluations(load_study(paper), "frames") if path.startswith("evaluation/base/")}
    assert bases == {
        "evaluation/base/qwen2.5-vl-7b/image/frames-1",
        "evaluation/base/qwen2.5-vl-7b/integer_rate/video/frames-64",
    }


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (View(), ""),
        (View("constant"), "constant"),
        (View("real_time", 100), "total-100"),
        (View("integer_rate", 100), "integer_rate-total-100"),
    ],
)
def test_a_view_is_named_by_what_is_not_default(given: View, name: str) -> None:
    assert given.name == name


def test_a_recipe_follows_the_one_it_is_like(confounders: Config) -> None:
    """Key by key in mappings, as overlays merge."""
    confounders["recipes"]["full"] |= {"batch_size": 64, "learning_rates": {"projector": 1e-4, "vision_tower": 0}}
    confounders["recipes"]["other"] = {"like": "full", "epochs": 2, "learning_rates": {"vision_tower": 1e-6}}
    recipes = load_study(confounders).recipes
    for name, changes in VARIANTS.items():
        named = {"name": name, "like": "full", **changes}
        assert recipes[name] == recipes["full"].model_copy(update=named)
    other = recipes["other"]
    assert (other.batch_size, other.epochs) == (64, 2)
    assert other.learning_rates.model_dump() == {"vision_tower": 1e-6, "projector": 1e-4, "language_model": 1e-5}


def in_experiment(**changes: Any) -> Callable[[Config], None]:
    return lambda config: config["experiments"][0].update(changes)


def in_recipe(name: str, **changes: Any) -> Callable[[Config], None]:
    return lambda config: config["recipes"][name].update(changes)


FAULTS = {
    "another batch": (
        in_recipe("full-integer-rate", batch_size=64),
        [
            "recipes.full-integer-rate.batch_size is 64 and recipes.full.batch_size is 128",
            "temporal_positions or total",
        ],
    ),
    "another rate": (
        in_recipe("full-total-pixels", learning_rates={"projector": 1e-4}),
        ["recipes.full-total-pixels.learning_rates is", "recipes.full.learning_rates is", "to differ"],
    ),
    "a variant that is none": (
        in_recipe("full-integer-rate", temporal_positions="real_time"),
        ["recipes.full-integer-rate is as recipes.full;"],
    ),
    "like none": (
        in_recipe("full-integer-rate", like="ful"),
        ["recipes: full-integer-rate.like is 'ful'; expected a recipe that is like no other: full"],
    ),
    "like one that is like another": (
        in_recipe("full-total-pixels", like="full-constant-rate"),
        ["full-total-pixels.like is 'full-constant-rate'; expected a recipe that is like no other: full"],
    ),
    "no variants": (in_experiment(variants=[]), ["variants is empty", "differ from full"]),
    "unknown variant": (in_experiment(variants=["full-integr-rate"]), ["did you mean 'full-integer-rate'?"]),
    "variants without an axis": (
        in_experiment(figure="frames"),
        ["experiments[frames].variants is full-integer-rate, full-constant-rate, full-total-pixels", "no axis"],
    ),
    "several models": (
        in_experiment(models=["qwen2.5-vl-3b", "qwen2.5-vl-7b"]),
        ["models is qwen2.5-vl-3b, qwen2.5-vl-7b", "list one"],
    ),
    "predicted budgets": (in_experiment(allocations=["hybrid-dinov2"]), ["allocations names hybrid-dinov2"]),
    "one suite": (in_experiment(suites=["video"]), ["suites is video; expected image and video"]),
    "frames of one size": (
        in_experiment(models=["llava-next-video-7b"], variants=["full-total-pixels"], eval_frames=[8]),
        ["recipes.full-total-pixels: total_pixels is 802816; expected null for llava-next-video-7b"],
    ),
    "a model without times": (
        in_experiment(models=["llava-next-video-7b"], variants=["full-integer-rate"], eval_frames=[8]),
        ["temporal_positions vary (integer_rate, real_time), but family llava-next-video of llava-next-video-7b has"],
    ),
    "frames below a token": (
        in_recipe("full-total-pixels", total_pixels=50_000),
        # 64 frames of 28 x 28 pixels
        ["total_pixels is 50000, which leaves 781 pixels for each of 64 frames; expected at least 50176"],
    ),
}


@pytest.mark.parametrize(("change", "expected"), FAULTS.values(), ids=FAULTS.keys())
def test_refuses(confounders: Config, change: Callable[[Config], None], expected: list[str]) -> None:
    change(confounders)
    with pytest.raises(InputError) as refused:
        load_study(confounders)
    for part in expected:
        assert part in str(refused.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [("video_max_pixels", 50_000), ("max_pixels", 200_000), ("min_pixels", 4), ("precision", "float32")],
)
@pytest.mark.parametrize("figure", ["overview", "scale"])
def test_models_of_a_family_see_the_same_in_one_figure(paper: Config, figure: str, field: str, value: Any) -> None:
    paper["models"]["qwen2.5-vl-3b"][field] = value
    with pytest.raises(
        InputError, match=rf"experiments\[{figure}\].models: {field} is .* for qwen2.5-vl-7b and {value}"
    ):
        load_study(paper)


def test_families_may_see_differently(paper: Config) -> None:
    """336 x 336 pixels a frame and 100,352; LLaVA-1.5 pools."""
    study = load_study(paper)
    assert len({study.models[name].video_max_pixels for name in study.experiments[0].models}) > 1


def test_a_total_lets_more_frames_into_a_context(paper: Config) -> None:
    """64 frames of 100,352 pixels are 4,096 tokens; sharing what 8 have, 512."""
    paper["models"]["qwen2.5-vl-7b"]["max_length"] = 2048
    paper["experiments"] = [entry for entry in paper["experiments"] if entry["figure"] == "frames"]
    with pytest.raises(InputError, match="uniform-64: 64 frames are up to 4096 visual tokens"):
        load_study(paper)
    paper["recipes"]["full"]["total_pixels"] = 8 * 100_352
    load_study(paper)
    paper["models"]["qwen2.5-vl-7b"]["max_length"] = 512
    with pytest.raises(InputError, match="uniform-64: 64 frames are up to 512 visual tokens"):
        load_study(paper)
