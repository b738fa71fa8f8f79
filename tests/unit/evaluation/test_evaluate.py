"""The command, with a small random model of a real class, on all eight benchmarks."""

import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.unit.evaluation.conftest import FRAMES, World
from workflow_scripts.analysis.evaluations import read_evaluation
from workflow_scripts.evaluation import evaluate
from workflow_scripts.evaluation.scores import read_responses, read_scores
from workflow_scripts.settings import ModelSettings


@pytest.mark.slow
@pytest.mark.parametrize(("suite", "kind"), [("image", "base"), ("image", "blind"), ("video", "base")])
def test_the_command_evaluates_a_suite(
    world: World,
    tiny: ModelSettings,
    command: Callable[..., list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    suite: str,
    kind: str,
) -> None:
    frames = FRAMES if suite == "video" else 1
    output = tmp_path / kind / "tiny" / suite / f"frames-{frames}"
    more = ["--blind"] if kind == "blind" else []
    monkeypatch.setattr(sys, "argv", ["evaluate", *command(tiny, suite, output, "--batch-size", "16", *more)])
    evaluate.main()

    scores, responses = read_scores(output), read_responses(output)
    assert scores["model"] == tiny.model_dump(mode="json")
    assert (scores["suite"], scores["frames"], scores["blind"]) == (suite, frames, kind == "blind")
    assert scores["commits"] == {one.name: None for one in world.of(suite)}
    assert responses.groupby("benchmark").size().to_dict() == {one.name: one.questions for one in world.of(suite)}
    assert isinstance(responses["score"].dtype, type(pd.Series([0.0]).dtype))
    assert responses["frames"].dtype == "int32"
    assert (responses["frames"] == frames).all()
    read_evaluation(output)
