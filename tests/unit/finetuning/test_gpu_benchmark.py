"""The benchmark for a GPU: the shapes it builds are the published ones, and it runs from end to end without one."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from transformers import Qwen2_5_VLForConditionalGeneration

from workflow_scripts.settings.paper import PAPER

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def benchmark_module(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import gpu_finetuning

    yield gpu_finetuning
    for name in ("gpu_finetuning", "harness"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("shape", ["3b", "7b"])
def test_the_shapes_are_the_published_models(benchmark_module: Any, shape: str) -> None:
    numbers = {f"<|{name}|>": 0 for name in ("endoftext", "im_end", "image_pad", "video_pad")}
    numbers |= {"<|vision_start|>": 0, "<|vision_end|>": 0}
    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(
            benchmark_module.configuration(benchmark_module.SHAPES[shape], numbers)
        )
    parameters = sum(parameter.numel() for parameter in model.parameters())
    assert parameters / 1e9 == pytest.approx(PAPER["models"][f"qwen2.5-vl-{shape}"]["size_b"], abs=0.005)


@pytest.mark.slow
def test_it_runs_without_a_gpu(
    benchmark_module: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmark_module.harness, "RESULTS", tmp_path)
    arguments = ["--quick", "--shape", "tiny", "--batch-size", "2", "--steps", "3"]
    monkeypatch.setattr(sys, "argv", ["gpu_finetuning.py", *arguments])
    benchmark_module.main()
    written = json.loads((tmp_path / "gpu_finetuning.json").read_text())
    assert written["notes"]["device"] == "CPU: the figures say nothing about a GPU"
    cases = {row["case"] for row in written["rows"]}
    assert cases == {"tiny, full, 8 frames, on cpu", "tiny, full, hybrid frames, on cpu"}
    # Neither MFU nor predicted memory: they are of a GPU.
    assert {row["metric"] for row in written["rows"]} == {"training", "peak memory"}
    assert all(row["ours"] > 0 and row["peer"] > 0 for row in written["rows"])
