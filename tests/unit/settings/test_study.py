"""The configuration refuses what it should, in words that name the key, the value and what is allowed."""

from collections.abc import Callable
from typing import Any

import pytest

from workflow_scripts.settings import InputError, load_study

Config = dict[str, Any]


def experiment(config: Config, figure: str) -> Config:
    return next(entry for entry in config["experiments"] if entry["figure"] == figure)


def put(value: Any, *path: str) -> Callable[[Config], None]:
    """A change that sets one key."""

    def change(config: Config) -> None:
        *sections, key = path
        for section in sections:
            config = config.setdefault(section, {})
        config[key] = value

    return change


def in_frames(key: str, value: Any) -> Callable[[Config], None]:
    """A change to the experiment of figure `frames`."""
    return lambda config: experiment(config, "frames").update({key: value})


FAULTS = {
    "unknown key": (put(3, "curation", "vidoes"), ["curation.vidoes", "did you mean 'videos'?", "probe_timeout_s"]),
    "unknown section": (put({}, "curations"), ["curations", "did you mean 'curation'?"]),
    "unknown key of a model": (
        put("x", "models", "qwen2.5-vl-7b", "sources"),
        ["models.qwen2.5-vl-7b.sources", "did you mean 'source'?"],
    ),
    "unknown key of a list entry": (in_frames("seed", 1), ["experiments[frames].seed", "did you mean 'seeds'?"]),
    "unknown key of the miniature": (put(1, "miniature", "video"), ["miniature.video", "did you mean 'videos'?"]),
    "wrong type": (put("many", "curation", "videos"), ["curation.videos", "'many'", "integer"]),
    "out of range": (put(0, "frames", "jpeg_quality"), ["frames.jpeg_quality", "0", "greater than or equal to 1"]),
    "unknown family": (
        put("qwen2-vl", "models", "qwen2.5-vl-7b", "family"),
        ["models.qwen2.5-vl-7b.family", "'qwen2-vl'", "'qwen2.5-vl'"],
    ),
    "missing key": (
        lambda config: config["models"]["qwen2.5-vl-7b"].pop("source"),
        ["models.qwen2.5-vl-7b.source", "missing"],
    ),
    "unknown model": (
        in_frames("models", ["qwen2.5-vl-8b"]),
        ["experiments[frames].models", "'qwen2.5-vl-8b'", "did you mean", "llava-1.5-7b"],
    ),
    "unknown recipe": (in_frames("recipe", "lora"), ["experiments[frames].recipe", "'lora'", "allowed: full"]),
    "unknown allocation": (
        in_frames("allocations", ["hybrid-qwen3-vl-9b"]),
        ["experiments[frames].allocations", "'hybrid-qwen3-vl-9b'", "hybrid-dinov2", "uniform-64"],
    ),
    "a predictor by another allocation's name": (
        put({"model": {"family": "qwen3-vl", "source": "a/b", "size_b": 1}}, "budgets", "predictors", "oracle"),
        ["budgets.predictors", "'oracle'", "hybrid-oracle", "rename"],
    ),
    "attention of several allocations": (
        lambda config: experiment(config, "attention").update(allocations=["uniform-8", "uniform-16"]),
        ["experiments[attention].allocations is uniform-8, uniform-16", "list one"],
    ),
    "attention with evaluation frames": (
        lambda config: experiment(config, "attention").update(eval_frames=[16]),
        ["experiments[attention]", "eval_frames of attention are [16]", "expected none"],
    ),
    "a template that is none": (
        put("Is {answer in the picture?", "attention", "question"),
        ["attention.question", "is no template"],
    ),
    "a template that computes": (
        put("{answer[0]}", "attention", "answer"),
        ["attention.answer", "holds {answer[0]}", "names of columns"],
    ),
    "layers in the wrong order": (put([0.5, 0.25], "attention", "layers"), ["attention.layers", "0.5 to 0.25"]),
    "chance without a predictor": (
        lambda config: (
            put({"predictor": "qwen3-vl-9b"}, "budgets", "random")(config),
            in_frames("allocations", ["hybrid-random"])(config),
        ),
        ["budgets.random.predictor", "'qwen3-vl-9b'", "did you mean 'qwen3-vl-8b'?"],
    ),
    "chance of chance": (
        lambda config: (
            put({"predictor": "random"}, "budgets", "random")(config),
            in_frames("allocations", ["hybrid-random"])(config),
        ),
        ["budgets.random.predictor", "'random'", "allowed: dinov2, likelihood, oracle, "],
    ),
    "an oracle without its model": (
        lambda config: (
            put({"model": "qwen2.5-vl-8b"}, "budgets", "oracle")(config),
            in_frames("allocations", ["hybrid-oracle"])(config),
        ),
        ["budgets.oracle.model", "'qwen2.5-vl-8b'", "did you mean"],
    ),
    "an oracle whose model cannot hold the frames": (
        lambda config: (
            put({"model": "llava-next-video-7b"}, "budgets", "oracle")(config),
            in_frames("allocations", ["hybrid-likelihood"])(config),
        ),
        ["budgets.oracle.model: 64 frames", "llava-next-video-7b", "max_length is 4096"],
    ),
    "budget above the store": (
        in_frames("allocations", ["uniform-128"]),
        ["experiments[frames].allocations", "uniform-128", "at most 64", "8, 16, 32, 64"],
    ),
    "budget that is not admissible": (
        in_frames("allocations", ["uniform-24"]),
        ["experiments[frames].allocations", "24", "allowed: 8, 16, 32, 64"],
    ),
    "evaluation above the store": (in_frames("eval_frames", [256]), ["experiments[frames].eval_frames", "256", "64"]),
    "several numbers of evaluation frames": (
        in_frames("eval_frames", [8, 64]),
        ["experiments[frames].eval_frames is 8, 64", "list one"],
    ),
    "several models of the predictors": (
        lambda config: experiment(config, "predictors").update(models=["qwen2.5-vl-3b", "qwen2.5-vl-7b"]),
        ["experiments[predictors].models is qwen2.5-vl-3b, qwen2.5-vl-7b", "list one"],
    ),
    "several allocations of the abilities": (
        lambda config: experiment(config, "abilities").update(allocations=["uniform-8", "uniform-16"]),
        ["experiments[abilities].allocations is uniform-8, uniform-16", "list one"],
    ),
    "several models of the abilities": (
        lambda config: experiment(config, "abilities").update(models=["qwen2.5-vl-3b", "qwen2.5-vl-7b"]),
        ["experiments[abilities].models is qwen2.5-vl-3b, qwen2.5-vl-7b", "list one"],
    ),
    "a predicted allocation on the axis of training frames": (
        lambda config: experiment(config, "trade_off").update(figure="budget_map", eval_frames=[8, 64]),
        ["experiments[budget_map].allocations names hybrid-dinov2", "list those"],
    ),
    "predictor above the store": (
        put(128, "budgets", "predictors", "qwen3-vl-8b", "frames"),
        ["budgets.predictors.qwen3-vl-8b.frames", "128", "64"],
    ),
    "candidates that budgets do not divide": (
        put([8, 24, 64], "frames", "budgets"),
        ["budgets.dinov2.frames is 64", "not of 24", "8, 24, 64"],
    ),
    "more orders than there are": (
        put(25, "budgets", "predictors", "qwen3-vl-8b", "option_orders"),
        ["budgets.predictors.qwen3-vl-8b.option_orders is 25", "4 budgets", "24 orders"],
    ),
    "adapters that miss the projector": (
        put("lora", "recipes", "full", "method"),
        ["experiments[frames]", "recipes.full.learning_rates.projector is 1e-05", "q_proj", "expected 0 or 0, 2"],
    ),
    "seed twice": (in_frames("seeds", [1, 2, 1]), ["experiments[frames].seeds", "1 is listed twice"]),
    "experiment twice": (
        lambda config: config["experiments"].append(experiment(config, "frames")),
        ["experiments[frames]", "listed twice"],
    ),
    "unknown benchmark": (
        put(["mme", "seedbench"], "benchmarks", "suites", "image"),
        ["benchmarks", "suites.image", "'seedbench'", "mmstar"],
    ),
    "benchmark of the other suite": (
        put(["mvbench"], "benchmarks", "suites", "image"),
        ["suites.image", "'mvbench'", "'video'"],
    ),
    "suite without benchmarks": (put([], "benchmarks", "suites", "video"), ["suites", "'video'", "no benchmark"]),
    "metric of another task": (
        lambda config: config["benchmarks"]["registry"]["mvbench"]["metrics"][1].update(task="mme"),
        ["registry.mvbench", "'mme'", "mvbench_action_count"],
    ),
    "unknown subset": (put(["0_30_s_academic"], "dataset", "subsets"), ["dataset.subsets", "'0_30_s_academic'"]),
    "shares that do not sum to one": (
        put({"caption": 0.5, "open_ended": 0.2}, "curation", "shares", "format"),
        ["curation.shares.format", "0.2", "sum is 1"],
    ),
    "budgets that fall": (put([16, 8], "frames", "budgets"), ["frames.budgets", "[16, 8]", "rising"]),
    "frames smaller than a model's": (
        put(1000, "frames", "max_pixels"),
        ["models.qwen2.5-vl-7b", "video_max_pixels", "100352", "1000"],
    ),
    "everything frozen": (
        put({"vision_tower": 0, "projector": 0, "language_model": 0}, "recipes", "full", "learning_rates"),
        ["recipes.full", "learning_rates", "all 0"],
    ),
    "batching that there is not": (
        put("sorted", "recipes", "full", "batching"),
        ["recipes.full.batching", "'sorted'", "packed", "bucketed", "padded"],
    ),
    "prompt without its fields": (
        put("How many frames for {instruction}?", "budgets", "predictors", "qwen3-vl-8b", "question"),
        ["budgets.predictors.qwen3-vl-8b.question", "{options}"],
    ),
    "study's name with a slash": (put("a/b", "study"), ["study", "'a/b'"]),
}


@pytest.mark.parametrize(("change", "expected"), FAULTS.values(), ids=FAULTS.keys())
def test_refuses(paper: Config, change: Callable[[Config], None], expected: list[str]) -> None:
    change(paper)
    with pytest.raises(InputError) as refused:
        load_study(paper)
    for part in expected:
        assert part in str(refused.value)


def test_names_every_fault_at_once(paper: Config) -> None:
    put(3, "curation", "vidoes")(paper)
    put("many", "curation", "videos")(paper)
    with pytest.raises(InputError) as refused:
        load_study(paper)
    assert len(str(refused.value).splitlines()) == 2


def test_adapters_that_reach_the_projector_are_accepted(paper: Config) -> None:
    put("lora", "recipes", "full", "method")(paper)
    put({"targets": ["q_proj", "0", "linear_1"]}, "recipes", "full", "lora")(paper)
    assert load_study(paper).recipes["full"].lora.targets == ("q_proj", "0", "linear_1")


def test_the_paper(paper: Config) -> None:
    study = load_study(paper)
    assert study.curation.videos == 20_000
    assert len(study.dataset.subsets) == 18
    assert study.frames.budgets == (8, 16, 32, 64)
    assert list(study.budgets.predictors) == ["qwen2.5-vl-3b", "qwen3-vl-8b"]
    assert study.miniature is None
    assert [len(study.benchmarks.of(suite)) for suite in ("image", "video")] == [4, 4]
    assert study.models["llava-1.5-7b"].name == "llava-1.5-7b"
    assert study.budgets.predictors["qwen3-vl-8b"].model.name == "qwen3-vl-8b"


def test_yaml_numbers_without_a_point(paper: Config) -> None:
    """YAML 1.1 reads 1e-5 as text; it is a number all the same."""
    put("1e-5", "recipes", "full", "learning_rates", "projector")(paper)
    assert load_study(paper).recipes["full"].learning_rates.projector == 1e-5
