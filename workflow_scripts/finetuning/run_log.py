"""What happened at each optimizer step (`log.jsonl`) and in all (`summary.json`).

A line a step, with `step` from 1; `loss` is the mean over the step's supervised tokens before the step is made;
`rates` the learning rate of each part; `sample_ids`, `budgets` (frames allotted) and `frames` (frames seen) run in
parallel; `tokens` without padding, `padding` what was computed beside them; `flops` operations that the samples need
(`vlm/flops.py`), `hardware_flops` with those that activation checkpointing repeats; `seconds` of one process, split
into `data` (waiting for input), `compute` (forward, backward, optimizer) and `other` (checkpoints, logging).

Where a recipe needs image conversations: `image_ids`, `image_tokens` of `tokens`, `reference_tokens` (supervised, but
not learned from). With gradient projection: `reference_loss`, on these; `inner_product` and `cosine` of the videos'
gradient with that loss's, and whether it was `projected`.
"""

import json
import resource
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from workflow_scripts.settings.files import atomic_path

SECONDS = ("data", "compute", "other")


class RunLog:
    """The lines of a run, on disk from the moment they are appended."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def keep_until(self, step: int) -> None:
        """Drop lines after `step`, where a run goes on from its checkpoint of that step, and any line cut short."""
        kept = [json.dumps(line) for line in self.lines() if line["step"] <= step]
        with atomic_path(self.path) as partial:
            partial.write_text("".join(f"{line}\n" for line in kept))

    def append(self, line: Mapping[str, Any]) -> None:
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def lines(self) -> list[dict[str, Any]]:
        """The lines in order, up to the first that is not whole."""
        lines: list[dict[str, Any]] = []
        for text in self.path.read_text().splitlines() if self.path.is_file() else []:
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                break
        return lines


def totals(lines: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The sums over a run's steps, as `summary.json` holds them."""
    lines = list(lines)
    frames: Counter[tuple[int, int]] = Counter()
    for line in lines:
        frames.update(zip(line["budgets"], line["frames"], strict=True))
    images = [line for line in lines if "image_ids" in line]
    projected = [line for line in lines if "projected" in line]
    tenth = lines[-max(1, len(lines) // 10) :]
    return {
        "steps": len(lines),
        "samples": sum(len(line["sample_ids"]) for line in lines),
        "tokens": sum(line["tokens"] for line in lines),
        "padding_tokens": sum(line["padding"] for line in lines),
        "supervised_tokens": sum(line["supervised_tokens"] for line in lines),
        "visual_tokens": sum(line["visual_tokens"] for line in lines),
        "frames": sum(sum(line["frames"]) for line in lines),
        "flops": sum(line["flops"] for line in lines),
        "hardware_flops": sum(line["hardware_flops"] for line in lines),
        "samples_by_budget_and_frames": [
            {"budget": budget, "frames": seen, "samples": count} for (budget, seen), count in sorted(frames.items())
        ],
        **({"images": _images(images)} if images else {}),
        **({"projection": _projection(projected)} if projected else {}),
        "seconds": {part: round(sum(line["seconds"][part] for line in lines), 3) for part in SECONDS},
        "loss": {
            "first": lines[0]["loss"],
            "last": lines[-1]["loss"],
            "mean_of_last_tenth": sum(line["loss"] for line in tenth) / len(tenth),
        },
    }


def _images(lines: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Image conversations that were computed, how many different ones, and their tokens."""
    seen = [image for line in lines for image in line["image_ids"]]
    return {
        "samples": len(seen),
        "distinct": len(set(seen)),
        "tokens": sum(line["image_tokens"] for line in lines),
    }


def _projection(lines: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """In how many steps a component was taken out, and how the two gradients lay to each other."""
    cosines = [line["cosine"] for line in lines]
    return {
        "projected_steps": sum(line["projected"] for line in lines),
        "mean_cosine": sum(cosines) / len(cosines),
        "least_cosine": min(cosines),
    }


def utilization(whole: Mapping[str, Any], gpus: int, peak: float | None) -> float | None:
    """Model FLOPs utilization: the samples' operations over what the GPUs could have done in all of the run's time.

    `whole`: what `totals` gives; its seconds include waiting for data, logging and checkpoints. `peak`: operations a
    second of one GPU. None where that is not known.
    """
    if not peak or not gpus:
        return None
    return float(whole["flops"] / (sum(whole["seconds"].values()) * gpus * peak))


def peak_memory_bytes() -> int:
    """Most memory this process held so far: on the GPU where there is one, else in main memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
