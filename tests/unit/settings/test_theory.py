"""What an experiment whose gradients are measured, and the section that says how, may not hold."""

from typing import Any

import pytest

from workflow_scripts.settings import InputError, demand, load_study, plan
from workflow_scripts.settings.paper import PAPER

EXPERIMENT = {
    "figure": "gradient_alignment",
    "recipe": "full",
    "models": ["qwen2.5-vl-7b"],
    "allocations": ["uniform-64"],
    "seeds": [1],
}


def study(changes: dict[str, Any] | None = None, **sections: Any) -> Any:
    return load_study({**PAPER, "images": {}, **sections, "experiments": [{**EXPERIMENT, **(changes or {})}]})


def test_its_run_is_planned_and_nothing_is_evaluated() -> None:
    found = study()
    assert [run.path for run in plan.runs(found)] == ["full/qwen2.5-vl-7b/uniform-64/seed-1"]
    assert plan.evaluations(found) == []


@pytest.mark.parametrize(
    ("changes", "sections", "message"),
    [
        ({"eval_frames": [64]}, {}, r"eval_frames of gradient_alignment are \[64\]; expected none"),
        ({"seeds": [1, 2]}, {}, r"experiments\[gradient_alignment\]\.seeds is 1, 2; it is along one run, list one"),
        ({}, {"images": None}, "images is null"),
        ({}, {"images": {"conversations": 700}}, "images.conversations is 700; expected at least 768"),
        ({}, {"theory": {"videos": 100}}, "videos is 100; expected a multiple of batches, 16"),
        ({}, {"theory": {"sketch": 1000}}, "sketch is 1000; expected a power of two, or null"),
        ({}, {"theory": {"step_lengths": [0.1, 0.01]}}, "expected rising numbers above 0"),
    ],
)
def test_what_cannot_be_measured_is_refused(changes: dict[str, Any], sections: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        study(changes, **sections)


def test_a_scored_figure_needs_evaluation_frames() -> None:
    with pytest.raises(InputError, match=r"eval_frames of overview are \[\]; expected at least one"):
        study({"figure": "overview"})


def test_gpus_grow_with_the_model() -> None:
    """Thirty-two bytes a parameter: 7B does not fit one GPU of 80 GB, and a small one does."""
    found = study()
    recipe = found.recipes["full"]
    needed = {
        name: demand.gradient_gpus(found, found.models[name], recipe) for name in ("qwen2.5-vl-3b", "qwen2.5-vl-7b")
    }
    assert 80 * needed["qwen2.5-vl-7b"] >= 7 * 32
    assert needed["qwen2.5-vl-3b"] <= needed["qwen2.5-vl-7b"] <= 8
    assert demand.gradient_minutes(found, found.models["qwen2.5-vl-7b"], recipe) > 30
