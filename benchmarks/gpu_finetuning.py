"""Fine-tuning at the real shapes of Qwen2.5-VL on one GPU, beside transformers' own Trainer on the same model.

    python benchmarks/gpu_finetuning.py                 # 3B, all weights, and 7B, LoRA: needs a GPU with 80 GB
    python benchmarks/gpu_finetuning.py --shape tiny    # the same code on a CPU, in minutes; its figures say nothing

Nothing is downloaded: configurations are written from the published values, weights are random, the tokenizer is the
miniature's, videos are noise of 128 tokens a frame pair as JPEG in a frame store. Ours is the dataset, batching, loss
and Trainer of `finetuning.train`, from the frame store on. The peer is `transformers.Trainer` with the stock model and
loss: batches in the drawn order, padded to the longest, as many samples at once as memory allows, the same samples,
optimizer, precision, checkpointing and loader processes.

MFU is `vlm/flops.py`'s formula: operations that the samples need, without padding and recomputation, attention above
the diagonal not counted, over the GPU's published peak in bfloat16 and all of the time, waiting for data included.
"MFU, whole attention" counts the diagonal's upper half as work, as most published figures do. Predicted memory is
`settings/demand.py`'s, which `snakemake plan` prints.
"""

from __future__ import annotations

import gc
import importlib.metadata
import io
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pandas as pd
import pyarrow as pa
import torch
import transformers
import yaml
from PIL import Image
from torch.utils.data import Dataset
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from workflow_scripts.finetuning.arguments import training_arguments
from workflow_scripts.finetuning.batching import StepSampler
from workflow_scripts.finetuning.dataset import VideoConversations
from workflow_scripts.finetuning.images import Samples
from workflow_scripts.finetuning.run_log import RunLog, peak_memory_bytes
from workflow_scripts.finetuning.spec import CheckedFile, RunSpec, Weights, optimizer_steps
from workflow_scripts.finetuning.train import training_dtype
from workflow_scripts.finetuning.trainer import VideoTrainer
from workflow_scripts.frames.store import SCHEMA, FrameStore
from workflow_scripts.miniature.tokenizer import QWEN_TEMPLATE, qwen_tokenizer
from workflow_scripts.settings import ModelSettings, RecipeSettings, demand, load_study
from workflow_scripts.vlm.attention import implementation
from workflow_scripts.vlm.device import bf16_peak
from workflow_scripts.vlm.encode import collate
from workflow_scripts.vlm.flops import Flops, ModelFlops
from workflow_scripts.vlm.load import VLM, load
from workflow_scripts.vlm.trainable import prepare

PATCH, MERGE, TOGETHER = 14, 2, 2
WORDS = ["the", "camera", "follows", "a", "person", "who", "walks", "along", "and", "then", "turns", "to", "open", "it"]
WARM_UP = 2  # steps at the beginning that are not timed
HYBRID = {8: 0.62, 16: 0.085, 32: 0.095, 64: 0.2}
"""Shares of the budgets, about as the predictors gave them in the miniature study."""


@dataclass(frozen=True)
class Shape:
    """A model's sizes, how it is trained, and what its frames are: width and height in pixels."""

    name: str
    size_b: float
    method: str
    text: dict[str, Any]
    vision: dict[str, Any]
    frame: tuple[int, int] = (448, 224)
    words: int = 380  # of a conversation: one or two tokens each


VISION = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
}
SHAPES = {
    "tiny": Shape(
        "tiny",
        0.001,
        "full",
        {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "vocab_size": 1024,
            "tie_word_embeddings": True,
            "mrope_section": [4, 6, 6],
        },
        {
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "window_size": 56,
            "fullatt_block_indexes": [1],
        },
        frame=(56, 56),
        words=20,
    ),
    # config.json of Qwen/Qwen2.5-VL-3B-Instruct
    "3b": Shape(
        "qwen2.5-vl-3b",
        3.75,
        "full",
        {
            "hidden_size": 2048,
            "intermediate_size": 11008,
            "num_hidden_layers": 36,
            "num_attention_heads": 16,
            "num_key_value_heads": 2,
            "vocab_size": 151936,
            "tie_word_embeddings": True,
            "mrope_section": [16, 24, 24],
        },
        VISION,
    ),
    # config.json of Qwen/Qwen2.5-VL-7B-Instruct
    "7b": Shape(
        "qwen2.5-vl-7b",
        8.29,
        "lora",
        {
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "vocab_size": 152064,
            "tie_word_embeddings": False,
            "mrope_section": [16, 24, 24],
        },
        VISION,
    ),
}


def configuration(shape: Shape, token: dict[str, int]) -> Qwen2_5_VLConfig:
    """The model's configuration; `token`: numbers of the special tokens."""
    text = dict(shape.text)
    tied, section = text.pop("tie_word_embeddings"), text.pop("mrope_section")
    return Qwen2_5_VLConfig(
        text_config={
            **text,
            "max_position_embeddings": 128000,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": section},
            "tie_word_embeddings": tied,
            "bos_token_id": token["<|endoftext|>"],
            "eos_token_id": token["<|im_end|>"],
            "pad_token_id": token["<|endoftext|>"],
        },
        vision_config={
            **shape.vision,
            "out_hidden_size": shape.text["hidden_size"],
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": TOGETHER,
            "tokens_per_second": 2,
        },
        image_token_id=token["<|image_pad|>"],
        video_token_id=token["<|video_pad|>"],
        vision_start_token_id=token["<|vision_start|>"],
        vision_end_token_id=token["<|vision_end|>"],
        tie_word_embeddings=tied,
    )


def write_base(shape: Shape, folder: Path) -> ModelSettings:
    """Write configuration and processor, no weights; returns the model's settings."""
    tokenizer = qwen_tokenizer([" ".join(WORDS)] * 8, 896, 8192)
    token = {text: int(tokenizer.convert_tokens_to_ids(text)) for text in tokenizer.all_special_tokens}
    pixels = shape.frame[0] * shape.frame[1]
    cut = {"patch_size": PATCH, "merge_size": MERGE, "temporal_patch_size": TOGETHER}
    size = {"shortest_edge": PATCH**2 * MERGE**2, "longest_edge": pixels}
    configuration(shape, token).save_pretrained(folder)
    Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=size, **cut),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(size=size, cap_pixels_per_frame=False, **cut),
        chat_template=QWEN_TEMPLATE,
    ).save_pretrained(folder)
    return ModelSettings(
        name=shape.name,
        family="qwen2.5-vl",
        source=str(folder),
        size_b=shape.size_b,
        max_pixels=pixels,
        video_max_pixels=pixels,
        precision="bfloat16" if torch.cuda.is_available() else "float32",
    )


def write_store(shape: Shape, folder: Path) -> Path:
    """Write a frame store of one video for each budget: noise, blurred so that its JPEG has a usual size."""
    width, height = shape.frame
    rng = np.random.default_rng(0)
    jpegs = []
    for _ in range(max(HYBRID)):
        coarse = Image.fromarray(rng.integers(0, 256, (height // 14, width // 14, 3), dtype=np.uint8))
        buffer = io.BytesIO()
        coarse.resize((width, height), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        jpegs.append(buffer.getvalue())
    path = folder / "shard-0.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
        for budget in HYBRID:
            row = {
                "video": f"{budget}.mp4",
                "n_frames": budget,
                "duration_s": 30.0,
                "fps": budget / 30,
                "frame_index": list(range(budget)),
                "timestamp_s": [30.0 * index / budget for index in range(budget)],
                "jpeg": jpegs[:budget],
                "effective_budget": [budget],
            }
            writer.write_batch(pa.RecordBatch.from_pylist([row], schema=SCHEMA))
    return path


def draw(shape: Shape, count: int, budget: int | None) -> pd.DataFrame:
    """`count` samples: sample_id, video, conversations, budget; None draws the hybrid's budgets, shares kept."""
    shares = {budget: 1.0} if budget else HYBRID
    numbers = [each for each, share in shares.items() for _ in range(round(share * count))]
    budgets = (numbers + [next(iter(shares))] * count)[:count]
    budgets = np.random.default_rng(1).permutation(budgets).tolist()
    said = " ".join(WORDS[number % len(WORDS)] for number in range(shape.words // 2))
    talk = [{"from": "human", "value": said}, {"from": "gpt", "value": said}]
    return pd.DataFrame(
        {
            "sample_id": [f"{number}" for number in range(count)],
            "video": [f"{each}.mp4" for each in budgets],
            "conversations": [talk] * count,
            "budget": budgets,
        }
    )


def with_weights(vlm: VLM, recipe: RecipeSettings, device: str, *, stock: bool) -> Any:
    """The model with random weights, as `vlm.load` gives it, or as transformers' class is. Returns what is trained."""
    dtype = training_dtype_of(vlm.settings, recipe)
    with torch.device(device):
        vlm.model = vlm.family.model_class._from_config(
            vlm.config, dtype=dtype, attn_implementation="sdpa" if stock else implementation(recipe.attention)
        )
    if not stock:
        vlm.family.adapt(vlm.model, vlm.settings)
    model, part_of = prepare(vlm, recipe)
    if stock:
        del vlm.model.enable_input_require_grads  # what `prepare` spares frozen parts, the stock model does
    return model, part_of


def training_dtype_of(model: ModelSettings, recipe: RecipeSettings) -> torch.dtype:
    """As a run of this model and recipe loads its weights."""
    return training_dtype(run_spec(model, recipe, 1))


def run_spec(model: ModelSettings, recipe: RecipeSettings, samples: int) -> RunSpec:
    """The specification of a run whose files are not looked at."""
    file = CheckedFile(path="", sha256="")
    return RunSpec(
        study="benchmark",
        recipe=recipe,
        model=model,
        weights=Weights(commit=None, sha256={}),
        allocation="",
        seed=0,
        manifest=file,
        budgets=file,
        frames=(),
        samples=samples,
        left_out={},
        steps=optimizer_steps(samples, recipe),
        versions={},
    )


class Clock(TrainerCallback):
    """The moment at which training began and each step ended, when the device had done it."""

    def __init__(self) -> None:
        self.moments: list[float] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._note()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self._note()

    def _note(self) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.moments.append(time.perf_counter())


class InDrawnOrder(Dataset[dict[str, torch.Tensor]]):
    """The samples of a run in the order of its steps, encoded when asked for."""

    def __init__(self, samples: VideoConversations, spec: RunSpec) -> None:
        steps = StepSampler([1.0] * len(samples), batch_size=spec.recipe.batch_size, epochs=1, seed=spec.seed)
        self.samples, self.order = samples, [number for step in steps for number in step]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, place: int) -> dict[str, torch.Tensor]:
        return self.samples[self.order[place]].inputs


def train_ours(spec: RunSpec, vlm: VLM, samples: VideoConversations, folder: Path, device: str, workers: int) -> Clock:
    """Train with this project's Trainer; returns when its steps ended."""
    model, part_of = with_weights(vlm, spec.recipe, device, stock=False)
    folder.mkdir(parents=True)
    clock = Clock()
    VideoTrainer(
        spec,
        model,
        part_of,
        Samples(samples, None),
        RunLog(folder / "log.jsonl"),
        training_arguments(spec, folder, processes=1, workers=workers),
        [clock],
    ).train()
    return clock


def train_plain(
    spec: RunSpec, vlm: VLM, samples: VideoConversations, folder: Path, device: str, workers: int, at_once: int
) -> Clock:
    """Train with transformers' Trainer, `at_once` samples a batch; returns when its steps ended."""
    model, _ = with_weights(vlm, spec.recipe, device, stock=True)
    given = training_arguments(spec, folder, processes=1, workers=workers)
    clock = Clock()
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            **{
                name: getattr(given, name)
                for name in (
                    "output_dir",
                    "num_train_epochs",
                    "learning_rate",
                    "lr_scheduler_type",
                    "warmup_steps",
                    "weight_decay",
                    "max_grad_norm",
                    "seed",
                    "bf16",
                    "activation_checkpointing",
                    "activation_checkpointing_kwargs",
                    "use_cpu",
                    "dataloader_num_workers",
                    "report_to",
                    "disable_tqdm",
                    "remove_unused_columns",
                )
            },
            per_device_train_batch_size=at_once,
            gradient_accumulation_steps=spec.recipe.batch_size // at_once,
            train_sampling_strategy="sequential",  # the data set is in the drawn order
            save_strategy="no",
            logging_strategy="no",
        ),
        train_dataset=InDrawnOrder(samples, spec),
        data_collator=lambda examples: collate(vlm, examples),
        callbacks=[clock],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return clock


def empty(vlm: VLM) -> None:
    """Let go of a model, and count memory anew."""
    vlm.model = None  # type: ignore[assignment]
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


@dataclass(frozen=True)
class Figures:
    """What one training gave: rates over the timed steps, peak memory, samples a batch where that is fixed."""

    samples_a_second: float
    tokens_a_second: float
    flops_a_second: float
    masked_a_second: float
    peak_gb: float
    at_once: int | None = None


def figures(clock: Clock, spec: RunSpec, samples: VideoConversations, at_once: int | None = None) -> Figures:
    """The figures of the steps behind the first ones; tokens and operations are the samples' own, without padding."""
    steps = list(StepSampler([1.0] * len(samples), batch_size=spec.recipe.batch_size, epochs=1, seed=spec.seed))
    of_budget = {budget: samples[samples.budgets.index(budget)] for budget in set(samples.budgets)}  # all say the same
    timed = [of_budget[samples.budgets[number]] for step in steps[WARM_UP:] for number in step]
    counted = ModelFlops(samples.vlm.model)
    flops = sum((counted(sample.work) for sample in timed if sample.work), Flops())
    seconds = clock.moments[-1] - clock.moments[WARM_UP]
    return Figures(
        len(timed) / seconds,
        sum(sample.tokens for sample in timed) / seconds,
        flops.total / seconds,
        flops.masked / seconds,
        peak_memory_bytes() / 1e9,
        at_once,
    )


def measure(
    spec: RunSpec, samples: VideoConversations, folder: Path, device: str, workers: int, *, plain: bool
) -> Figures | None:
    """Train one case and count; None where it does not fit on the GPU."""
    vlm = samples.vlm
    most = min(spec.recipe.micro_batch_size, spec.recipe.batch_size)
    halves = [most >> shift for shift in range(most.bit_length())]
    for at_once in halves if plain else [0]:
        empty(vlm)
        try:
            clock = (
                train_plain(spec, vlm, samples, folder / f"plain-{at_once}", device, workers, at_once)
                if plain
                else train_ours(spec, vlm, samples, folder / "ours", device, workers)
            )
            return figures(clock, spec, samples, at_once or None)
        except torch.OutOfMemoryError:
            continue
    return None


def predicted_gb(shape: Shape, recipe: RecipeSettings, most_frames: int) -> float:
    """Peak memory of the GPU as the plan foretells it."""
    study = load_study(yaml.safe_load((harness.ROOT / "config.yaml").read_text(encoding="utf-8")))
    model = study.models.get(shape.name, study.models["qwen2.5-vl-3b"])
    return demand.gpu_bytes(study, model.model_copy(update={"size_b": shape.size_b}), recipe, most_frames, 1) / 1e9


def add_rows(
    results: harness.Results,
    case: str,
    ours: Figures | None,
    plain: Figures | None,
    peak: float | None,
    predicted: float,
) -> None:
    """The rows of one case."""
    if ours is None:
        results.notes[case] = "ours: out of memory"
        return
    name = f"plain Trainer, {plain.at_once} at once" if plain else None
    for metric, unit, field in (
        ("training", "samples/s", "samples_a_second"),
        ("training", "tokens/s", "tokens_a_second"),
        ("training", "operations/s", "flops_a_second"),
    ):
        results.add(case, metric, unit, getattr(ours, field), plain and getattr(plain, field), name, better="higher")
    results.add(case, "peak memory", "GB", ours.peak_gb, plain and plain.peak_gb, name)
    if torch.cuda.is_available():
        results.add(case, "peak memory, predicted", "GB", predicted, ours.peak_gb, "measured")
    if peak:
        for metric, whole in (("MFU", False), ("MFU, whole attention", True)):
            found = [one and (one.flops_a_second + whole * one.masked_a_second) / peak for one in (ours, plain)]
            results.add(case, metric, "share", found[0], found[1], name, better="higher")


def installed(packages: Sequence[str]) -> list[str]:
    """Those that are here: a GPU machine may lack some, and has versions of its own."""
    found = {each.metadata["Name"].lower() for each in importlib.metadata.distributions() if each.metadata["Name"]}
    return [package for package in packages if package in found]


def main() -> None:
    """Command line."""
    options = harness.arguments(
        __doc__,
        ("--shape", {"nargs": "+", "choices": list(SHAPES), "help": "by default 3b 7b on a GPU, else tiny"}),
        ("--budgets", {"type": int, "nargs": "+", "choices": list(HYBRID), "help": "uniform budgets; by default all"}),
        ("--steps", {"type": int, "help": "optimizer steps of each run; by default 8, quick 4"}),
        ("--batch-size", {"type": int, "default": 16, "help": "samples an optimizer step"}),
        ("--workers", {"type": int, "help": "loader processes; by default 12 beside a GPU, else none"}),
    )
    on_gpu = torch.cuda.is_available()
    device, peak = ("cuda", bf16_peak(torch.cuda.get_device_name())) if on_gpu else ("cpu", None)
    workers = (12 if on_gpu else 0) if options.workers is None else options.workers
    steps = options.steps or (4 if options.quick else 8)
    budgets: list[int | None] = [*(options.budgets or ([8] if options.quick else list(HYBRID))), None]
    transformers.logging.set_verbosity_error()
    results = harness.Results(
        "gpu_finetuning", options.quick, installed(["torch", "transformers", "accelerate", "peft", "deepspeed"])
    )
    results.notes["device"] = torch.cuda.get_device_name() if on_gpu else "CPU: the figures say nothing about a GPU"
    results.notes["peak"] = peak
    for shape in [SHAPES[name] for name in options.shape or (["3b", "7b"] if on_gpu else ["tiny"])]:
        recipe = RecipeSettings(
            name=shape.method,
            method=shape.method,  # type: ignore[arg-type]
            learning_rates={
                "vision_tower": 2e-6 if shape.method == "full" else 0,
                "projector": 1e-5 if shape.method == "full" else 0,
                "language_model": 1e-5,
            },  # type: ignore[arg-type]
            batch_size=options.batch_size,
            deepspeed=None,
        )
        for budget in budgets:
            case = f"{shape.name}, {shape.method}, {budget or 'hybrid'} frames, on {device}"
            with tempfile.TemporaryDirectory() as aside:
                folder = Path(aside)
                model = write_base(shape, folder / "base")
                spec = run_spec(model, recipe, steps * recipe.batch_size)
                samples = VideoConversations(
                    draw(shape, spec.samples, budget),
                    FrameStore([write_store(shape, folder)]),
                    load(model, with_model=False),
                )
                ours, plain = (measure(spec, samples, folder, device, workers, plain=peer) for peer in (False, True))
                add_rows(results, case, ours, plain, peak, predicted_gb(shape, recipe, budget or max(HYBRID)))
                print(f"{case}: ours {ours}, plain {plain}", flush=True)
    results.finish()


if __name__ == "__main__":
    main()
