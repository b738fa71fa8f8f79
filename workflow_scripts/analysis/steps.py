"""Rule `steps`: single steps along the video gradient at one checkpoint, and what they do to the image loss.

    python -m workflow_scripts.analysis.steps --percent 0 --model '{...}' --recipe '{...}' --theory '{...}' \\
        --budgets 8 16 32 64 --manifest manifest.parquet --store shard-*.arrow --images images.parquet \\
        --pictures images.arrow --output analysis/gradient_alignment/at-0

Image conversations and videos are further ones than those of rule `alignment`, each cut into halves P and Q. The step
is taken along g, the mean gradient of the videos of P at one budget, by a ladder of rates eta: theta+ = theta - eta g.
From the images of P follows what should happen, on those of Q it is measured, so no sample predicts itself:

    first order    -eta <g_I, g>
    second order   -eta <g_I, g> + eta^2 / 2 g' H_I g         H_I g by central differences of gradients
    eta0           2 |<g_I, g>| / (M_I |g|^2)                 the proposition's sufficient rate, of P
    M_I            largest |H_I v| of a power iteration       a lower bound of the smoothness constant

Proposition 1 speaks of <g_I, g> < 0: then the loss rises for eta < eta0. Where <g_I, g> > 0 the same argument, read
backwards, says that it falls. The step is one that is really taken, so |g|^2 is that of g as it is, noise and all.

Writes into the folder `--output`: `steps.parquet`, a row a budget and rate: budget, eta, length (of the step, as a
share of the norm of the trained weights), and of every batch of Q the change of its loss, `image_changes` [batches]
with `image_tokens`, and `video_changes` with `video_tokens`; `budgets.parquet`, a row a budget, with inner (<g_I, g> on
P), inner_held (on Q), squared_norm (of g), along (g' H_I g); and `curvature.json`, M_I and the power iteration.
"""

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from workflow_scripts.analysis.alignment import ROW_TOKENS, add_arguments
from workflow_scripts.analysis.gradient_samples import Images, Inputs, Videos, cut, rows, supervised
from workflow_scripts.analysis.measured_model import Measured, load_measured
from workflow_scripts.settings import RecipeSettings
from workflow_scripts.settings.cli import progress, run
from workflow_scripts.settings.files import write_json, write_parquet
from workflow_scripts.settings.theory import TheorySettings
from workflow_scripts.theory.curvature import Weights, dot, hessian_vector, largest_curvature
from workflow_scripts.theory.gradients import Accumulated, streaming
from workflow_scripts.vlm.device import use_device
from workflow_scripts.vlm.loss import token_loss

HELD_BATCHES = 16
"""Most batches that a half for measuring is cut into; the interval draws them anew."""
Encoded = Sequence[Inputs]


class Task:
    """Loss and gradient of a model, as its weights stand, on fixed samples."""

    def __init__(self, measured: Measured, encoded: Encoded, most_tokens: int) -> None:
        self.measured, self.encoded, self.most_tokens = measured, encoded, most_tokens
        self.tokens = sum(map(supervised, encoded))

    def gradient(self) -> dict[str, Tensor]:
        """Of the mean loss over all supervised tokens: float32, by parameter."""
        total = Accumulated(self.measured.named)
        with streaming(self.measured.named, total.take):
            for batch in rows(self.measured.vlm, self.encoded, self.most_tokens):
                token_loss(self.measured.vlm.model, batch, float(self.tokens)).backward()
        return total.values

    def loss(self) -> float:
        """Summed over all supervised tokens."""
        with torch.no_grad():
            return sum(
                token_loss(self.measured.vlm.model, batch, 1.0).item()
                for batch in rows(self.measured.vlm, self.encoded, self.most_tokens)
            )


def in_batches(measured: Measured, encoded: Encoded, most_tokens: int) -> list[Task]:
    """The samples as at most `HELD_BATCHES` tasks of about as many samples each."""
    parts = np.array_split(np.arange(len(encoded)), min(HELD_BATCHES, len(encoded)))
    return [Task(measured, [encoded[place] for place in part], most_tokens) for part in parts]


def measure(
    measured: Measured,
    recipe: RecipeSettings,
    theory: TheorySettings,
    budgets: Sequence[int],
    videos: Videos,
    images: Images,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Rows of `steps.parquet`, rows of `budgets.parquet`, and what `curvature.json` says."""
    began = time.perf_counter()
    most_tokens = recipe.micro_batch_tokens or ROW_TOKENS
    vlm = measured.vlm
    halves = [theory.step_images // 2] * 2
    _, image_p, image_q = cut(len(images.table), theory.images, *halves, what="images")
    moments = theory.moment_batches * recipe.batch_size
    _, _, video_p, video_q = cut(
        len(videos.table), theory.videos, moments, *[theory.step_videos // 2] * 2, what="videos"
    )
    predicting = Task(measured, [images.inputs(vlm, place) for place in image_p], most_tokens)
    held = in_batches(measured, [images.inputs(vlm, place) for place in image_q], most_tokens)
    weights = Weights(measured.named)
    image_gradient = predicting.gradient()
    image_gradient_held = Task(measured, [one for task in held for one in task.encoded], most_tokens).gradient()
    steps, about = [], []
    work = theory.power_iterations + len(budgets) * (len(theory.step_lengths) + 2)
    with progress(work, "steps") as advance:
        power = largest_curvature(weights, predicting.gradient, image_gradient, theory.power_iterations)
        advance(theory.power_iterations)
        before = [task.loss() for task in held]
        for budget in budgets:
            step = Task(measured, [videos.inputs(vlm, place, budget) for place in video_p], most_tokens).gradient()
            seen = in_batches(measured, [videos.inputs(vlm, place, budget) for place in video_q], most_tokens)
            seen_before = [task.loss() for task in seen]
            squared = dot(step, step)
            product = hessian_vector(weights, predicting.gradient, step)
            about.append(
                {
                    "budget": budget,
                    "inner": dot(image_gradient, step),
                    "inner_held": dot(image_gradient_held, step),
                    "squared_norm": squared,
                    "along": dot(step, product),
                }
            )
            advance(2)
            for length in theory.step_lengths:
                eta = length * weights.norm / squared**0.5
                with weights.moved(step, -eta):
                    steps.append(
                        {
                            "budget": budget,
                            "length": length,
                            "eta": eta,
                            "image_changes": _changes(held, before),
                            "image_tokens": [task.tokens for task in held],
                            "video_changes": _changes(seen, seen_before),
                            "video_tokens": [task.tokens for task in seen],
                        }
                    )
                advance()
    told = {
        "curvature": power[-1],
        "power_iteration": power,
        "weights_norm": weights.norm,
        "image_gradient_norm": dot(image_gradient, image_gradient) ** 0.5,
        "seconds": round(time.perf_counter() - began, 2),
    }
    return pd.DataFrame(steps), pd.DataFrame(about), told


def _changes(tasks: Sequence[Task], before: Sequence[float]) -> list[float]:
    """Of the loss of each batch, summed over its tokens."""
    return [task.loss() - old for task, old in zip(tasks, before, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    options = parser.parse_args()
    device = use_device(options.device, options.threads)
    videos = Videos.read(options.manifest, options.store, options.theory.seed)
    images = Images.read(options.images, options.pictures, options.theory.seed)
    measured = load_measured(
        options.model,
        options.recipe,
        device=device,
        seed=options.theory.seed,
        adapter=options.adapter,
        exact_steps=True,
    )
    steps, about, told = measure(measured, options.recipe, options.theory, options.budgets, videos, images)
    write_parquet(steps, options.output / "steps.parquet")
    write_parquet(about, options.output / "budgets.parquet")
    write_json({"percent": options.percent, **told}, options.output / "curvature.json")


if __name__ == "__main__":
    run(main)
