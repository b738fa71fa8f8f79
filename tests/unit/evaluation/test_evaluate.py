"""The command, with a small random model of a real class, on all eight benchmarks."""

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.unit.evaluation.conftest import FRAMES, World
from workflow_scripts.analysis.evaluations import read_evaluation
from workflow_scripts.evaluation import evaluate
from workflow_scripts.evaluation.scores import read_responses, read_scores
from workflow_scripts.settings import ModelSettings


@pytest.fixture(scope="module")
def model(world: World, tmp_path_factory: pytest.TempPathFactory) -> ModelSettings:
    """Random weights; every token ends its answer, as a trained model's one-token answers do."""
    from workflow_scripts.miniature.architectures import build

    folder = tmp_path_factory.mktemp("model") / "tiny"
    corpus = [prompt for own in world.tasks.values() for task in own.values() for prompt in _prompts(task)]
    build("qwen2.5-vl-3b", corpus, folder, seed=0)
    file = folder / "generation_config.json"
    config = json.loads(file.read_text())
    config["eos_token_id"] = list(range(600))
    file.write_text(json.dumps(config))
    return ModelSettings(
        name="tiny",
        family="qwen2.5-vl",
        source=str(folder),
        size_b=0.001,
        max_pixels=4096,
        video_max_pixels=4096,
        precision="float32",
        max_length=4096,
    )


def _prompts(task: object) -> list[str]:
    return [task.doc_to_text(doc) for doc in task.dataset[task.config.test_split]]  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize(("suite", "kind"), [("image", "base"), ("image", "blind"), ("video", "base")])
def test_the_command_evaluates_a_suite(
    world: World, model: ModelSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suite: str, kind: str
) -> None:
    frames = FRAMES if suite == "video" else 1
    output = tmp_path / kind / "tiny" / suite / f"frames-{frames}"
    benchmarks = json.dumps([one.model_dump(mode="json") for one in world.of(suite)])
    arguments = ["evaluate", "--model", model.model_dump_json(), "--suite", suite, "--benchmarks", benchmarks]
    arguments += ["--tasks", str(world.root / "tasks"), "--root", str(world.root), "--frames", str(frames)]
    arguments += ["--store", str(world.store)] if suite == "video" else []
    arguments += ["--blind"] if kind == "blind" else []
    monkeypatch.setattr(
        sys, "argv", [*arguments, "--batch-size", "16", "--device", "cpu", "--threads", "1", "--output", str(output)]
    )
    evaluate.main()

    scores, responses = read_scores(output), read_responses(output)
    assert scores["model"] == model.model_dump(mode="json")
    assert (scores["suite"], scores["frames"], scores["blind"]) == (suite, frames, kind == "blind")
    assert scores["commits"] == {one.name: None for one in world.of(suite)}
    assert responses.groupby("benchmark").size().to_dict() == {one.name: one.questions for one in world.of(suite)}
    assert isinstance(responses["score"].dtype, type(pd.Series([0.0]).dtype))
    assert responses["frames"].dtype == "int32"
    assert (responses["frames"] == frames).all()
    read_evaluation(output)
