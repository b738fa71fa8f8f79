"""Kernels that a recipe may ask for and the locked environment does not hold."""

import importlib.util

from workflow_scripts.settings import InputError, ModelSettings, RecipeSettings

LIGER = {"rope": True, "rms_norm": True, "swiglu": True, "cross_entropy": False, "fused_linear_cross_entropy": False}
"""What of liger-kernel is used. Not its losses: the loss here is no mean over one forward pass (`loss.py`)."""


def check_kernels(recipe: RecipeSettings, model: ModelSettings) -> None:
    """Raise InputError where a package is absent that the recipe's kernels need, or they do not take the precision."""
    key = f"recipes.{recipe.name}"
    if recipe.attention == "flash_attention_2":
        _need("flash_attn", "flash-attn", f"{key}.attention is flash_attention_2", "or sdpa, torch's own")
        if model.precision != "bfloat16":
            raise InputError(
                f"{key}.attention is flash_attention_2, and models.{model.name}.precision is {model.precision}; "
                "expected bfloat16, or attention: sdpa"
            )
    if recipe.fused_kernels:
        _need("liger_kernel", "liger-kernel", f"{key}.fused_kernels is true", "or false")


def kernel_packages(recipe: RecipeSettings) -> list[str]:
    """Packages beyond the locked environment that compute a run of the recipe."""
    wanted = {"flash-attn": recipe.attention == "flash_attention_2", "liger-kernel": recipe.fused_kernels}
    return [package for package, used in wanted.items() if used]


def _need(module: str, package: str, setting: str, otherwise: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise InputError(f"{setting}, but the package {package} is not installed; expected it there, {otherwise}")
