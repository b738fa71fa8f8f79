"""What `vlm.trainable` makes trainable, asserted parameter by parameter, and the rate of each for the optimizer."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from torch import nn

from workflow_scripts.settings import RecipeSettings


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
