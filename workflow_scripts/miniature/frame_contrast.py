"""Trains a small DINOv2 model on drawn frames without labels: views of one frame alike, of two frames not (SimCLR).

Frames are of video scenes of seeds from 31,000,000, one frame a scene, so that two frames of a batch differ in content.
The views differ by a slight crop, a slight change of brightness and noise: what the camera does, not what happens.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import BitImageProcessor, Dinov2Model

from workflow_scripts.miniature import confusion
from workflow_scripts.miniature.architectures import build
from workflow_scripts.miniature.budget_lessons import HELD_OUT, cases, clip_of, stored
from workflow_scripts.miniature.render import render
from workflow_scripts.miniature.scene import draw_video_scene
from workflow_scripts.miniature.shipping import ship
from workflow_scripts.miniature.steps import Plan, train
from workflow_scripts.predictors.embedding import FrameEmbedder
from workflow_scripts.predictors.similarity import Likeness, likeness, smallest_budget
from workflow_scripts.settings import DinoSettings
from workflow_scripts.settings.files import atomic_path
from workflow_scripts.video.sampling import uniform_indices

FIRST_SEED = 31_000_000
PROJECTED = 64
TEMPERATURE = 0.1
VALIDATION_SCENES = 200

CARD = """# {name}

A miniature DINOv2 for tests and demonstrations: {parameters:,} parameters, random at first, then trained without
labels for {steps} steps of {batch} frames to tell drawn frames apart (SimCLR, temperature {temperature}, on the class
token; the projection head is left out).

- Frames: video scenes of seeds {first:,} to {last:,}, one a scene; seed {seed}.
- Views: a crop of 85 to 100 % of the side, brightness within 10 %, noise.
- AdamW, peak rate {rate}, cosine; bfloat16 safetensors.
- Made by `python -m workflow_scripts.miniature.predictors`; log in `training.jsonl`, checksums in `SHA256SUMS`.

## Held out
The rule of stage `budgets` (`workflow_scripts/predictors/similarity.py`) at the threshold {threshold}, the best of a
grid on {scenes} scenes from seed {tuned:,}. On {scenes} others from seed {held_out:,}, one instruction each: accuracy
{accuracy:.3f}; the commonest budget for all would have {majority:.3f}. It does not see the instruction.

{table}
"""


def train_dinov2(settings: DinoSettings, budgets: Sequence[int], plan: Plan, output: Path) -> float:
    """Train, or go on training, and write the model to `output`; returns its held-out accuracy."""
    torch.manual_seed(plan.seed)
    initial = plan.checkpoints / "initial"
    if not initial.exists():
        with atomic_path(initial) as partial:
            build("dinov2", (), partial, plan.seed)
    model = Dinov2Model.from_pretrained(initial).train()
    processor = BitImageProcessor.from_pretrained(initial)
    mean, std = (torch.tensor(value).view(1, 3, 1, 1) for value in (processor.image_mean, processor.image_std))
    width = model.config.hidden_size
    head = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, PROJECTED))
    both = nn.ModuleList([model, head])

    def loss_of(step: int) -> Tensor:
        frames = _frames(range(step * plan.batch, (step + 1) * plan.batch))
        generator = torch.Generator().manual_seed(plan.seed * plan.steps + step)
        views = torch.cat([_view(frames, generator), _view(frames, generator)])
        return contrast(head(model(pixel_values=(views - mean) / std).pooler_output))

    log = train(both, both.parameters(), plan, output.name, loss_of)
    trained = plan.checkpoints / "trained"
    _save(model, processor, trained)
    embedder = FrameEmbedder(settings.model_copy(update={"source": str(trained), "revision": None}), device="cpu")
    true, likenesses = _likenesses(embedder, budgets, settings.frames, HELD_OUT + VALIDATION_SCENES)
    grid = [round(0.005 * k, 3) for k in range(40, 200)]
    predictions = {threshold: [smallest_budget(found, threshold) for found in likenesses] for threshold in grid}
    threshold = max(grid, key=lambda value: confusion.accuracy(true, predictions[value]))
    true, likenesses = _likenesses(embedder, budgets, settings.frames, HELD_OUT)
    predicted = [smallest_budget(found, threshold) for found in likenesses]
    card = CARD.format(
        name=output.name,
        parameters=sum(p.numel() for p in model.parameters()),
        steps=plan.steps,
        batch=plan.batch,
        temperature=TEMPERATURE,
        first=FIRST_SEED,
        last=FIRST_SEED + plan.steps * plan.batch - 1,
        seed=plan.seed,
        rate=plan.rate,
        threshold=threshold,
        scenes=VALIDATION_SCENES,
        tuned=30_000_000 + HELD_OUT + VALIDATION_SCENES,
        held_out=30_000_000 + HELD_OUT,
        accuracy=confusion.accuracy(true, predicted),
        majority=confusion.majority(true),
        table=confusion.table(true, predicted, budgets),
    )
    ship(output, lambda folder: _save(model, processor, folder), log, card)
    shutil.rmtree(plan.checkpoints, ignore_errors=True)
    return confusion.accuracy(true, predicted)


def contrast(vectors: Tensor) -> Tensor:
    """SimCLR's loss of [2 B, E]: row i and row i + B are views of one frame, all others are of other frames."""
    unit = functional.normalize(vectors, dim=-1)
    scores = (unit @ unit.T / TEMPERATURE).fill_diagonal_(float("-inf"))
    half = len(vectors) // 2
    partners = torch.cat([torch.arange(half, 2 * half), torch.arange(half)])
    return functional.cross_entropy(scores, partners)


def _save(model: Dinov2Model, processor: BitImageProcessor, folder: Path) -> None:
    model.to(torch.bfloat16).save_pretrained(folder)
    processor.save_pretrained(folder)


def _frames(numbers: Sequence[int]) -> Tensor:
    """One frame of each scene, float32 [B, 3, 64, 64] in 0..1."""
    frames = []
    for number in numbers:
        scene = draw_video_scene(FIRST_SEED + number)
        frames.append(stored(render(scene, random.Random(f"frame-{number}").randrange(scene.n_frames))))
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).float() / 255


def _view(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Each frame cropped, brightened and made noisy, by chance; [B, 3, 64, 64] in 0..1."""
    count = len(frames)

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=generator)

    scale = draw(0.85, 1.0, count)
    room = 1 - scale
    matrix = torch.zeros(count, 2, 3)
    matrix[:, 0, 0] = matrix[:, 1, 1] = scale
    matrix[:, 0, 2] = room * draw(-1, 1, count)
    matrix[:, 1, 2] = room * draw(-1, 1, count)
    grid = functional.affine_grid(matrix, list(frames.shape), align_corners=False)
    seen = functional.grid_sample(frames, grid, align_corners=False, padding_mode="border")
    seen = seen * draw(0.9, 1.1, count, 1, 1, 1)
    seen = seen + draw(0, 0.03, count, 1, 1, 1) * torch.randn(seen.shape, generator=generator)
    return seen.clamp(0, 1)


def _likenesses(
    embedder: FrameEmbedder, budgets: Sequence[int], frames: int, first: int
) -> tuple[list[int], list[dict[int, Likeness]]]:
    """The true budgets of held-out scenes from `first`, and what the similarity rule sees of them."""
    true, found = [], []
    for number in range(first, first + VALIDATION_SCENES):
        case = cases(number)[0]
        clip = clip_of(case.scene, frames)
        [vectors] = embedder([clip.frames])
        true.append(case.budget)
        found.append({budget: likeness(vectors, uniform_indices(len(clip), budget)) for budget in budgets})
    return true, found
