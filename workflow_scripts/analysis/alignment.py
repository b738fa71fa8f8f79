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
  squared_norm, inner (with the mean image gradient).
- `alignment.json`: counts, mean losses, seconds.

A task's loss is that of training: cross-entropy summed over the supervised tokens, over the mean number of them in a
sample. A sample's gradient is that of its share, so batch gradients are means of them, and all are linear in the data.

AdamW moves a weight by rate m / (sqrt(v) + eps). A run keeps no optimizer state, so v is estimated, as AdamW would have
it, from further samples at the run's budgets, for batches of the run's size, at this checkpoint. Each video batch is
then taken for the next one that AdamW sees: its gradient stands for m, which averages such batches, and enters v as it
would. v does not come from the samples whose gradients it scales. Weight decay and clipping, the same for all budgets
or a common factor, are left out. The rate is the recipe's, at its peak, so that inner products with the update are the
change of the image loss by a step to first order, with the sign turned.
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
from workflow_scripts.theory.gradients import Accumulated, SecondMoment, adamw_update, streaming
from workflow_scripts.theory.projection import Projection
from workflow_scripts.vlm.device import use_device
from workflow_scripts.vlm.loss import token_loss

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
    measured: Measured, recipe: RecipeSettings, inputs: Callable[[int], Inputs], places: Sequence[int]
) -> dict[str, Tensor]:
    """AdamW's second moment, by parameter, of batches of the recipe's size."""
    moment, tokens = SecondMoment(measured.named), 0
    shown = progress(len(places), "samples for AdamW's second moment")
    with shown as advance, streaming(measured.named, moment.take):
        for place in places:
            one = inputs(place)
            tokens += supervised(one)
            _alone(measured, one).backward()
            moment.samples += 1
            advance()
    return moment.estimate(recipe.batch_size, len(places) / tokens)


def _alone(measured: Measured, inputs: Inputs) -> Tensor:
    """Loss of one sample, summed over its supervised tokens."""
    (row,) = rows(measured.vlm, [inputs], 1)
    return token_loss(measured.vlm.model, row, 1.0)


@dataclass
class Sink:
    """Takes the gradients of one video batch, sample by sample.

    `own`: the projected gradient of the sample at work; `squared`: its squared norm; `batch`: the batch's gradient.
    """

    projection: Projection
    batch: Accumulated
    own: Tensor
    squared: float = 0.0

    def take(self, name: str, gradient: Tensor) -> None:
        self.squared += float(gradient.double().square().sum())
        self.projection.add(self.own, name, gradient)
        self.batch.take(name, gradient)


def video_gradients(
    measured: Measured,
    projection: Projection,
    videos: Videos,
    places: Sequence[int],
    batches: int,
    budgets: Sequence[int],
    update: Callable[[str, Tensor], Tensor],
    image_mean: Tensor,
    into: Vectors,
) -> tuple[pd.DataFrame, float]:
    """Add the video batches' gradients and updates to `into`; a row a sample and budget, and the mean of their tokens.

    A sample goes through the model alone: its gradient is then known by itself. `update`: what AdamW subtracts for a
    batch's gradient, by parameter.
    """
    device, vlm = measured.vlm.device, measured.vlm
    samples = [videos.table["sample_id"].iloc[place] for place in places]
    tokens = [supervised(videos.inputs(vlm, place, min(budgets))) for place in places]
    mean_tokens = float(np.mean(tokens))
    found: list[dict[str, Any]] = []
    with progress(len(places) * len(budgets), "video gradients") as advance:
        for number, part in enumerate(np.array_split(np.arange(len(places)), batches)):
            for budget in budgets:
                gradient = projection.zeros(device)
                batch = Accumulated(measured.named)
                for place in part.tolist():
                    sink = Sink(projection, batch, projection.zeros(device))
                    with streaming(measured.named, sink.take):
                        loss = _alone(measured, videos.inputs(vlm, places[place], budget))
                        loss.backward()
                    inner = projection.inner_products(sink.own[None], image_mean[None])
                    found.append(
                        {
                            "sample_id": samples[place],
                            "budget": budget,
                            "tokens": tokens[place],
                            "loss": loss.item() / tokens[place],
                            "squared_norm": sink.squared / mean_tokens**2,
                            "inner": float(inner.mean(axis=1).sum()) / mean_tokens,
                        }
                    )
                    gradient += sink.own
                    advance()
                scale = 1 / (len(part) * mean_tokens)
                moved = projection.zeros(device)
                for name, value in batch.values.items():
                    projection.add(moved, name, update(name, value * scale))
                into.add("video", budget, number, gradient * scale)
                into.add("update", budget, number, moved)
    return pd.DataFrame(found), mean_tokens


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

    moment, rates = second_moment(measured, recipe, at_own_budget, of_moments), recipe.learning_rates.model_dump()

    def update(name: str, gradient: Tensor) -> Tensor:
        return adamw_update(gradient, moment[name], rates[measured.part_of[name]])

    table, video_tokens = video_gradients(
        measured,
        projection,
        videos,
        of_videos,
        theory.batches,
        budgets,
        update,
        torch.stack(found).mean(dim=0),
        vectors,
    )
    told = {
        "images": len(of_images),
        "videos": len(of_videos),
        "image_loss": image_loss,
        "image_tokens": image_tokens,
        "video_tokens": video_tokens,
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
