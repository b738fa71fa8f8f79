"""What measuring gradients costs: as a multiple of a training step of the same samples, by model, budgets, projection.

The samples are drawn videos, the models the miniature Qwen2.5-VL in four sizes. A training step is what a run does with
them: packed rows, forward, backward, AdamW. Measuring is `alignment.video_gradients` of one batch of the same samples
at the same budget, each sample by itself: its gradient, squared norm and inner product, the batch's gradient and
AdamW's update, exact or in a sketch. Both in one process on one thread; times are processor time, so that what else the
machine does counts for neither.
"""

from __future__ import annotations

import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import harness
import pandas as pd
import pyarrow as pa
import torch
from PIL import Image

from workflow_scripts.analysis.alignment import Vectors, video_gradients
from workflow_scripts.analysis.gradient_samples import Videos
from workflow_scripts.analysis.measured_model import Measured, load_measured
from workflow_scripts.frames.store import SCHEMA
from workflow_scripts.miniature.records import conversations, video_exchanges
from workflow_scripts.miniature.render import render
from workflow_scripts.miniature.scene import Scene, draw_video_scene
from workflow_scripts.settings import ModelSettings, RecipeSettings
from workflow_scripts.settings.files import write_parquet
from workflow_scripts.theory.gradients import adamw_update
from workflow_scripts.theory.projection import Projection
from workflow_scripts.video.sampling import UNIFORM
from workflow_scripts.vlm.encode import pack
from workflow_scripts.vlm.load import load
from workflow_scripts.vlm.loss import token_loss

MODELS = ("qwen2.5-vl-3b", "qwen2.5-vl-7b", "qwen2.5-vl-32b", "qwen2.5-vl-72b")
BUDGETS = (8, 16, 32, 64)
FIRST_SCENE = 41_000_000
SKETCH = 16384
RECIPE = RecipeSettings(name="r", batch_size=8, activation_checkpointing=False)


def settings(name: str) -> ModelSettings:
    return ModelSettings(
        name=name,
        family="qwen2.5-vl",
        source=str(harness.ROOT / "resources" / "miniature" / name),
        size_b=0.001,
        max_pixels=4096,
        video_max_pixels=4096,
        precision="float32",
        max_length=4096,
    )


def draw(folder: Path, count: int) -> Videos:
    """Drawn clips of which every budget's frames are stored."""
    scenes = [draw_video_scene(FIRST_SCENE + number) for number in range(count)]
    names = [f"{scene.seed}.mp4" for scene in scenes]
    spoken = [conversations(video_exchanges(scene, "open_ended")) for scene in scenes]
    told = [[{**turn, "value": turn["value"].removeprefix("<image>\n")} for turn in one] for one in spoken]
    write_parquet(
        pd.DataFrame({"sample_id": names, "video": names, "conversations": told}), folder / "manifest.parquet"
    )
    store = folder / "shard-0.arrow"
    with pa.OSFile(str(store), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
        for name, scene in zip(names, scenes, strict=True):
            writer.write_batch(pa.RecordBatch.from_pylist([_row(name, scene)], schema=SCHEMA))
    return Videos.read(folder / "manifest.parquet", [store], seed=0)


def _row(name: str, scene: Scene) -> dict[str, object]:
    indices = UNIFORM.union(scene.n_frames, BUDGETS, 0.0)
    duration_s = scene.timestamps_s[-1] * scene.n_frames / max(1, scene.n_frames - 1)
    jpegs = []
    for index in indices:
        buffer = io.BytesIO()
        Image.fromarray(render(scene, index)).save(buffer, "JPEG", quality=95)
        jpegs.append(buffer.getvalue())
    return {
        "video": name,
        "n_frames": scene.n_frames,
        "duration_s": duration_s,
        "fps": scene.n_frames / duration_s,
        "frame_index": indices,
        "timestamp_s": [scene.timestamps_s[index] for index in indices],
        "jpeg": jpegs,
        "effective_budget": [len(indices)] * len(BUDGETS),
    }


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median processor time, after once without the clock."""
    work()
    taken = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return statistics.median(taken)


def training_step(name: str, videos: Videos, places: list[int], budget: int) -> Callable[[], None]:
    """A step of the recipe: encoding, packed rows, forward, backward, AdamW."""
    vlm = load(settings(name), attention=RECIPE.attention)
    optimizer = torch.optim.AdamW(vlm.model.parameters(), lr=1e-9)

    def step() -> None:
        encoded = [videos.inputs(vlm, place, budget) for place in places]
        most = RECIPE.micro_batch_tokens or 0
        rows: list[list[dict[str, torch.Tensor]]] = [[]]
        for one in encoded:
            if rows[-1] and sum(len(other["input_ids"]) for other in [*rows[-1], one]) > most:
                rows.append([])
            rows[-1].append(one)
        for row in rows:
            token_loss(vlm.model, pack(vlm, row), 100.0).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def measurement(
    measured: Measured, videos: Videos, places: list[int], budgets: tuple[int, ...], buckets: int | None
) -> tuple[Callable[[], None], Projection]:
    """`alignment.video_gradients` of one batch at the budgets."""
    sizes = [(name, measured.group_of[name], parameter.numel()) for name, parameter in measured.named]
    projection = Projection(sizes, buckets=buckets)
    moment = {name: torch.full_like(parameter, 1e-4, requires_grad=False) for name, parameter in measured.named}

    def measure() -> None:
        video_gradients(
            measured,
            projection,
            videos,
            places,
            1,
            budgets,
            lambda name, gradient: adamw_update(gradient, moment[name], 1e-4),
            projection.zeros(),
            Vectors([], [], [], []),
        )

    return measure, projection


def main() -> None:
    arguments = harness.arguments(__doc__)
    torch.set_num_threads(1)
    results = harness.Results("theory", arguments.quick, ("torch", "transformers"))
    count, repeats = (4, 1) if arguments.quick else (6, 2)
    models = MODELS[1:2] if arguments.quick else MODELS
    with tempfile.TemporaryDirectory() as folder:
        videos = draw(Path(folder), count)
        places = list(range(count))
        for name in models:
            measured = load_measured(settings(name), RECIPE, device="cpu", seed=0, adapter=None, exact_steps=False)
            size = sum(parameter.numel() for _, parameter in measured.named) / 1e6
            for budget in (BUDGETS[1],) if name != MODELS[1] else BUDGETS:
                step = seconds(training_step(name, videos, places, budget), repeats)
                for kind, buckets in (("exact", None), (f"sketch {SKETCH}", SKETCH)):
                    measure, projection = measurement(measured, videos, places, (budget,), buckets)
                    taken = seconds(measure, repeats)
                    case = f"{name}, {size:.2f} M parameters, {budget} frames, {kind}"
                    results.add(case, "measurement over a training step of the same samples", "times", taken / step)
                    results.add(case, "kept for a batch and budget", "MB", 4e-6 * projection.width * 2)
            if name != MODELS[1]:
                continue
            one = 0.0
            for number in range(1, len(BUDGETS) + 1):
                chosen = BUDGETS[:number]
                measure, _ = measurement(measured, videos, places, chosen, None)
                taken = seconds(measure, repeats)
                one = one or taken
                case = f"{name}, {number} budgets ({', '.join(map(str, chosen))}), exact"
                results.add(case, "seconds for a sample and 8 frames", "s", taken / count / (sum(chosen) / 8))
                results.add(case, "seconds over those for one budget of 8", "times", taken / one)
    results.notes["samples"] = count
    results.notes["time"] = f"processor time, one thread, median of {repeats}"
    results.finish()


if __name__ == "__main__":
    main()
