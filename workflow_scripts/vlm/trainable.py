"""What of a model a recipe trains: parts, frozen or not, full or by low-rank adapters.

A part with rate 0 is frozen. With LoRA the adapters sit on the linear layers of the other parts whose name ends in one
of the recipe's targets, and only adapters move.
"""

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
