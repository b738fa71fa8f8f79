"""Rule `alignment`: image and video gradients at one checkpoint, as inner products of the gradients of batches.

    python -m workflow_scripts.analysis.alignment --percent 0 --model '{...}' --recipe '{...}' --theory '{...}' \\
        --budgets 8 16 32 64 --manifest manifest.parquet --allocation uniform-64.parquet --store shard-*.arrow \\
        --images images.parquet --pictures images.arrow --output analysis/gradient_alignment/at-0

Writes into the folder `--output`:

- `gradients.npz`: `gram` float64 [groups, repeats, n, n], inner products of n vectors: of each image batch its
  gradient (`kind` image, `budget` 0), of each video batch at each budget its gradient (video) and AdamW's update for it
  (update); `batch` their batch. Groups' `names`, `sizes`, `widths`, `exact`. The same videos are in a batch at every
  budget.
- `samples.parquet`: a row a video sample and budget: sample_id, budget, tokens (supervised), loss (mean over them),
  squared_norm, inner (with the mean image gradient), update_inner (the same of AdamW's update).
- `alignment.json`: counts, mean losses, norm of AdamW's batches, seconds.

A task's loss is that of training: cross-entropy summed over the supervised tokens, over the mean number of them in a
sample. A sample's gradient is that of its share, so batch gradients are means of them, and all are linear in the data.

AdamW moves a weight by rate m / (sqrt(v) + eps). A run keeps no optimizer state, so v is estimated, as AdamW would have
it, from further batches of the run's own size, samples and budgets at this checkpoint; for m stands the video gradient
itself. v does not come from the samples whose gradients it scales. Weight decay and clipping, the same for all budgets
or a common factor, are left out. The rate is the recipe's, at its peak.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workflow_scripts.analysis.gradient_samples import Images, Inputs, Videos, cut, rows, supervised
from workflow_scripts.analysis.measured_model import Measured, load_measured
from workflow_scripts.budgets.allocation import read_allocation
from workflow_scripts.settings import InputError, ModelSettings, RecipeSettings
from workflow_scripts.settings.cli import json_of, progress, run
from workflow_scripts.settings.files import atomic_path, write_json, write_parquet
from workflow_scripts.settings.theory import TheorySettings
from workflow_scripts.theory.gradients import SecondMoment, streaming
from workflow_scripts.theory.projection import Projection
from workflow_scripts.vlm.device import use_device
from workflow_scripts.vlm.loss import token_loss

EPSILON = 1e-8
"""AdamW's, torch's default, with which runs train."""
ROW_TOKENS = 8192
"""Most tokens of image conversations in one pass, where the recipe names none."""
Advance = Callable[..., None]


@dataclass
class Vectors:
    """Projected gradients of batches, with what they are of."""

    kind: list[str]
    budget: list[int]
    batch: list[int]
    values: list[Tensor]

    def add(self, kind: str, budget: int, batch: int, value: Tensor) -> None:
        self.kind.append(kind)
        self.budget.append(budget)
        self.batch.append(batch)
        self.values.append(value)


def image_gradients(
    measured: Measured, projection: Projection, images: Images, places: Sequence[int], batches: int, most_tokens: int
) -> tuple[list[Tensor], float, float]:
    """Projected mean gradients of the image batches, the mean loss and the mean number of supervised tokens."""
    vectors, loss, tokens = [], 0.0, 0
    with progress(batches, "image batches") as advance:
        for part in np.array_split(places, batches):
            vector = projection.zeros(measured.vlm.device)
            encoded = [images.inputs(measured.vlm, int(place)) for place in part]
            tokens += sum(map(supervised, encoded))
            with streaming(measured.named, partial(projection.add, vector)):
                for batch in rows(measured.vlm, encoded, most_tokens):
                    share = token_loss(measured.vlm.model, batch, 1.0)
                    loss += share.item()
                    share.backward()
            vectors.append(vector / len(part))
            advance()
    mean_tokens = tokens / len(places)
    return [vector / mean_tokens for vector in vectors], loss / tokens, mean_tokens


def second_moment(
    measured: Measured, recipe: RecipeSettings, inputs: Callable[[int], Inputs], batches: Sequence[Sequence[int]]
) -> tuple[dict[str, Tensor], float]:
    """What AdamW multiplies a gradient with, by parameter, and the mean norm of the batches' gradients."""
    moment, norms = SecondMoment(measured.named), []
    with progress(sum(map(len, batches)), "samples for AdamW's second moment") as advance:
        for batch in batches:
            tokens = 0
            with streaming(measured.named, moment.take):
                for number in batch:
                    one = inputs(number)
                    tokens += supervised(one)
                    _alone(measured, one).backward()
                    advance()
            norms.append(moment.end_batch(1 / tokens))
    rates = recipe.learning_rates.model_dump()
    return moment.steps({name: rates[measured.part_of[name]] for name, _ in measured.named}, EPSILON), float(
        np.mean(norms)
    )


def _take(
    projection: Projection,
    steps: dict[str, Tensor],
    own: Tensor,
    update: Tensor,
    squared: Tensor,
    name: str,
    gradient: Tensor,
) -> None:
    """Add a parameter's gradient to a sample's projected gradient and update, and to its squared norm."""
    squared.add_(gradient.double().square().sum().cpu())
    projection.add(own, name, gradient)
    projection.add(update, name, gradient.float() * steps[name])


def _alone(measured: Measured, inputs: Inputs) -> Tensor:
    """Loss of one sample, summed over its supervised tokens."""
    (row,) = rows(measured.vlm, [inputs], 1)
    return token_loss(measured.vlm.model, row, 1.0)


def video_gradients(
    measured: Measured,
    projection: Projection,
    videos: Videos,
    places: Sequence[int],
    batches: int,
    budgets: Sequence[int],
    steps: dict[str, Tensor],
    image_mean: Tensor,
    into: Vectors,
) -> tuple[pd.DataFrame, float]:
    """Add the video batches' gradients and updates to `into`; a row a sample and budget, and the mean of their tokens.

    A sample goes through the model alone: its gradient is then known by itself.
    """
    device = measured.vlm.device
    found: list[dict[str, Any]] = []
    vectors: list[tuple[int, int, Tensor, Tensor]] = []
    with progress(len(places) * len(budgets), "video gradients") as advance:
        for number, part in enumerate(np.array_split(places, batches)):
            for budget in budgets:
                gradient, update = projection.zeros(device), projection.zeros(device)
                for place in part:
                    inputs = videos.inputs(measured.vlm, int(place), budget)
                    own, own_update = projection.zeros(device), projection.zeros(device)
                    squared = torch.zeros((), dtype=torch.float64)
                    take = partial(_take, projection, steps, own, own_update, squared)
                    with streaming(measured.named, take):
                        loss = _alone(measured, inputs)
                        loss.backward()
                    inner = projection.inner_products(torch.stack([own, own_update]), image_mean[None])
                    both = inner.mean(axis=1).sum(axis=0)[:, 0]
                    tokens = supervised(inputs)
                    found.append(
                        {
                            "sample_id": videos.table["sample_id"].iloc[int(place)],
                            "budget": budget,
                            "tokens": tokens,
                            "loss": loss.item() / tokens,
                            "squared_norm": float(squared),
                            "inner": both[0],
                            "update_inner": both[1],
                        }
                    )
                    gradient += own
                    update += own_update
                    advance()
                vectors.append((budget, number, gradient / len(part), update / len(part)))
    table = pd.DataFrame(found)
    mean_tokens = float(table.loc[table["budget"] == budgets[0], "tokens"].mean())
    table["squared_norm"] /= mean_tokens**2
    table[["inner", "update_inner"]] /= mean_tokens
    for budget, number, gradient, update in vectors:
        into.add("video", budget, number, gradient / mean_tokens)
        into.add("update", budget, number, update / mean_tokens)
    return table, mean_tokens


def measure(
    measured: Measured,
    recipe: RecipeSettings,
    theory: TheorySettings,
    budgets: Sequence[int],
    videos: Videos,
    images: Images,
    allocation: dict[str, int],
) -> tuple[Projection, Vectors, pd.DataFrame, dict[str, Any]]:
    """All of it; see the module."""
    began = time.perf_counter()
    of_images, *_ = cut(len(images.table), theory.images, theory.step_images, what="images")
    moments = theory.moment_batches * recipe.batch_size
    of_videos, of_moments, *_ = cut(len(videos.table), theory.videos, moments, theory.step_videos, what="videos")
    sizes = [(name, measured.group_of[name], parameter.numel()) for name, parameter in measured.named]
    projection = Projection(sizes, buckets=theory.sketch, seed=theory.seed)
    vectors = Vectors([], [], [], [])
    most_tokens = recipe.micro_batch_tokens or ROW_TOKENS
    found, image_loss, image_tokens = image_gradients(
        measured, projection, images, of_images, theory.batches, most_tokens
    )
    for number, vector in enumerate(found):
        vectors.add("image", 0, number, vector)

    def at_own_budget(place: int) -> Inputs:
        return videos.inputs(measured.vlm, place, allocation[videos.table["sample_id"].iloc[place]])

    batches = [part.tolist() for part in np.array_split(of_moments, theory.moment_batches)]
    steps, norm = second_moment(measured, recipe, at_own_budget, batches)
    table, video_tokens = video_gradients(
        measured, projection, videos, of_videos, theory.batches, budgets, steps, torch.stack(found).mean(dim=0), vectors
    )
    told = {
        "images": len(of_images),
        "videos": len(of_videos),
        "image_loss": image_loss,
        "image_tokens": image_tokens,
        "video_tokens": video_tokens,
        "batch_gradient_norm": norm,
        "seconds": round(time.perf_counter() - began, 2),
    }
    return projection, vectors, table, told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--allocation", type=Path, required=True, help="budgets/<allocation>.parquet of the run")
    options = parser.parse_args()
    device = use_device(options.device, options.threads)
    videos = Videos.read(options.manifest, options.store, options.theory.seed)
    images = Images.read(options.images, options.pictures, options.theory.seed)
    frame = read_allocation(options.allocation)
    allocation = dict(zip(frame["sample_id"], frame["budget"].astype(int), strict=True))
    if missing := [name for name in videos.table["sample_id"] if name not in allocation]:
        raise InputError(f"file {options.allocation}: sample {missing[0]} has no budget; expected all of the manifest")
    measured = load_measured(
        options.model,
        options.recipe,
        device=device,
        seed=options.theory.seed,
        adapter=options.adapter,
        exact_steps=False,
    )
    projection, vectors, table, told = measure(
        measured, options.recipe, options.theory, options.budgets, videos, images, allocation
    )
    stacked = torch.stack(vectors.values)
    groups = list(projection.groups.values())
    with atomic_path(options.output / "gradients.npz") as partial, partial.open("wb") as file:
        np.savez(
            file,
            gram=projection.inner_products(stacked, stacked),
            kind=np.array(vectors.kind),
            budget=np.array(vectors.budget),
            batch=np.array(vectors.batch),
            names=np.array([group.name for group in groups]),
            sizes=np.array([group.size for group in groups]),
            widths=np.array([group.width for group in groups]),
            exact=np.array([group.exact for group in groups]),
        )
    write_parquet(table, options.output / "samples.parquet")
    write_json({"percent": options.percent, **told}, options.output / "alignment.json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of a command that measures a checkpoint."""
    parser.add_argument("--percent", type=int, required=True, help="share of the run's steps done; 0: the base")
    parser.add_argument("--model", type=json_of(ModelSettings), required=True, help="ModelSettings as JSON")
    parser.add_argument("--adapter", type=Path, help="trained LoRA adapter, for its base model")
    parser.add_argument("--recipe", type=json_of(RecipeSettings), required=True, help="RecipeSettings as JSON")
    parser.add_argument("--theory", type=json_of(TheorySettings), required=True, help="TheorySettings as JSON")
    parser.add_argument("--budgets", type=int, nargs="+", required=True, help="admissible numbers of frames")
    parser.add_argument("--manifest", type=Path, required=True, help="curation/manifest.parquet")
    parser.add_argument("--store", type=Path, nargs="+", required=True, help="frames/shard-*.arrow")
    parser.add_argument("--images", type=Path, required=True, help="curation/images.parquet")
    parser.add_argument("--pictures", type=Path, required=True, help="curation/images.arrow")
    parser.add_argument("--device", default="auto", help="auto, cuda or cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True, help="the checkpoint's folder")


if __name__ == "__main__":
    run(main)
