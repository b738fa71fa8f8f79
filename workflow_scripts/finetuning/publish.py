"""The weights of a run as others load them: a folder for transformers' Auto classes, with processor.

Full weights are written in the model's precision. For LoRA the adapter is kept, and the folder holds the weights with
the adapter merged in.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers.integrations.deepspeed import set_hf_deepspeed_config, unset_hf_deepspeed_config

from workflow_scripts.finetuning.spec import RunSpec
from workflow_scripts.finetuning.trainer import VideoTrainer
from workflow_scripts.settings.files import atomic_path
from workflow_scripts.vlm.load import load

NOT_WEIGHTS = shutil.ignore_patterns("training_args.bin")


def publish(trainer: VideoTrainer, spec: RunSpec, folder: Path, adapter: Path | None = None) -> None:
    """Write the trainer's weights to `folder`, and for LoRA the adapter to `adapter`. All processes call it.

    Weights are written as they are trained. Where that is not what is wanted they are loaded again, without the
    trainer, by the first process alone: to merge an adapter, to change precision, and for the names of DeepSpeed's.
    """
    trained = Path(trainer.args.output_dir) / ".trained"
    trainer.save_model(str(trained))
    if trainer.is_world_process_zero():
        lora = spec.recipe.method == "lora"
        precision = getattr(torch, spec.model.precision)
        base = load(spec.model, with_model=False)
        with atomic_path(folder) as partial:
            if lora or spec.recipe.deepspeed is not None or trainer.model.dtype != precision:
                settings = spec.model
                if not lora:
                    base.processor.save_pretrained(trained)
                    settings = spec.model.model_copy(update={"source": str(trained), "revision": None})
                with _unsharded(trainer):
                    whole = load(settings, dtype=precision, adapter=trained if lora else None)
                whole.model.save_pretrained(partial)
            else:
                shutil.copytree(trained, partial, ignore=NOT_WEIGHTS)
            base.processor.save_pretrained(partial)
        if lora and adapter is not None:
            with atomic_path(adapter) as partial:
                shutil.copytree(trained, partial, ignore=NOT_WEIGHTS)
        shutil.rmtree(trained)
    trainer.accelerator.wait_for_everyone()


@contextmanager
def _unsharded(trainer: VideoTrainer) -> Iterator[None]:
    """Models loaded meanwhile are whole: under ZeRO-3 transformers shards them in collectives of all processes."""
    config = getattr(trainer.args, "hf_deepspeed_config", None)  # set only where the recipe asks for DeepSpeed
    unset_hf_deepspeed_config()
    try:
        yield
    finally:
        if config is not None:
            set_hf_deepspeed_config(config)
