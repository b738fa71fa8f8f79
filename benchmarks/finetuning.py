"""Fine-tuning on budgets that differ from sample to sample: samples a second, beside transformers' own Trainer.

The base is the miniature Qwen2.5-VL, the videos are drawn like its own, and the budgets have the shares that the three
hybrid allocations of the miniature study gave. Ours is the command `finetuning.train` with the miniature's recipe,
once for each setting of `batching`. The peer is `transformers.Trainer` with the stock model: a batch is the samples of
a step in the drawn order, padded to the longest; the loss is the model's; optimizer, rates, precision and threads are
ours. Both read the same frames through the same encoder in the same process, without loader processes, so the
difference is what happens once a sample is there. All train the same samples in the same steps from the same weights,
one after the other, and in turn again; each step's losses must agree.

Our padded run shows what is not due to batching: attention of the vision tower in few calls, and logits for supervised
positions alone.
"""

from __future__ import annotations

import io
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import harness
import numpy as np
import pandas as pd
import pyarrow as pa
import torch
import transformers
import yaml
from PIL import Image
from torch.utils.data import Dataset
from transformers import Qwen2_5_VLForConditionalGeneration, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer import DEFAULT_CALLBACKS

from workflow_scripts.finetuning import train
from workflow_scripts.finetuning.batching import StepSampler
from workflow_scripts.finetuning.dataset import VideoConversations
from workflow_scripts.finetuning.run_log import RunLog
from workflow_scripts.finetuning.samples import read_samples
from workflow_scripts.finetuning.spec import RunSpec, resolve
from workflow_scripts.frames.store import SCHEMA, FrameStore
from workflow_scripts.miniature.records import conversations, video_exchanges
from workflow_scripts.miniature.render import render
from workflow_scripts.miniature.scene import Scene, draw_video_scene
from workflow_scripts.settings import ModelSettings, RecipeSettings
from workflow_scripts.settings.files import write_parquet, write_yaml
from workflow_scripts.video.sampling import UNIFORM
from workflow_scripts.vlm.load import load

MODEL = "qwen2.5-vl-7b"
SHARES = {8: 1114, 16: 153, 32: 171, 64: 362}
"""Samples of each budget over hybrid-dinov2, hybrid-qwen2.5-vl-3b and hybrid-qwen3-vl-8b of the miniature study."""
FIRST_SCENE = 40_000_000
FORMATS = ("caption", "open_ended", "multiple_choice")
WARM_UP = 2  # steps at the beginning that are not timed
LOSSES_AGREE = 1e-3  # relative, of each step: rounding, carried on by the steps before


def draw(folder: Path, samples: int, seed: int) -> tuple[Path, Path, Path]:
    """Write a manifest, an allocation and a frame store of drawn clips; returns their paths."""
    rng = np.random.default_rng(seed)
    budgets = rng.choice(list(SHARES), size=samples, p=np.array(list(SHARES.values())) / sum(SHARES.values()))
    scenes = [draw_video_scene(FIRST_SCENE + number) for number in range(samples)]
    names = [f"{scene.source}/{scene.seed}.mp4" for scene in scenes]
    manifest, allocation, store = folder / "manifest.parquet", folder / "hybrid.parquet", folder / "shard-0.arrow"
    spoken = [conversations(video_exchanges(scene, FORMATS[n % 3])) for n, scene in enumerate(scenes)]  # type: ignore[arg-type]
    told = [
        [{**turn, "value": turn["value"].removeprefix("<image>\n")} for turn in conversation] for conversation in spoken
    ]
    write_parquet(pd.DataFrame({"sample_id": names, "video": names, "conversations": told}), manifest)
    write_parquet(
        pd.DataFrame({"sample_id": names, "budget": budgets.astype(np.int32), "evidence": ["{}"] * samples}), allocation
    )
    with pa.OSFile(str(store), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
        for name, scene, budget in zip(names, scenes, budgets.tolist(), strict=True):
            writer.write_batch(pa.RecordBatch.from_pylist([_row(name, scene, budget)], schema=SCHEMA))
    (folder / "shard-0.quarantine.csv").write_text("video,reason,detail\n", encoding="utf-8")
    return manifest, allocation, store


def _row(name: str, scene: Scene, budget: int) -> dict[str, Any]:
    indices = UNIFORM.indices(scene.n_frames, budget, 0.0)
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
        "effective_budget": [len(indices)],
    }


class InDrawnOrder(Dataset[dict[str, torch.Tensor]]):
    """The samples of a run in the order of its steps, encoded when asked for."""

    def __init__(self, samples: VideoConversations, spec: RunSpec) -> None:
        recipe = spec.recipe
        steps = StepSampler([1.0] * len(samples), batch_size=recipe.batch_size, epochs=recipe.epochs, seed=spec.seed)
        self.samples, self.order = samples, [number for step in steps for number in step]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, place: int) -> dict[str, torch.Tensor]:
        return self.samples[self.order[place]].inputs


def stock_collator(pad_id: int) -> Callable[[Sequence[dict[str, torch.Tensor]]], dict[str, torch.Tensor]]:
    """A batch as transformers' examples make it: rows padded on the right, pixels of all videos in one tensor."""
    values = {"input_ids": pad_id, "labels": -100, "mm_token_type_ids": 0}

    def collate(examples: Sequence[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        batch = {
            name: torch.nn.utils.rnn.pad_sequence([one[name] for one in examples], True, value)
            for name, value in values.items()
        }
        mask = [torch.ones_like(one["input_ids"]) for one in examples]
        batch["attention_mask"] = torch.nn.utils.rnn.pad_sequence(mask, True, 0)
        for name in ("pixel_values_videos", "video_grid_thw", "second_per_grid_ts"):
            batch[name] = torch.cat([one[name] for one in examples])
        return batch

    return collate


class Clock(TrainerCallback):
    """When the latest training began and each of its steps ended: seconds of the wall clock, and of the processor."""

    moments: ClassVar[list[tuple[float, float]]] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.moments[:] = [self.now()]

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.moments.append(self.now())

    @staticmethod
    def now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    @classmethod
    def timed(cls) -> tuple[float, float]:
        """Seconds of the steps after the first `WARM_UP`."""
        (wall, processor), (wall_end, processor_end) = cls.moments[WARM_UP], cls.moments[-1]
        return wall_end - wall, processor_end - processor


def plain(spec: RunSpec, store: Path, folder: Path) -> list[float]:
    """Train by the stock Trainer; returns the loss of each step."""
    recipe = spec.recipe
    transformers.set_seed(spec.seed)
    samples = VideoConversations(
        read_samples(Path(spec.manifest.path), Path(spec.budgets.path)),
        FrameStore(store),
        load(spec.model, with_model=False),
    )
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(spec.model.source, dtype=torch.float32)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(folder),
            num_train_epochs=1,
            per_device_train_batch_size=recipe.batch_size,
            learning_rate=recipe.learning_rates.language_model,
            lr_scheduler_type=recipe.schedule,
            warmup_steps=recipe.warmup_ratio,
            weight_decay=recipe.weight_decay,
            max_grad_norm=recipe.max_grad_norm,
            train_sampling_strategy="sequential",  # the data set is in the drawn order
            use_cpu=True,
            bf16=False,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
        ),
        train_dataset=InDrawnOrder(samples, spec),
        data_collator=stock_collator(int(samples.vlm.tokenizer.pad_token_id)),  # type: ignore[arg-type]
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return [float(line["loss"]) for line in trainer.state.log_history if "loss" in line]


def ours(spec: RunSpec, store: Path, folder: Path) -> tuple[list[float], float]:
    """Train by `finetuning.train`; returns the loss of each step, and the share of padding among what was computed."""
    write_yaml(spec.model_dump(mode="json"), folder / "spec.yaml")
    train.train(folder / "spec.yaml", [store], folder / "checkpoints", folder / "run", workers=0, save_seconds=1e9)
    lines = RunLog(folder / "run" / "log.jsonl").lines()
    padding = sum(line["padding"] for line in lines)
    return [line["loss"] for line in lines], padding / (padding + sum(line["tokens"] for line in lines))


def settings() -> tuple[ModelSettings, RecipeSettings]:
    """Model and recipe of the miniature study."""
    preset = yaml.safe_load((harness.ROOT / "presets" / "miniature.yaml").read_text(encoding="utf-8"))
    model = ModelSettings(name=MODEL, family="qwen2.5-vl", **preset["models"][MODEL])
    source = str(harness.ROOT / model.source)
    return model.model_copy(update={"source": source}), RecipeSettings(name="full", **preset["recipes"]["full"])


def main() -> None:
    options = harness.arguments(
        __doc__,
        ("--steps", {"type": int, "help": "optimizer steps of each run; by default 24, quick 8"}),
        ("--repeats", {"type": int, "default": 3, "help": "runs of each; the median counts"}),
        ("--threads", {"type": int, "default": 1, "help": "as the miniature study trains"}),
    )
    torch.set_num_threads(options.threads)
    DEFAULT_CALLBACKS.append(Clock)  # of every Trainer made here
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    steps = options.steps or (8 if options.quick else 24)
    results = harness.Results("finetuning", options.quick, ("torch", "transformers", "accelerate"))
    model, recipe = settings()
    timed: dict[str, list[tuple[float, float]]] = {}
    losses: dict[str, list[float]] = {}
    padding: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as aside:
        folder = Path(aside)
        samples = recipe.batch_size * steps
        manifest, allocation, store = draw(folder, samples, seed=0)
        for repeat in range(options.repeats):
            for batching in (None, "packed", "bucketed", "padded"):
                spec = resolve(
                    study="benchmark",
                    recipe=recipe.model_copy(update={"batching": batching or recipe.batching}),
                    model=model,
                    allocation="hybrid",
                    seed=0,
                    manifest=manifest,
                    budgets=allocation,
                    store=[store],
                )
                name, here = batching or "plain", folder / f"{batching}-{repeat}"
                if batching is None:
                    losses[name] = plain(spec, store, here)
                else:
                    losses[name], padding[name] = ours(spec, store, here)
                timed.setdefault(name, []).append(Clock.timed())
                wall, processor = timed[name][-1]
                print(f"repeat {repeat}: {name}: {wall:.1f} s, {processor:.1f} s of the processor", flush=True)

    counted = samples - WARM_UP * recipe.batch_size
    wall_s, processor_s = (
        {name: statistics.median(times[which] for times in each) / counted for name, each in timed.items()}
        for which in (0, 1)
    )
    case = f"budgets 8 to 64, {steps} steps of {recipe.batch_size}"
    peer = "plain Trainer"
    for name in padding:
        rate = 1 / wall_s[name], 1 / wall_s["plain"]
        results.add(f"{case}: {name}", "training", "samples/s", *rate, peer, better="higher")
    for name in padding:
        results.add(f"{case}: {name}", "processor time", "s a sample", processor_s[name], processor_s["plain"], peer)
    for name in padding:
        apart = max(abs(a - b) / b for a, b in zip(losses[name], losses["plain"], strict=True))
        if apart > LOSSES_AGREE:
            raise AssertionError(f"{name}: losses differ from the plain Trainer's by up to {apart:.2g}, relative")
        results.add(f"{case}: {name}", "largest difference of a step's loss", "relative", apart)
        results.add(f"{case}: {name}", "padding among the tokens computed", "share", padding[name])
    results.notes["model"] = MODEL
    results.notes["threads"] = options.threads
    results.notes["repeats"] = options.repeats
    results.notes["peer"] = "transformers.Trainer, stock model, padding collator, batch of one step"
    results.finish()


if __name__ == "__main__":
    main()
