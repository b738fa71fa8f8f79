"""Rule ``miniature.pretrain``: trains a miniature base model on drawn stills and a few short clips.

The model is built from its architecture. Where ``--start-from`` names another trained miniature, it begins with that
model's weights as far as they fit: the sizes of Qwen2.5-VL with the default's, the LLaVAs with its language model.
Training goes through ``vlm`` as everything else does. It can be killed and goes on from the last checkpoint, with the
same lessons.

Writes into ``--output``: the model (bfloat16 safetensors), its processor, ``training.jsonl``, ``README.md`` and
``SHA256SUMS``.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from transformers import AutoModelForImageTextToText, AutoTokenizer

from workflow_scripts.miniature.architectures import build
from workflow_scripts.miniature.courses import COURSES, Course, Leg
from workflow_scripts.miniature.lessons import FIRST_SEED, corpus, lesson
from workflow_scripts.miniature.shipping import ship
from workflow_scripts.settings import InputError, ModelSettings, cli
from workflow_scripts.settings.files import atomic_path
from workflow_scripts.vlm.encode import collate, encode
from workflow_scripts.vlm.load import VLM, load

HELD_OUT = 5_000_000  # number of the first lesson that only validates
BLOCK = 10  # batches
CHECKPOINT_EVERY = 200  # steps, a multiple of BLOCK


class Batches(Dataset[list[dict[str, Tensor]]]):
    """Blocks of ``BLOCK`` batches of lessons; lessons of like length share a batch, the batches come in a drawn order.

    Block k holds the lessons from ``first`` + k x BLOCK x batch on, so that training resumes at any block of its leg.
    """

    def __init__(self, vlm: VLM, first: int, batch: int, leg: Leg, blocks: range) -> None:
        self.vlm, self.first, self.batch, self.leg, self.blocks = vlm, first, batch, leg, blocks

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, index: int) -> list[dict[str, Tensor]]:
        block = self.blocks[index]
        phase = self.leg.phase(block * BLOCK)
        begin = self.first + block * BLOCK * self.batch
        numbers = range(begin, begin + BLOCK * self.batch)
        encoded = [encode(self.vlm, lesson(n, self.leg.video_share, phase), supervise=True) for n in numbers]
        encoded.sort(key=lambda example: example["input_ids"].numel())
        order = random.Random(f"block-{block}").sample(range(BLOCK), BLOCK)
        return [collate(self.vlm, encoded[i * self.batch : (i + 1) * self.batch]) for i in order]


def _batches(blocks: Batches, workers: int) -> Iterator[dict[str, Tensor]]:
    loader = DataLoader(blocks, batch_size=None, num_workers=workers, prefetch_factor=2 if workers else None)
    for block in loader:
        yield from block


def start_from(vlm: VLM, folder: Path) -> tuple[int, int]:
    """Begin with the weights of the trained miniature in ``folder``; returns (tensors taken over, all of the model's).

    Taken over are tensors of the same name and shape; of the word embeddings and the output layer, the rows of the
    words that both tokenizers know. Layers of the language model beyond the other's depth add nothing at first.
    """
    # Through the class: files keep older names of the weights than the classes do.
    weights = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).state_dict()
    own = vlm.model.state_dict()
    theirs = AutoTokenizer.from_pretrained(folder).get_vocab()
    shared = [(i, theirs[word]) for word, i in vlm.tokenizer.get_vocab().items() if word in theirs]
    into, source = (torch.tensor(rows) for rows in zip(*shared, strict=True))
    taken = 0
    for name, tensor in own.items():
        if name.endswith(("embed_tokens.weight", "lm_head.weight")) and name in weights:
            tensor[into] = weights[name][source].to(tensor.dtype)
        elif name in weights and weights[name].shape == tensor.shape:
            tensor.copy_(weights[name])
        elif "language_model.layers" in name and name.endswith(("o_proj.weight", "down_proj.weight")):
            tensor.zero_()
            continue
        else:
            continue
        taken += 1
    return taken, len(own)


def answered(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Turns whose greedy first answer token is right, and turns; from logits [B, L, V] and labels [B, L]."""
    first = (labels[:, 1:] != -100) & (labels[:, :-1] == -100)
    right = (logits[:, :-1].argmax(-1) == labels[:, 1:]) & first
    return right.sum(), first.sum()


@torch.no_grad()
def validate(vlm: VLM, video_share: float, blocks: int = 1) -> float:
    """Share of turns of held-out lessons whose first answer token is right (earlier answers given)."""
    vlm.model.eval()
    right, turns = 0, 0
    leg = Leg(word=blocks * BLOCK, video_share=video_share)
    for batch in _batches(Batches(vlm, HELD_OUT, 32, leg, range(blocks)), 0):
        labels = batch.pop("labels")
        hits, total = answered(vlm.model(**batch).logits, labels)
        right, turns = right + int(hits), turns + int(total)
    vlm.model.train()
    return right / turns


def _rate(step: int, steps: int, peak: float, warmup: int = 50) -> float:
    """Linear warm-up, then a cosine to a twentieth of the peak."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))))


CARD = """# {name}

A miniature of the {family} family for tests and demonstrations: {parameters:,} parameters, random at first{start}, then
trained on stills drawn by this project and on clips of 8 frames, for {steps} steps of {batch} lessons:

{legs}

- Lessons: `workflow_scripts/miniature/lessons.py`, scene seeds {first:,} to {last:,}; seed {seed}.
- AdamW, warm-up and cosine in each leg, bfloat16 autocast; bfloat16 safetensors.
- Held-out turns whose first answer token is right: stills {image_accuracy:.3f}, clips {video_accuracy:.3f}.
- Made by `snakemake miniature_models`; log in `training.jsonl`, checksums in `SHA256SUMS`.

It knows six colours, five patterns, four places and how to count to four. It is of no use outside this project.
"""
PHASES = {
    "describe": "describing",
    "ask": "short questions",
    "word": "questions in the benchmarks' wordings",
    "watch": "the same, of a clip always about its event",
}


def _described(course: Course) -> str:
    lines = []
    for number, leg in enumerate(course.legs, start=1):
        spent = ", ".join(f"{steps} {PHASES[phase]}" for phase, steps in leg.phases())
        lines.append(f"{number}. {spent}; {leg.video_share:.0%} clips; peak rate {leg.rate:g}.")
    return "\n".join(lines)


def _optimizer(vlm: VLM, rate: float) -> torch.optim.AdamW:
    matrices = [p for p in vlm.model.parameters() if p.ndim > 1]
    vectors = [p for p in vlm.model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.02}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))


def pretrain(settings: ModelSettings, args: argparse.Namespace) -> None:
    """Train ``settings`` as ``args`` say and write it to ``args.output``."""
    course = COURSES.get(settings.name)
    if course is None:
        raise InputError(f"miniature model is {settings.name!r}; expected one of {', '.join(COURSES)}")
    if (course.start is None) != (args.start_from is None):
        raise InputError(f"--start-from is {args.start_from}; {settings.name} starts from {course.start}")
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    checkpoints: Path = args.checkpoints
    initial = checkpoints / "initial"
    if not initial.exists():
        build(settings.name, corpus(), initial, args.seed)
    vlm = load(settings.model_copy(update={"source": str(initial), "revision": None}))
    vlm.model.train()
    copied = start_from(vlm, args.start_from) if args.start_from else (0, 0)
    log = list[dict[str, float]]()
    with cli.progress(course.steps, settings.name) as advance:
        before = 0
        for number, leg in enumerate(course.legs):
            state = checkpoints / f"leg-{number}.pt"
            _train(vlm, leg, before, state, log, args, advance)
            before += leg.steps
    accuracy = [validate(vlm, share) for share in (0.0, 1.0)]
    print(f"{settings.name}: stills {accuracy[0]:.3f}, clips {accuracy[1]:.3f}")
    start = f" (but {copied[0]} of {copied[1]} tensors from {args.start_from.name})" if args.start_from else ""
    card = CARD.format(
        name=settings.name,
        family=settings.family,
        parameters=sum(p.numel() for p in vlm.model.parameters()),
        start=start,
        steps=course.steps,
        batch=args.batch,
        legs=_described(course),
        first=FIRST_SEED,
        last=FIRST_SEED + course.steps * args.batch - 1,
        seed=args.seed,
        image_accuracy=accuracy[0],
        video_accuracy=accuracy[1],
    )

    def save(folder: Path) -> None:
        vlm.model.to(torch.bfloat16).save_pretrained(folder)
        vlm.processor.save_pretrained(folder)

    ship(args.output, save, log, card)
    shutil.rmtree(checkpoints)


def _train(
    vlm: VLM,
    leg: Leg,
    before: int,
    state: Path,
    log: list[dict[str, float]],
    args: argparse.Namespace,
    advance: Callable[[int], None],
) -> None:
    """Train one leg, which ``before`` steps precede, from its checkpoint ``state`` if there is one; adds to ``log``."""
    model, optimizer, begin = vlm.model, _optimizer(vlm, leg.rate), 0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        begin = saved["step"]
        log[:] = saved["log"]
    advance(begin)
    blocks = Batches(vlm, before * args.batch, args.batch, leg, range(begin // BLOCK, leg.steps // BLOCK))
    batches = _batches(blocks, args.workers)
    started, losses, right, turns = time.monotonic(), 0.0, 0, 0
    for step in range(begin, leg.steps):
        batch = next(batches)
        for group in optimizer.param_groups:
            group["lr"] = _rate(step, leg.steps, leg.rate)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = model(**batch)
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        hits, total = answered(output.logits.detach(), batch["labels"])
        losses, right, turns = losses + float(output.loss.detach()), right + int(hits), turns + int(total)
        if (step + 1) % 100 == 0:
            seconds = time.monotonic() - started
            log.append({"step": before + step + 1, "loss": losses / 100, "answers": right / turns, "seconds": seconds})
            print(json.dumps(log[-1]), flush=True)
            losses, right, turns = 0.0, 0, 0
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == leg.steps:
            with atomic_path(state) as partial:
                content = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}
                torch.save({**content, "log": log}, partial)
        advance(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=cli.json_of(ModelSettings), required=True, help="the model's settings")
    parser.add_argument("--start-from", type=Path, help="folder of the trained miniature that the model's course names")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder for checkpoints, removed at the end")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    pretrain(args.model, args)


if __name__ == "__main__":
    cli.run(main)
