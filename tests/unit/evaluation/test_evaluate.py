"""The command, with a small random model of a real class, on all eight benchmarks."""

import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

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


@pytest.mark.slow
def test_an_adapter_beside_its_base_answers_as_merged(
    world: World, command: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft import LoraConfig, get_peft_model

    from workflow_scripts.vlm.load import load

    base = ModelSettings(
        name="base",
        family="qwen2.5-vl",
        source="resources/miniature/qwen2.5-vl-3b",
        size_b=0.001,
        max_pixels=4096,
        video_max_pixels=4096,
        precision="float32",
        max_length=4096,
    )
    adapter, merged = tmp_path / "adapter", tmp_path / "merged"
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=64, target_modules=["q_proj", "v_proj", "o_proj"], init_lora_weights=False)
    get_peft_model(load(base).model, config).save_pretrained(adapter)
    whole = load(base, adapter=adapter)
    whole.model.save_pretrained(merged)
    whole.processor.save_pretrained(merged)

    def answers(name: str, model: ModelSettings, *more: str) -> pd.DataFrame:
        output = tmp_path / name
        short = [world.settings["mme"], world.settings["pope"]]
        arguments = command(model, "image", output, "--batch-size", "16", *more, only=short)
        monkeypatch.setattr(sys, "argv", ["evaluate", *arguments])
        evaluate.main()
        return read_responses(output)

    beside = answers("beside", base, "--adapter", str(adapter), "--answers", str(tmp_path / "answers"))
    pd.testing.assert_frame_equal(beside, answers("merged", base.model_copy(update={"source": str(merged)})))
    # The base alone says something else, and what the adapter said is not taken for it.
    plain = answers("plain", base, "--answers", str(tmp_path / "answers"))
    assert (plain["response"] != beside["response"]).mean() > 0.05
    assert read_scores(tmp_path / "plain")["generated"] == len(plain)
