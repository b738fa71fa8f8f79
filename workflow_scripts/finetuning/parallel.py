"""The DeepSpeed configuration of a recipe."""

from typing import Any

from workflow_scripts.settings import RecipeSettings


def deepspeed_config(recipe: RecipeSettings, *, half: bool) -> dict[str, Any] | None:
    """ZeRO stage 2 or 3 with float32 master weights, `half`: compute in bfloat16. None where the recipe asks for none.

    Gradients are added up in float32: in bfloat16 many micro-batches round away what each adds.

    "auto" is filled in by transformers from its training arguments. One DeepSpeed step is one backward pass marked as
    the last of its optimizer step, so its own accumulation stays at 1.

    What is offloaded lies in pinned memory. The optimizer then steps on the CPU by torch's own fused AdamW:
    DeepSpeed's CPU Adam would have to be compiled on the machine that trains (`zero_force_ds_cpu_optimizer`).
    """
    if recipe.deepspeed is None:
        return None
    _compile_nothing()
    zero: dict[str, Any] = {
        "stage": {"zero2": 2, "zero3": 3}[recipe.deepspeed],
        "overlap_comm": True,
        "contiguous_gradients": True,
    }
    if recipe.deepspeed == "zero3":
        zero["stage3_gather_16bit_weights_on_model_save"] = True
    place = {"device": "cpu", "pin_memory": True}
    if recipe.offload != "none":
        zero["offload_optimizer"] = place
    if recipe.offload == "parameters":
        zero["offload_param"] = place
    return {
        "zero_optimization": zero,
        "bf16": {"enabled": half},
        "data_types": {"grad_accum_dtype": "fp32"},
        "gradient_clipping": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "train_batch_size": "auto",
        "gradient_accumulation_steps": 1,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
    }


def _compile_nothing() -> None:
    """Keep DeepSpeed from compiling its shared-memory collectives for processes on CPUs when they first meet.

    That takes minutes, each time for all processes at once, and only its inference engine calls them.
    """
    from deepspeed import ops

    ops.__compatible_ops__["deepspeed_shm_comm"] = False
