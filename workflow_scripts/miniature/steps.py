"""The training steps of a small model: AdamW, a cosine schedule, a log, and checkpoints to go on from after a kill."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import get_cosine_schedule_with_warmup

from workflow_scripts.settings import cli
from workflow_scripts.settings.files import atomic_path

LOG_EVERY = 50  # steps
CHECKPOINT_EVERY = 100  # steps
WEIGHT_DECAY = 0.02


@dataclass(frozen=True)
class Plan:
    """How to train: optimizer steps, lessons a step, peak rate, seed, and a trained miniature to start from, if any."""

    steps: int
    batch: int
    rate: float
    seed: int
    start_from: Path | None
    checkpoints: Path


def train(
    module: nn.Module,
    parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
    plan: Plan,
    label: str,
    loss_of: Callable[[int], Tensor],
) -> list[dict[str, float]]:
    """Train `module`, or go on training, on the loss of each step, a scalar; returns a row every LOG_EVERY steps.

    `parameters`: of `module`, as an optimizer takes them. Weights, optimizer and schedule lie in `plan.checkpoints`.
    """
    optimizer = torch.optim.AdamW(parameters, lr=plan.rate, weight_decay=WEIGHT_DECAY, betas=(0.9, 0.98))
    schedule = get_cosine_schedule_with_warmup(optimizer, min(50, plan.steps // 10), plan.steps)
    state, log, begin = plan.checkpoints / "state.pt", list[dict[str, float]](), 0
    if state.exists():
        saved = torch.load(state, weights_only=True)
        module.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        begin, log = saved["step"], saved["log"]
    started, losses = time.monotonic(), list[float]()
    with cli.progress(plan.steps, label) as advance:
        advance(begin)
        for step in range(begin, plan.steps):
            loss = loss_of(step)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss.item())
            if (step + 1) % LOG_EVERY == 0 or step + 1 == plan.steps:
                row = {"step": step + 1, "loss": float(np.mean(losses)), "seconds": time.monotonic() - started}
                log.append(row)
                print(json.dumps(row), flush=True)
                losses = []
            if (step + 1) % CHECKPOINT_EVERY == 0:
                content = {"model": module.state_dict(), "optimizer": optimizer.state_dict()}
                with atomic_path(state) as partial:
                    torch.save({**content, "schedule": schedule.state_dict(), "step": step + 1, "log": log}, partial)
            advance(1)
    return log
