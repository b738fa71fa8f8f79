"""A run's settings in transformers' words."""

from pathlib import Path

import torch
from transformers import TrainingArguments

from workflow_scripts.finetuning.kernels import LIGER, check_kernels
from workflow_scripts.finetuning.parallel import deepspeed_config
from workflow_scripts.finetuning.spec import RunSpec

WAIT_SECONDS = 3 * 3600  # the others wait while the first process writes the weights of the largest model


def training_arguments(spec: RunSpec, folder: Path, *, processes: int, workers: int) -> TrainingArguments:
    """The run's settings in transformers' words; `folder` holds its checkpoints.

    Raises InputError where the recipe's kernels are not installed.
    """
    recipe = spec.recipe
    check_kernels(recipe, spec.model)
    half = spec.model.precision == "bfloat16"
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=1,  # the sampler runs through all epochs
        per_device_train_batch_size=max(1, recipe.batch_size // processes),
        gradient_accumulation_steps=1,
        learning_rate=max(recipe.learning_rates.model_dump().values()),
        lr_scheduler_type=recipe.schedule,
        warmup_steps=recipe.warmup_ratio,  # below 1 it is a share of the steps
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        seed=spec.seed,
        bf16=half,
        deepspeed=deepspeed_config(recipe, half=half),
        activation_checkpointing=recipe.activation_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False},
        use_liger_kernel=recipe.fused_kernels,
        liger_kernel_config=LIGER,
        use_cpu=not torch.cuda.is_available(),
        ddp_backend=None if processes == 1 else "nccl" if torch.cuda.is_available() else "gloo",
        ddp_find_unused_parameters=False,
        ddp_timeout=WAIT_SECONDS,
        dataloader_num_workers=workers,
        dataloader_prefetch_factor=1 if workers else None,  # an item is a whole step
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",  # `Callbacks` asks for checkpoints
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
    )
