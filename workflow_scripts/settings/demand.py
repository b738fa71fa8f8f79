"""What a job asks of a cluster, from the settings: GPUs, machines, memory, hours, disk. Meant to be enough, not exact.

GPU memory of a training run, for each of P parameters over g GPUs: 2 bytes of weights in bfloat16, 4 of gradients added
up in float32, 12 of AdamW's moments and master copy. zero3 shards all of it, zero2 all but the weights; without
DeepSpeed a run has 16 bytes a parameter, all in float32, on every GPU. Adapters are taken as P / 40. `offload` takes
the 12 to the machine's memory, with zero3 the gradients too and, where parameters are offloaded, the weights.
To that come activations, from the longest sequence: each layer's input, one layer at work, the vision tower's, and the
logits; and `BUFFERS`, what CUDA, NCCL and DeepSpeed's buckets take.
Width and depth follow from P as for the models of the study: P = 12 depth width^2, width = 128 depth. GPUs are the
smallest power of two for which the sum fills at most `FILL` of a GPU.

Hours: 6 operations a parameter and token, 8 with activation checkpointing, language model and vision tower apart, a
tenth more for attention, at `OPERATIONS_A_SECOND` a GPU. The time limit is twice that and half an hour; a run that
needs longer goes on in the next job.

Replay adds image conversations on a picture of the model's max_pixels each; gradient projection too, and a copy of the
gradients in float32. An interpolation reads two models and writes one, at `INTERPOLATED` bytes a second, without a GPU.

Memory of a machine: each process's own, the weights while they are read and written, and the batches that the loaders
hold: a frame is kept as float32, so 64 frames cost eight times what 8 do. What is offloaded takes `OFFLOADED` bytes a
parameter that is trained, over all machines. That the optimizer then steps on the CPU is not in the hours.

Each of these can be set by hand, rule by rule: `--set-resources train:mem_mb=200000`.
"""

import math
from dataclasses import dataclass

from .context import frame_pixels, geometry, image_tokens, visual_tokens
from .families import FAMILIES
from .models import ModelSettings
from .recipes import RecipeSettings
from .section import InputError
from .study import StudySettings

FILL = 0.9
BUFFERS = 6e9
OPERATIONS_A_SECOND = 75e12
"""Sustained by one GPU: a quarter of an A100's peak in bfloat16. An H100 does two to three times that."""
TEXT_TOKENS = 400
"""Tokens of a conversation of LLaVA-Video-178K beside its clip: captions are a few hundred words."""
VOCABULARY = 152_000
ADAPTERS = 1 / 40
INFERENCE_BYTES = 2.0
INFERENCE_SPARE = 1.25
HOST_MB = 6_000
PROCESS_MB = 4_000
HOST_MB_A_BILLION = 6_000
"""Memory of each machine for 10^9 parameters: the weights once in float32 and once in bfloat16."""
OFFLOADED = 20.0
"""AdamW's moments and the float32 copy of the weights are 12, gradients and the pinned buffers they pass through 8."""
GRADIENT_BYTES = 28.0
"""Of a trained parameter, beside its weight: a copy to go back to, and up to six vectors of the kind of a gradient."""
LOADED_STEPS = 5
"""Encoded steps that a process and its two loaders hold: one at work, and for each loader one ready, one being made."""
INTERPOLATED = 100e6
MOST_GPUS = 1024
CHECKPOINTS = 3  # two kept, one being written


@dataclass(frozen=True)
class Demand:
    """What one training run asks for. Bytes, except `host_mb`; `hours` is the estimate, `minutes` the time limit."""

    gpus: int
    nodes: int
    tokens: int | None
    gpu_bytes: float
    host_mb: int
    hours: float
    minutes: int
    checkpoint_bytes: float
    result_bytes: float

    @property
    def gpu_hours(self) -> float:
        return self.gpus * self.hours


def frames(study: StudySettings, allocation: str) -> tuple[float, int]:
    """Frames of a sample: expected, and at most. A hybrid allocation counts as the mean of the admissible budgets."""
    budget = study.uniform_budget(allocation)
    admissible = study.frames.budgets
    return (budget, budget) if budget else (sum(admissible) / len(admissible), admissible[-1])


def training(study: StudySettings, model: ModelSettings, recipe: RecipeSettings, allocation: str) -> Demand:
    """What a run of this model, recipe and allocation asks for."""
    if recipe.interpolation is not None:
        return _interpolation(model, recipe)
    expected, most = frames(study, allocation)
    count, machines = gpus(study, model, recipe), nodes(study, model, recipe)
    hours = training_hours(study, model, recipe, expected)
    parameters = model.size_b * 1e9
    whole = recipe.method == "full"
    weight = 2.0 if model.precision == "bfloat16" else 4.0
    kept = weight + 12 if recipe.deepspeed else 12.0
    return Demand(
        gpus=count,
        nodes=machines,
        tokens=_tokens(study, model, recipe, most),
        gpu_bytes=gpu_bytes(study, model, recipe, most, count),
        host_mb=host_mb(study, model, recipe, most),
        hours=hours,
        minutes=training_minutes(study, model, recipe, allocation),
        checkpoint_bytes=CHECKPOINTS * kept * parameters * (1 if whole else ADAPTERS),
        result_bytes=weight * parameters * (len(recipe.snapshots) + 1) * (1 if whole else 1 + ADAPTERS),
    )


def _interpolation(model: ModelSettings, recipe: RecipeSettings) -> Demand:
    """What it takes to write weights between two models' weights."""
    written = (2.0 if model.precision == "bfloat16" else 4.0) * model.size_b * 1e9
    hours = 3 * written / INTERPOLATED / 3600
    return Demand(
        gpus=0,
        nodes=1,
        tokens=None,
        gpu_bytes=0.0,
        host_mb=HOST_MB,
        hours=hours,
        minutes=round(30 + 2 * 60 * hours),
        checkpoint_bytes=0.0,
        result_bytes=written * (1 if recipe.method == "full" else 1 + ADAPTERS),
    )


def gpu_bytes(
    study: StudySettings, model: ModelSettings, recipe: RecipeSettings, most_frames: int, count: int
) -> float:
    """Peak memory of one of `count` GPUs in training."""
    parameters = model.size_b * 1e9
    trained = parameters if recipe.method == "full" else parameters * ADAPTERS
    count = max(count, 1)
    if recipe.deepspeed is None:
        states = (16 if recipe.gradient_projection is None else 20) * trained
        states += 0 if recipe.method == "full" else 2 * parameters
    else:
        weights = 0.0 if recipe.offload == "parameters" else 2 * parameters
        moving = 16 if recipe.offload == "none" else 4 if recipe.deepspeed == "zero2" else 0
        states = weights / (count if recipe.deepspeed == "zero3" else 1) + moving * trained / count
    return BUFFERS + states + _activation_bytes(study, model, recipe, most_frames)


def _activation_bytes(study: StudySettings, model: ModelSettings, recipe: RecipeSettings, most_frames: int) -> float:
    """Of the largest micro-batch, in bfloat16: as many of the longest samples as a recipe lets share a pass."""
    seen = _tokens(study, model, recipe, most_frames) or 0
    longest = seen + TEXT_TOKENS
    tokens = recipe.micro_batch_size * longest
    if recipe.micro_batch_tokens is not None:
        tokens = max(longest, min(tokens, recipe.micro_batch_tokens))
    width = (128 * model.size_b * 1e9 / 12) ** (1 / 3)
    layers = width / 128
    at_work = 34 * tokens * width * 2
    held = layers * (tokens * width * 2 if recipe.activation_checkpointing else at_work)
    cut = geometry(model)
    patches = tokens / longest * seen * (cut.merge * cut.pool) ** 2 if cut else 0
    vision = 32 * patches * 1280 * 2 * (1 if recipe.activation_checkpointing else 34)
    logits = 3 * 4 * VOCABULARY * min(tokens, recipe.micro_batch_size * TEXT_TOKENS)
    return held + at_work + vision + logits


def gpus(study: StudySettings, model: ModelSettings, recipe: RecipeSettings | None = None) -> int:
    """GPUs to train a model by a recipe, the same for every allocation, or without a recipe to run the model.

    0 where `compute.gpu_memory_gb` is null. More GPUs help only where DeepSpeed shards. Raises InputError where the run
    fits on no number of them.
    """
    if study.compute.gpu_memory_gb is None:
        return 0
    memory = study.compute.gpu_memory_gb * 1e9
    if recipe is None:
        return 2 ** math.ceil(math.log2(max(model.size_b * 1e9 * INFERENCE_BYTES * INFERENCE_SPARE / memory, 1)))
    if recipe.deepspeed is None:
        return 1
    most = _largest(study, model, recipe)
    count = 1
    while (needed := gpu_bytes(study, model, recipe, most, count)) > FILL * memory:
        if count == MOST_GPUS:
            raise InputError(
                f"compute.gpu_memory_gb is {study.compute.gpu_memory_gb:g}; {model.name} on {most} frames, recipe "
                f"{recipe.name}, needs {needed / FILL / 1e9:.0f} GB of each of {count} GPUs. Take larger GPUs, fewer "
                f"frames or pixels, a smaller micro_batch_tokens, activation_checkpointing or deepspeed: zero3"
            )
        count *= 2
    return count


def _tokens(study: StudySettings, model: ModelSettings, recipe: RecipeSettings, count: int) -> int | None:
    """Most visual tokens of a clip of `count` frames."""
    return visual_tokens(model, count, study.frames.max_pixels, recipe.total_pixels)


def _largest(study: StudySettings, model: ModelSettings, recipe: RecipeSettings) -> int:
    """The largest admissible budget that a model's context holds, at least the smallest of all."""
    budgets = study.frames.budgets
    return max([n for n in budgets if (_tokens(study, model, recipe, n) or 0) <= model.max_length] or [budgets[0]])


def nodes(study: StudySettings, model: ModelSettings, recipe: RecipeSettings) -> int:
    """Machines to train a model: a power of two, so that all have the same number of GPUs."""
    return 2 ** math.ceil(math.log2(max(gpus(study, model, recipe) / study.compute.gpus_per_node, 1)))


def host_mb(study: StudySettings, model: ModelSettings, recipe: RecipeSettings, most_frames: int) -> int:
    """Memory of each machine in training, in MB."""
    processes, machines = max(gpus(study, model, recipe), 1), nodes(study, model, recipe)
    cut = geometry(model)
    stored = study.frames.max_pixels
    most = min(model.video_max_pixels, stored)
    pixels = frame_pixels(cut, model, most_frames, stored, recipe.total_pixels) if cut else most
    seen = recipe.batch_size * (most_frames * pixels + images_a_video(recipe) * model.max_pixels)
    step = seen / machines * 3 * 4 / 1e6
    here = processes // machines
    trained = model.size_b * (1 if recipe.method == "full" else ADAPTERS)
    offloaded = 0.0 if recipe.offload == "none" else OFFLOADED * trained
    offloaded += 2 * model.size_b if recipe.offload == "parameters" else 0.0
    used = HOST_MB + PROCESS_MB * here + HOST_MB_A_BILLION * model.size_b + LOADED_STEPS * step
    return round(used + offloaded * 1000 / machines)


def memory_mb(model: ModelSettings) -> int:
    """Memory of the machine that runs a model, in MB."""
    return round(HOST_MB + HOST_MB_A_BILLION * model.size_b)


def training_hours(study: StudySettings, model: ModelSettings, recipe: RecipeSettings, frames: float) -> float:
    """Hours of a training run on its GPUs; without GPUs as on one."""
    work = _sample_work(study, model, recipe.total_pixels, round(frames))
    if images := images_a_video(recipe):
        work += images * _work(model, image_tokens(model, model.max_pixels) or 0, pooled=False)
    each = (8 if recipe.activation_checkpointing else 6) * 1.1 * work * 1e9
    samples = study.curation.videos * recipe.epochs
    return each * samples / OPERATIONS_A_SECOND / 3600 / max(gpus(study, model, recipe), 1)


def _sample_work(study: StudySettings, model: ModelSettings, total_pixels: int | None, frames: int) -> float:
    """Parameters times the tokens that pass them, in 10^9, of a conversation about a clip of `frames` frames."""
    return _work(model, visual_tokens(model, frames, study.frames.max_pixels, total_pixels) or 0)


def _work(model: ModelSettings, seen: int, pooled: bool = True) -> float:
    """The same of a conversation with so many visual tokens, each of which pooling may make of several."""
    vision = FAMILIES[model.family].vision_b if model.size_b > 1 else 0.0
    cut = geometry(model)
    patches = seen * (cut.merge * (cut.pool if pooled else 1)) ** 2 if cut else 0
    return (model.size_b - vision) * (seen + TEXT_TOKENS) + vision * patches


def images_a_video(recipe: RecipeSettings) -> float:
    """Image conversations that a recipe computes for each video, on average."""
    if recipe.gradient_projection is not None:
        return recipe.gradient_projection / recipe.batch_size
    return 0.0 if recipe.replay is None else recipe.replay / (1 - recipe.replay)


def training_minutes(study: StudySettings, model: ModelSettings, recipe: RecipeSettings, allocation: str) -> int:
    """Time limit of a training run."""
    _, most = frames(study, allocation)
    return round(30 + 2 * 60 * training_hours(study, model, recipe, most))


def inference_minutes(study: StudySettings, model: ModelSettings) -> int:
    """Time limit of an evaluation or a prediction: half a GPU hour for 10^9 parameters, at least two hours."""
    return max(120, round(30 * model.size_b / max(gpus(study, model), 1)))


def likelihood_minutes(study: StudySettings, model: ModelSettings) -> int:
    """Time limit of reading every sample's answers after each admissible number of frames: as for a training run.

    Forward passes alone, 2 operations a parameter and token.
    """
    work = sum(_sample_work(study, model, None, budget) for budget in study.frames.budgets)
    operations = 2 * 1.1 * work * 1e9 * study.curation.videos
    return round(30 + 2 * operations / OPERATIONS_A_SECOND / 60 / max(gpus(study, model), 1))


def gradient_gpus(study: StudySettings, model: ModelSettings, recipe: RecipeSettings) -> int:
    """GPUs to measure gradients of a model and steps along them; a model is spread over them layer by layer."""
    if study.compute.gpu_memory_gb is None:
        return 0
    parameters = model.size_b * 1e9
    trained = parameters if recipe.method == "full" else parameters * ADAPTERS
    one = recipe.model_copy(update={"micro_batch_size": 1})
    states = 4 * parameters + GRADIENT_BYTES * trained
    needed = BUFFERS + states + _activation_bytes(study, model, one, study.frames.budgets[-1])
    return int(2 ** math.ceil(math.log2(max(needed / (FILL * study.compute.gpu_memory_gb * 1e9), 1))))


def gradient_minutes(study: StudySettings, model: ModelSettings, recipe: RecipeSettings) -> int:
    """Time limit of measuring gradients, or steps, at one checkpoint: one GPU works at a time, 8 operations."""
    theory, budgets = study.theory, study.frames.budgets
    at_all = sum(_sample_work(study, model, recipe.total_pixels, budget) for budget in budgets)
    longest = _sample_work(study, model, recipe.total_pixels, budgets[-1])
    image = _sample_work(study, model, None, 8)
    moments = theory.moment_batches * recipe.batch_size * longest
    alignment = theory.videos * at_all + moments + theory.images * image
    ladder = len(theory.step_lengths)
    passes = 2 * theory.power_iterations + 2 + len(budgets) * (2 + ladder)
    steps = passes * theory.step_images * image + (1 + ladder) * theory.step_videos * at_all
    operations = 8 * 1.1 * max(alignment, steps) * 1e9
    return round(30 + 2 * operations / OPERATIONS_A_SECOND / 60)
