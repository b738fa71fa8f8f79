"""What a study consists of, counted by hand."""

from typing import Any

import pytest

from workflow_scripts.settings import load_study
from workflow_scripts.settings.plan import (
    Run,
    Subject,
    allocations,
    evaluated_model,
    evaluations,
    keeps_adapter,
    runs,
)


def test_runs_of_the_paper(paper: dict[str, Any]) -> None:
    study = load_study(paper)
    assert len(runs(study, "overview")) == 6 * 3
    assert len(runs(study, "trade_off")) == 7 * 3
    # Six models at uniform-16, and the other six allocations of the 7B, three seeds each.
    assert len(runs(study)) == (6 + 6) * 3
    assert len(set(runs(study))) == len(runs(study))


def test_evaluations(paper: dict[str, Any]) -> None:
    study = load_study(paper)
    # Base, blind and three seeds of four allocations, on two suites.
    assert len(evaluations(study, "frames")) == (2 + 4 * 3) * 2
    found = evaluations(study, "scale")
    assert "evaluation/base/qwen2.5-vl-72b/image/frames-1" in found
    assert "evaluation/blind/qwen2.5-vl-3b/video/frames-16" in found
    assert "evaluation/tuned/full/qwen2.5-vl-7b/uniform-16/seed-2/video/frames-16" in found
    assert len(set(evaluations(study))) == len(evaluations(study))


def test_models_without_an_experiment_compute_nothing(paper: dict[str, Any]) -> None:
    before = runs(load_study(paper))
    paper["models"]["another"] = dict(paper["models"]["qwen2.5-vl-7b"])
    assert runs(load_study(paper)) == before


def test_allocations(paper: dict[str, Any]) -> None:
    assert allocations(load_study(paper), "hybrid") == [
        "uniform-8", "uniform-16", "uniform-32", "uniform-64", "hybrid-qwen3-vl-8b",
    ]  # fmt: skip


def test_folders_of_evaluations_name_their_subject(paper: dict[str, Any]) -> None:
    run = Run("full", "qwen2.5-vl-7b", "uniform-8", 2)
    assert Subject.of(f"evaluation/tuned/{run.path}/video/frames-64") == Subject("tuned", "qwen2.5-vl-7b", run)
    assert {Subject.of(folder).kind for folder in evaluations(load_study(paper))} == {"base", "blind", "tuned"}


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        ("base/qwen2.5-vl-7b", Subject("base", "qwen2.5-vl-7b", None)),
        ("blind/llava-1.5-7b", Subject("blind", "llava-1.5-7b", None)),
        ("base/qwen2.5-vl-7b/integer_rate", Subject("base", "qwen2.5-vl-7b", None, "integer_rate")),
        (
            "tuned/full/qwen2.5-vl-7b/hybrid-qwen2.5-vl-3b/seed-3",
            Subject("tuned", "qwen2.5-vl-7b", Run("full", "qwen2.5-vl-7b", "hybrid-qwen2.5-vl-3b", 3)),
        ),
    ],
)
def test_subject(path: str, subject: Subject) -> None:
    assert Subject.parse(path) == subject


def test_evaluated_model(paper: dict[str, Any]) -> None:
    paper["models"]["qwen2.5-vl-7b"]["revision"] = "abc"
    study = load_study(paper)
    base = evaluated_model(study, Subject.parse("base/qwen2.5-vl-7b"), "run/model")
    tuned = evaluated_model(study, Subject.parse("tuned/full/qwen2.5-vl-7b/uniform-8/seed-1"), "run/model")
    assert (base.source, base.revision) == ("Qwen/Qwen2.5-VL-7B-Instruct", "abc")
    assert (tuned.source, tuned.revision) == ("run/model", None)
    assert base.model_copy(update={"source": "", "revision": None}) == tuned.model_copy(update={"source": ""})


def test_a_lora_run_may_be_evaluated_as_its_base_with_the_adapter_beside_it(paper: dict[str, Any]) -> None:
    paper["recipes"]["lora"] = {"method": "lora", "deepspeed": None}
    subjects = [Subject.parse(f"tuned/{recipe}/qwen2.5-vl-7b/uniform-8/seed-1") for recipe in ("full", "lora")]
    assert [keeps_adapter(load_study(paper), one) for one in subjects] == [False, False]
    paper["evaluation"] = {**paper.get("evaluation", {}), "merge_adapters": False}
    study = load_study(paper)
    assert [keeps_adapter(study, one) for one in subjects] == [False, True]
    assert not keeps_adapter(study, Subject.parse("base/qwen2.5-vl-7b"))
    full, lora = (evaluated_model(study, one, "run/model") for one in subjects)
    assert (full.source, lora.source) == ("run/model", "Qwen/Qwen2.5-VL-7B-Instruct")
