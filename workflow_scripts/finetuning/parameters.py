"""What is trained, at which rate: parts of the model, frozen or not, full or by low-rank adapters.

A part with rate 0 is frozen. With LoRA the adapters sit on the linear layers of the other parts whose name ends in one
of the recipe's targets, and only adapters move. What is trainable is asserted parameter by parameter.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from torch import nn

from workflow_scripts.settings import InputError, RecipeSettings
from workflow_scripts.vlm.load import VLM
from workflow_scripts.vlm.parts import part_of as part_of_name


def prepare(vlm: VLM, recipe: RecipeSettings) -> tuple[nn.Module, dict[str, str]]:
    """The model to train and the part of each of its parameters, by name. Sets `requires_grad`; adds adapters for LoRA.

    Raises InputError when a part has a rate but nothing in it can move.
    """
    rates = recipe.learning_rates.model_dump()
    for name, parameter in vlm.model.named_parameters():
        parameter.requires_grad_(recipe.method == "full" and rates[part_of_name(vlm, name)] > 0)
    # Under activation checkpointing transformers has every embedding's output ask for a gradient, which its reentrant
    # form would need; it would drag the backward pass through a frozen vision tower in vain.
    vlm.model.enable_input_require_grads = lambda: None  # type: ignore[method-assign]
    model = vlm.model if recipe.method == "full" else _with_adapters(vlm, recipe)
    return model, {name: part_of_name(vlm, name) for name, _ in model.named_parameters()}


def _with_adapters(vlm: VLM, recipe: RecipeSettings) -> nn.Module:
    from peft import LoraConfig, get_peft_model

    rates = recipe.learning_rates.model_dump()
    layers: dict[str, list[str]] = {part: [] for part, rate in rates.items() if rate > 0}
    for name, module in vlm.model.named_modules():
        if isinstance(module, nn.Linear) and name.rpartition(".")[2] in recipe.lora.targets:
            layers.get(part_of_name(vlm, name), []).append(name)
    for part, names in layers.items():
        if not names:
            raise InputError(
                f"recipe {recipe.name}: learning_rates.{part} is {rates[part]:g}, but no linear layer of the {part} "
                f"ends in one of lora.targets ({', '.join(recipe.lora.targets)}); expected rate 0 or a target there"
            )
    settings = LoraConfig(
        r=recipe.lora.rank,
        lora_alpha=recipe.lora.alpha,
        lora_dropout=recipe.lora.dropout,
        target_modules=[name for names in layers.values() for name in names],
    )
    return get_peft_model(vlm.model, settings)


def count_trainable(model: nn.Module, part_of: Mapping[str, str], recipe: RecipeSettings) -> dict[str, int]:
    """Trainable parameters of each part, after asserting of every parameter that it moves if and only if it should."""
    rates = recipe.learning_rates.model_dump()
    counts: Counter[str] = Counter(dict.fromkeys(rates, 0))
    for name, parameter in model.named_parameters():
        part = part_of[name]
        wanted = rates[part] > 0 and (recipe.method == "full" or ".lora_" in name)
        if parameter.requires_grad != wanted:
            raise AssertionError(
                f"parameter {name} of the {part} has requires_grad={parameter.requires_grad}; expected {wanted}"
            )
        if wanted:
            counts[part] += getattr(parameter, "ds_numel", parameter.numel())  # ZeRO-3 leaves an empty tensor here
    for part, rate in rates.items():
        if (rate > 0) != (counts[part] > 0):
            raise AssertionError(f"part {part} has rate {rate:g} and {counts[part]} trainable parameters")
    return dict(counts)


def optimizer_groups(
    model: nn.Module, part_of: Mapping[str, str], recipe: RecipeSettings, decayed: frozenset[str]
) -> list[dict[str, Any]]:
    """Parameter groups for AdamW: by part, with its rate, with and without weight decay. Each has its `part`."""
    rates = recipe.learning_rates.model_dump()
    groups = []
    for part, rate in rates.items():
        trainable = [(name, p) for name, p in model.named_parameters() if p.requires_grad and part_of[name] == part]
        for with_decay in (True, False):
            members = [p for name, p in trainable if (name in decayed) == with_decay]
            decay = recipe.weight_decay if with_decay else 0.0
            groups.append({"params": members, "lr": rate, "weight_decay": decay, "part": part})
    return [group for group in groups if group["params"]]
