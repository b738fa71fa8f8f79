"""On every family: training lowers the loss, and what is saved is what was trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from workflow_scripts.finetuning import train
from workflow_scripts.finetuning.trainer import VideoTrainer
from workflow_scripts.settings import ModelSettings
from workflow_scripts.vlm.conversation import Example, Turn
from workflow_scripts.vlm.encode import collate, encode
from workflow_scripts.vlm.load import VLM, load
from workflow_scripts.vlm.media import Clip

from .conftest import SHIPPED
from .test_train import LORA, summary

UNUSED = ("image_newline", "post_layernorm", "vision_tower.encoder.layers.4.")
"""Weights that no video's loss depends on: behind the features that are taken, or of images in tiles."""

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("families")]


def logits(vlm: VLM, model: Any = None) -> torch.Tensor:
    """Logits of a short conversation on a blue clip; `model` instead of the loaded one."""
    frames = torch.zeros(4, 64, 64, 3, dtype=torch.uint8)
    frames[..., 2] = 220
    clip = Clip(frames.numpy(), torch.arange(4).double().numpy(), 4.0)
    turns = (Turn("user", "Which color is the screen?"), Turn("assistant", "blue."))
    batch = collate(vlm, [encode(vlm, Example(turns, clip), supervise=True)])
    del batch["labels"]
    with torch.no_grad():
        result: torch.Tensor = (model or vlm.model)(**batch).logits
    return result


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Logits of a run's model at its end, before it is saved."""
    found: list[torch.Tensor] = []
    publish = train.publish

    def look(trainer: VideoTrainer, spec: Any, *rest: Any) -> None:
        model = trainer.accelerator.unwrap_model(trainer.model).eval()
        found.append(logits(load(spec.model, with_model=False), model))
        publish(trainer, spec, *rest)

    monkeypatch.setattr(train, "publish", look)
    return found


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}


@pytest.mark.parametrize("family", sorted(SHIPPED))
def test_full(family: str, world: Any, run_train: Callable[..., Path], in_memory: list[torch.Tensor]) -> None:
    model = world.shipped(family)
    run = run_train(model=model, epochs=2)
    loss = summary(run)["loss"]
    assert loss["mean_of_last_tenth"] < 0.7 * loss["first"]

    base, tuned = weights(Path(model["source"])), weights(run / "model")
    still = {name for name in base if torch.equal(base[name], tuned[name])}
    assert base.keys() == tuned.keys()
    assert all(any(piece in name for piece in UNUSED) for name in still), sorted(still)

    published = ModelSettings(**{**model, "source": str(run / "model")})
    assert torch.equal(logits(load(published)), in_memory[0])
    elsewhere = AutoModelForImageTextToText.from_pretrained(run / "model").eval()
    assert AutoProcessor.from_pretrained(run / "model").tokenizer.pad_token
    if model["video_pool_stride"] == 1:  # pooling a video's features is this project's, not transformers'
        torch.testing.assert_close(logits(load(published, with_model=False), elsewhere), in_memory[0])


@pytest.mark.parametrize("family", sorted(SHIPPED))
def test_lora(family: str, world: Any, run_train: Callable[..., Path], in_memory: list[torch.Tensor]) -> None:
    model = world.shipped(family)
    run = run_train(model=model, epochs=2, **LORA)
    loss = summary(run)["loss"]
    assert loss["mean_of_last_tenth"] < 0.85 * loss["first"]
    assert not torch.allclose(logits(load(ModelSettings(**model))), in_memory[0], atol=1e-2)

    merged = load(ModelSettings(**{**model, "source": str(run / "model")}))
    adapted = load(ModelSettings(**model), adapter=run / "adapter")
    for vlm in (merged, adapted):
        torch.testing.assert_close(logits(vlm), in_memory[0], atol=2e-4, rtol=1e-4)
