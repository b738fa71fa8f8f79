"""Rule `train`: the run that a `spec.yaml` describes, on one process or, started by torchrun, on many.

    python -m workflow_scripts.finetuning.train --spec RUN/spec.yaml --store frames/shard-*.arrow \\
        --checkpoints results/<study>/.checkpoints --threads 2 --output RUN

Writes `model/` (for LoRA `adapter/` too), `snapshots/<percent>/` where asked (for LoRA with `adapter/` in it),
`log.jsonl`, and `summary.json` last.
Killed at any time and started again, it goes on from its last checkpoint to the same weights. SIGTERM and SIGUSR1 save
a checkpoint and end it with exit status 75 (try again), and so does the nearing time limit of its SLURM job. After
that, after SIGUSR1 and when it is preempted, the job is queued again.
"""

import argparse
import os
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import torch
import transformers

from workflow_scripts.finetuning import checkpoints, finished, slurm
from workflow_scripts.finetuning.arguments import training_arguments
from workflow_scripts.finetuning.callbacks import Callbacks
from workflow_scripts.finetuning.checkpoints import DiskFullError
from workflow_scripts.finetuning.dataset import VideoConversations
from workflow_scripts.finetuning.images import ImageConversations, Samples
from workflow_scripts.finetuning.lease import Lease, held
from workflow_scripts.finetuning.parameters import count_trainable
from workflow_scripts.finetuning.publish import publish
from workflow_scripts.finetuning.run_log import RunLog, peak_memory_bytes, totals, utilization
from workflow_scripts.finetuning.samples import quarantined_videos, read_samples, split_quarantined
from workflow_scripts.finetuning.spec import RunSpec, check_unchanged, read_spec
from workflow_scripts.finetuning.stopping import StopRequest, TimeLimit
from workflow_scripts.finetuning.trainer import NonFiniteError, VideoTrainer
from workflow_scripts.frames.store import FrameStore
from workflow_scripts.settings.cli import progress, run
from workflow_scripts.settings.files import atomic_path, write_json
from workflow_scripts.vlm.device import bf16_peak
from workflow_scripts.vlm.load import load
from workflow_scripts.vlm.trainable import prepare

STOPPED = 75  # EX_TEMPFAIL: the same command, started again, goes on
MOST_WORKERS = 2  # each holds up to two encoded steps in memory


QUEUED_AGAIN = ("SIGUSR1", "the time limit")
CHECKPOINT_BYTES = {"full": 16.0, "lora": 2.5}  # for a parameter: weights and AdamW's moments in float32; to spare
OUT_OF_MEMORY = (
    "out of memory on the GPU; lower recipes.{recipe}.micro_batch_tokens (now {tokens}) or micro_batch_size, or the "
    "model's video_max_pixels, set activation_checkpointing, use deepspeed: zero3, or ask for more GPUs by a smaller "
    "compute.gpu_memory_gb"
)
LOADER_KILLED = (
    "a data loader was killed, as happens when the job's memory is used up; ask for more, by --set-resources "
    "train:mem_mb=<MB>, or hold fewer frames, by a smaller batch_size or fewer compute.threads.finetuning"
)


class Stopped(Exception):
    """The run was asked to stop and has saved a checkpoint; the message says where it is. `reason`: who asked."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class RunError(Exception):
    """The run cannot go on; the message says why and what to change."""


def train(
    spec_path: Path, store: Sequence[Path], checkpoint_root: Path, output: Path, *, workers: int, save_seconds: float
) -> None:
    """Train the run of `spec_path`, or what is left of it, and publish it in `output`.

    Raises InputError before training for input that is wrong or not what the specification was made from, and where
    another process trains this run; Stopped; NonFiniteError; DiskFullError; RunError.
    """
    spec = read_spec(spec_path)
    check_unchanged(spec, store)
    folder = checkpoints.run_folder(checkpoint_root, spec_path)
    stop = StopRequest()
    first = os.environ.get("RANK", "0") == "0"
    with stop.listening(), held(folder, lambda: stop.signal is not None) if first else nullcontext() as lease:
        try:
            with checkpoints.room_on_disk(folder, wanted="log and results"):
                _train(spec, store, folder, output, stop, lease, workers=workers, save_seconds=save_seconds)
        except torch.OutOfMemoryError as error:
            advice = OUT_OF_MEMORY.format(recipe=spec.recipe.name, tokens=spec.recipe.micro_batch_tokens)
            raise RunError(f"{advice}. {str(error).splitlines()[0]}") from error
        except RuntimeError as error:
            if "killed by signal: Killed" not in str(error):
                raise
            raise RunError(LOADER_KILLED) from error


def _train(
    spec: RunSpec,
    store: Sequence[Path],
    folder: Path,
    output: Path,
    stop: StopRequest,
    lease: Lease | None,
    *,
    workers: int,
    save_seconds: float,
) -> None:
    began = time.perf_counter()
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    # before any model is loaded: DeepSpeed shards weights as they are loaded
    arguments = training_arguments(spec, folder, processes=processes, workers=workers)
    first = arguments.process_index == 0
    with arguments.main_process_first():
        if first:
            done = finished.restore(folder, output)
            if not done:
                finished.forget(folder)
            checkpoints.clear_staging(folder)
        else:
            done = finished.recorded(folder)
        checkpoint = checkpoints.last_whole(folder)
    if done:
        if first:
            print("finished by an earlier start, with the same specification and code", file=sys.stderr)
        return
    transformers.set_seed(spec.seed)

    clips = FrameStore(store)
    samples, left_out = split_quarantined(
        read_samples(Path(spec.manifest.path), Path(spec.budgets.path)), clips.videos, quarantined_videos(store)
    )
    view = asdict(spec.recipe.view)
    reader = load(spec.model, **view, with_model=False)
    images = ImageConversations(Path(spec.images.path), reader) if spec.images is not None else None
    dataset = Samples(VideoConversations(samples, clips, reader), images)
    dataset.check_longest()

    vlm = load(spec.model, dtype=training_dtype(spec), attention=spec.recipe.attention, **view)
    model, part_of = prepare(vlm, spec.recipe)
    trainable = count_trainable(model, part_of, spec.recipe)
    log = RunLog(folder / "log.jsonl")
    if first:
        log.keep_until(checkpoints.step_of(checkpoint) if checkpoint else 0)
    label = f"finetuning {spec.recipe.name}/{spec.model.name}/{spec.allocation}"
    shown = progress(spec.steps, label) if first else nullcontext(lambda steps=1: None)
    with shown as advance:
        size = CHECKPOINT_BYTES[spec.recipe.method] * spec.model.size_b * 1e9
        kept = folder / "snapshots"
        callbacks = Callbacks(
            seconds=save_seconds,
            stop=stop,
            limit=TimeLimit(size / int(os.environ.get("GROUP_WORLD_SIZE", "1"))),
            percents=spec.recipe.snapshots,
            snapshot=lambda percent: publish(trainer, spec, kept / str(percent), kept / str(percent) / "adapter"),
            advance=advance,
        )
        trainer = VideoTrainer(spec, model, part_of, dataset, log, arguments, [callbacks], lease)
        callbacks.trainer = trainer
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    step = trainer.state.global_step
    if callbacks.stopped:
        if callbacks.stopped == "the time limit" and callbacks.steps < 2 and first:
            raise RunError(
                f"the job's time limit left no time for two steps after {time.perf_counter() - began:.0f} s; "
                "expected a longer one, by --set-resources train:runtime=<minutes>"
            )
        message = f"{callbacks.stopped} at step {step} of {spec.steps}; the same command goes on from {folder}"
        raise Stopped(callbacks.stopped, message)
    if step != spec.steps:
        raise AssertionError(f"trained {step} steps; expected {spec.steps}")
    count_trainable(model, part_of, spec.recipe)

    trainer.check_lease()
    publish(trainer, spec, output / "model", output / "adapter")
    if first:
        _finish(spec, log, folder, output, trainable, left_out, time.perf_counter() - began, processes)


def _finish(
    spec: RunSpec,
    log: RunLog,
    folder: Path,
    output: Path,
    trainable: dict[str, int],
    left_out: dict[str, int],
    seconds: float,
    processes: int,
) -> None:
    """Publish snapshots, log and summary, and forget the checkpoints."""
    for percent in spec.recipe.snapshots:
        with atomic_path(output / "snapshots" / str(percent)) as partial_path:
            shutil.copytree(folder / "snapshots" / str(percent), partial_path)
    with atomic_path(output / "log.jsonl") as partial_path:
        shutil.copyfile(log.path, partial_path)
    whole = totals(log.lines())
    gpus = processes if torch.cuda.is_available() else 0
    device = torch.cuda.get_device_name() if gpus else None
    hours = sum(whole["seconds"].values()) / 3600
    last = checkpoints.last_whole(folder)
    summary = {
        **whole,
        "hours": round(hours, 4),
        "gpus": gpus,
        "nodes": int(os.environ.get("GROUP_WORLD_SIZE", "1")),
        "gpu_hours": round(hours * gpus, 4),
        "checkpoint_bytes": checkpoints.size(last) if last else None,
        "result_bytes": sum(checkpoints.size(output / name) for name in ("model", "adapter", "snapshots")),
        "last_start_seconds": round(seconds, 3),
        "processes": processes,
        "peak_memory_bytes": peak_memory_bytes(),
        "device": device,
        "mfu": utilization(whole, gpus, bf16_peak(device) if spec.model.precision == "bfloat16" else None),
        "trainable_parameters": trainable,
        "left_out": left_out,
        "versions": spec.versions,
    }
    write_json(summary, output / "summary.json")
    finished.record(folder, output, ["model", "adapter", "snapshots", "log.jsonl", "summary.json"])
    checkpoints.forget(folder)


def training_dtype(spec: RunSpec) -> torch.dtype:
    """Number format the weights are loaded in: float32 where they are trained and nothing else keeps a float32 copy.

    In bfloat16 an AdamW step of usual size is rounded away. DeepSpeed keeps its own copy; LoRA's base does not move.
    """
    if spec.recipe.method == "full" and spec.recipe.deepspeed is None:
        return torch.float32
    dtype: torch.dtype = getattr(torch, spec.model.precision)
    return dtype


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spec", type=Path, required=True, help="the run's spec.yaml")
    parser.add_argument("--store", type=Path, nargs="+", required=True, help="frames/shard-*.arrow")
    parser.add_argument("--checkpoints", type=Path, required=True, help="folder of all runs' checkpoints")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads, shared by torchrun's processes on a node")
    parser.add_argument("--workers", type=int, help="data loader processes; by default half its threads, at most 2")
    parser.add_argument("--save-minutes", type=float, default=30.0, help="from one checkpoint's end to the next")
    parser.add_argument("--output", type=Path, required=True, help="the run's folder")
    options = parser.parse_args(arguments)
    threads = max(1, options.threads // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    torch.set_num_threads(threads)
    workers = min(MOST_WORKERS, threads // 2) if options.workers is None else options.workers
    transformers.logging.disable_progress_bar()
    try:
        train(
            options.spec,
            options.store,
            options.checkpoints,
            options.output,
            workers=workers,
            save_seconds=options.save_minutes * 60,
        )
    except Stopped as stopped:
        print(f"stopped: {stopped}", file=sys.stderr, flush=True)
        first = os.environ.get("RANK", "0") == "0"
        if first and (stopped.reason in QUEUED_AGAIN or slurm.is_preempted()):
            slurm.queue_again()
        sys.exit(STOPPED)
    except (NonFiniteError, DiskFullError, RunError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    run(main)
