"""Rule `miniature.predictors`: trains a miniature budget predictor on drawn scenes that nothing else is drawn from.

    python -m workflow_scripts.miniature.predictors --name predictor-qwen2.5-vl-3b \\
        --checkpoints .cache/predictor-qwen2.5-vl-3b --output resources/miniature/predictor-qwen2.5-vl-3b

Writes into `--output`: the model (bfloat16 safetensors), its processor, `training.jsonl`, `README.md` (how it was
trained and how often it is right), `SHA256SUMS`. A vision-language model starts from random weights with its own
tokenizer, or, with `--start-from`, from a trained miniature of the same family with that miniature's tokenizer. Killed,
the rule goes on from `--checkpoints`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from workflow_scripts.miniature.architectures import RESOLUTION as SIDE
from workflow_scripts.miniature.evidence import BUDGETS
from workflow_scripts.miniature.frame_contrast import train_dinov2
from workflow_scripts.miniature.predictor_training import train_predictor
from workflow_scripts.miniature.steps import Plan
from workflow_scripts.settings import DinoSettings, InputError, ModelSettings, PredictorSettings, cli
from workflow_scripts.settings.models import Family

DINOV2 = "dinov2"
FAMILIES: dict[str, Family] = {"predictor-qwen2.5-vl-3b": "qwen2.5-vl", "predictor-qwen3-vl-8b": "qwen3-vl"}
STEPS = {DINOV2: 150, "predictor-qwen2.5-vl-3b": 300, "predictor-qwen3-vl-8b": 800}
BATCH = {DINOV2: 64, **dict.fromkeys(FAMILIES, 16)}
RATE = {DINOV2: 1e-3, **dict.fromkeys(FAMILIES, 2e-3)}


def settings_of(name: str) -> PredictorSettings:
    """How a miniature predictor is asked, unless `--predictor` says otherwise: the study's question, 64 x 64 pixels."""
    model = ModelSettings(
        name=name,
        family=FAMILIES[name],
        source=name,
        size_b=0.001,
        min_pixels=SIDE**2,
        max_pixels=SIDE**2,
        video_max_pixels=SIDE**2,
        precision="float32",
        max_length=4096,
    )
    return PredictorSettings(name=name, model=model)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", choices=[*FAMILIES, DINOV2], required=True)
    parser.add_argument("--predictor", type=cli.json_of(PredictorSettings), help="how it will be asked, as JSON")
    parser.add_argument("--dino", type=cli.json_of(DinoSettings), help="how dinov2 will be used, as JSON")
    parser.add_argument("--start-from", type=Path, help="folder of a trained miniature of the same family")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--rate", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder for checkpoints, removed at the end")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    if args.start_from and not args.start_from.is_dir():
        raise InputError(f"--start-from {args.start_from} is not a folder; expected a trained miniature")
    torch.set_num_threads(args.threads)
    plan = Plan(
        steps=args.steps or STEPS[args.name],
        batch=args.batch or BATCH[args.name],
        rate=args.rate or RATE[args.name],
        seed=args.seed,
        start_from=args.start_from,
        checkpoints=args.checkpoints,
    )
    if args.name == DINOV2:
        dino = args.dino or DinoSettings(source=str(args.output), resolution=SIDE, frames=max(BUDGETS))
        accuracy = train_dinov2(dino, BUDGETS, plan, args.output)
    else:
        predictor = (args.predictor or settings_of(args.name)).model_copy(update={"name": args.name})
        accuracy = train_predictor(predictor, BUDGETS, plan, args.output)
    print(f"{args.name}: held-out accuracy {accuracy:.3f}")


if __name__ == "__main__":
    cli.run(main)
