"""The weights of a run as others load them: a folder for transformers' Auto classes, with processor.

Full weights are written in the model's precision. For LoRA the adapter is kept, and the folder holds the weights with
the adapter merged in.
"""

import shutil
from pathlib import Path

import torch

from workflow_scripts.finetuning.spec import RunSpec
from workflow_scripts.finetuning.trainer import VideoTrainer
from workflow_scripts.settings.files import atomic_path
from workflow_scripts.vlm.load import load


def publish(trainer: VideoTrainer, spec: RunSpec, folder: Path, adapter: Path | None = None) -> None:
    """Write the trainer's weights to `folder`, and for LoRA the adapter to `adapter`. All processes call it.

    Weights are written as they are trained, then loaded again without the trainer to merge and to change precision.
    """
    trained = Path(trainer.args.output_dir) / ".trained"
    trainer.save_model(str(trained))
    if trainer.is_world_process_zero():
        lora = spec.recipe.method == "lora"
        settings = spec.model if lora else spec.model.model_copy(update={"source": str(trained), "revision": None})
        base = load(spec.model, with_model=False)
        if not lora:
            base.processor.save_pretrained(trained)
        merged = load(settings, dtype=getattr(torch, spec.model.precision), adapter=trained if lora else None)
        with atomic_path(folder) as partial:
            merged.model.save_pretrained(partial)
            base.processor.save_pretrained(partial)
        if lora and adapter is not None:
            with atomic_path(adapter) as partial:
                shutil.copytree(trained, partial, ignore=shutil.ignore_patterns("training_args.bin"))
        shutil.rmtree(trained)
    trainer.accelerator.wait_for_everyone()
