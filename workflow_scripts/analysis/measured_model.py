"""A model whose gradients are measured: the weights of a checkpoint, and of them what its recipe trains."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import Parameter

from workflow_scripts.settings import ModelSettings, RecipeSettings
from workflow_scripts.theory.gradients import trainable
from workflow_scripts.vlm.load import VLM, load
from workflow_scripts.vlm.parts import part_of as part_of_name
from workflow_scripts.vlm.trainable import prepare

LAYER = re.compile(r"\blayers\.(\d+)\.")


@dataclass(frozen=True)
class Measured:
    """A loaded model, its trained parameters by name, and the part and the group of each.

    Groups: vision_tower, projector, the language model's layers as `layer <number>`, and language_model for the rest of
    it, its embeddings, last norm and head.
    """

    vlm: VLM
    named: list[tuple[str, Parameter]]
    part_of: Mapping[str, str]
    group_of: Mapping[str, str]


def load_measured(
    settings: ModelSettings, recipe: RecipeSettings, *, device: str, seed: int, adapter: Path | None, exact_steps: bool
) -> Measured:
    """Load a checkpoint in the number format it computes in, or in float32 where small steps are to be exact.

    Args:
        settings: the model, its source the weights to measure; with an adapter those it was trained on.
        recipe: says what is trained. Without an adapter, a LoRA recipe gets new adapters, as a run starts with.
        adapter: a trained adapter.
        exact_steps: whether weights are moved: float32.
    """
    torch.manual_seed(seed)
    view = {"temporal_positions": recipe.temporal_positions, "total_pixels": recipe.total_pixels}
    dtype = torch.float32 if exact_steps else None
    vlm = load(settings, device=device, dtype=dtype, adapter=adapter, merge=False, spread=True, **view)  # type: ignore[arg-type]
    if adapter is None:
        prepare(vlm, recipe)
    else:
        for name, parameter in vlm.model.named_parameters():
            parameter.requires_grad_(".lora_" in name)
    if recipe.activation_checkpointing:
        vlm.model.activation_checkpointing_enable({"use_reentrant": False})
        vlm.model.train()  # checkpointing works in training alone; dropout does not belong to the loss
        for module in vlm.model.modules():
            if isinstance(module, nn.Dropout):
                module.eval()
    named = trainable(vlm.model.named_parameters())
    part_of = {name: part_of_name(vlm, name) for name, _ in named}
    return Measured(vlm, named, part_of, {name: group(name, part_of[name]) for name, _ in named})


def group(name: str, part: str) -> str:
    """The group of a parameter by its name.

    >>> group("model.language_model.layers.3.mlp.up_proj.weight", "language_model")
    'layer 3'
    """
    layer = LAYER.search(name)
    return f"layer {layer[1]}" if part == "language_model" and layer else part
