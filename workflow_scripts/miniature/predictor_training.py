"""Trains a small vision-language model to say how many frames an instruction needs."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from workflow_scripts.miniature import confusion
from workflow_scripts.miniature.architectures import build
from workflow_scripts.miniature.budget_lessons import FIRST_SEED, HELD_OUT, budget_lesson, cases, clip_of, corpus
from workflow_scripts.miniature.lessons import corpus as world_corpus
from workflow_scripts.miniature.shipping import ship
from workflow_scripts.miniature.steps import WEIGHT_DECAY, Plan, train
from workflow_scripts.predictors.choice import choose
from workflow_scripts.predictors.prompt import letters, option_orders, prompt
from workflow_scripts.settings import PredictorSettings
from workflow_scripts.settings.files import atomic_path
from workflow_scripts.vlm.conversation import Example, Turn
from workflow_scripts.vlm.encode import collate, encode
from workflow_scripts.vlm.generate import option_logprobs
from workflow_scripts.vlm.load import VLM, load

VALIDATION_SCENES = 300


CARD = """# {name}

A miniature budget predictor of the {family} family for tests and demonstrations: {parameters:,} parameters, {start},
trained for {steps} steps of {batch} lessons to answer, from an instruction and {frames} uniform frames of a drawn clip,
which of the admissible budgets ({budgets}) is the smallest that shows what the instruction needs.

- Lessons: `workflow_scripts/miniature/budget_lessons.py`, video scenes of seeds {first:,} to {last:,}, three
  instructions each, in the very prompt of stage `budgets` with options in random order; seed {seed}.
- AdamW, peak rate {rate}, cosine; bfloat16 safetensors.
- Made by `python -m workflow_scripts.miniature.predictors`; log in `training.jsonl`, checksums in `SHA256SUMS`.

## Held out
{scenes} scenes from seed {held_out:,}, one instruction each, likelihoods averaged over {orders} orders of the options:
accuracy {accuracy:.3f}; the commonest budget for all would have {majority:.3f}.

{table}

An event that none of its {frames} frames shows may be of any length: where {frames} frames do not suffice, only the
instruction tells the other budgets apart, and three in ten instructions say nothing. A predictor that reads no
instruction, always knows whether {frames} frames suffice, and else says the commonest other budget, would have
{ceiling:.3f}.
"""


def train_predictor(predictor: PredictorSettings, budgets: Sequence[int], plan: Plan, output: Path) -> float:
    """Train, or go on training, and write the model to `output`; returns its held-out accuracy.

    Killed, it goes on from `plan.checkpoints` with the same lessons; the folder is removed at the end.
    """
    torch.manual_seed(plan.seed)
    vlm = _start(predictor, budgets, plan)
    model = vlm.model.train()
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decay, "weight_decay": WEIGHT_DECAY}, {"params": plain, "weight_decay": 0.0}]

    def loss_of(step: int) -> Tensor:
        numbers = range(step * plan.batch, (step + 1) * plan.batch)
        loss: Tensor = model(**_batch(vlm, numbers, predictor, budgets)).loss
        return loss

    log = train(model, groups, plan, predictor.name, loss_of)
    # The weights are judged as they are shipped.
    model.to(torch.bfloat16).to(torch.float32).eval()
    true, predicted = held_out(vlm, predictor, budgets)
    ship(output, lambda folder: _save(vlm, folder), log, _card(vlm, predictor, budgets, plan, true, predicted))
    shutil.rmtree(plan.checkpoints, ignore_errors=True)
    return confusion.accuracy(true, predicted)


def held_out(
    vlm: VLM, predictor: PredictorSettings, budgets: Sequence[int], batch: int = 8
) -> tuple[list[int], list[int]]:
    """True and predicted budgets of one instruction for each of the held-out scenes."""
    orders = option_orders(len(budgets), predictor.option_orders, predictor.seed)
    asked = [cases(HELD_OUT + number)[0] for number in range(VALIDATION_SCENES)]
    predicted = []
    for start in range(0, len(asked), batch):
        examples = []
        for case in asked[start : start + batch]:
            clip = clip_of(case.scene, predictor.frames)
            texts = [prompt(predictor.question, case.instruction, budgets, order, predictor.frames) for order in orders]
            examples += [Example((Turn("user", text),), clip) for text in texts]
        logprobs = option_logprobs(vlm, examples, [letters(budgets)] * len(examples))
        rows = logprobs.reshape(-1, len(orders), len(budgets))
        predicted += [choose(row, orders, budgets).budget for row in rows]
    return [case.budget for case in asked], predicted


def _start(predictor: PredictorSettings, budgets: Sequence[int], plan: Plan) -> VLM:
    """The trained miniature to start from, or a new model with random weights and its own tokenizer."""
    folder = plan.start_from or plan.checkpoints / "initial"
    if not folder.exists():
        texts = [*world_corpus(), *corpus(predictor, budgets)]
        with atomic_path(folder) as partial:
            build(predictor.name.removeprefix("predictor-"), texts, partial, plan.seed)
    settings = predictor.model.model_copy(update={"source": str(folder), "revision": None})
    return load(settings, dtype=torch.float32)


def _batch(vlm: VLM, numbers: Sequence[int], predictor: PredictorSettings, budgets: Sequence[int]) -> dict[str, Tensor]:
    return collate(vlm, [encode(vlm, budget_lesson(n, predictor, budgets), supervise=True) for n in numbers])


def _save(vlm: VLM, folder: Path) -> None:
    vlm.model.to(torch.bfloat16).save_pretrained(folder)
    vlm.processor.save_pretrained(folder)


def _card(
    vlm: VLM,
    predictor: PredictorSettings,
    budgets: Sequence[int],
    plan: Plan,
    true: Sequence[int],
    predicted: Sequence[int],
) -> str:
    others = [budget for budget in true if budget != predictor.frames]
    ceiling = (len(true) - len(others) + confusion.majority(others) * len(others)) / len(true)
    return CARD.format(
        name=predictor.name,
        family=vlm.settings.family,
        parameters=sum(p.numel() for p in vlm.model.parameters()),
        start=f"started from `{plan.start_from.name}`" if plan.start_from else "random at first",
        steps=plan.steps,
        batch=plan.batch,
        frames=predictor.frames,
        budgets=", ".join(map(str, budgets)),
        first=FIRST_SEED,
        last=FIRST_SEED + plan.steps * plan.batch - 1,
        seed=plan.seed,
        rate=plan.rate,
        scenes=len(true),
        held_out=FIRST_SEED + HELD_OUT,
        orders=predictor.option_orders,
        accuracy=confusion.accuracy(true, predicted),
        majority=confusion.majority(true),
        table=confusion.table(true, predicted, budgets),
        ceiling=ceiling,
    )
