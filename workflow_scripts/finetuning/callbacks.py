"""When a run saves, stops and keeps a snapshot: decided after each optimizer step, by all processes alike."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from workflow_scripts.finetuning.stopping import StopRequest, TimeLimit

if TYPE_CHECKING:
    from workflow_scripts.finetuning.trainer import VideoTrainer


class Callbacks(TrainerCallback):
    """Asks for a checkpoint `seconds` after the last one's end and when the run is to stop; keeps snapshots.

    `snapshot(percent)` writes the weights; `advance(steps)` moves the progress shown. All processes decide alike.
    """

    def __init__(
        self,
        *,
        seconds: float,
        stop: StopRequest,
        limit: TimeLimit,
        percents: Sequence[int],
        snapshot: Callable[[int], None],
        advance: Callable[[int], None],
    ) -> None:
        self.seconds = seconds
        self.stop = stop
        self.limit = limit
        self.percents = percents
        self.snapshot = snapshot
        self.advance = advance
        self.saved = self.save_began = time.monotonic()
        self.trainer: VideoTrainer | None = None
        self.stopped: str | None = None
        self.steps = 0

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.saved = self.limit.step_began = time.monotonic()
        self.advance(state.global_step)
        if self.trainer is not None:
            self.trainer.line_began = time.perf_counter()

    def on_optimizer_step(self, *_: Any, **__: Any) -> None:
        if self.trainer is not None:
            self.trainer.note_optimizer_step()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        self.advance(1)
        self.steps += 1
        self.limit.note_step()
        for percent in self.percents:
            if state.global_step == math.ceil(state.max_steps * percent / 100):
                self.snapshot(percent)
        lease = self.trainer.lease if self.trainer else None
        wishes = {
            "another start of the same job": lease is not None and lease.wanted,
            "SIGTERM": self.stop.signal == signal.SIGTERM,
            "SIGUSR1": self.stop.signal == signal.SIGUSR1,
            "the time limit": args.process_index == 0 and self.limit.near(),
            "": time.monotonic() - self.saved >= self.seconds,
        }
        agreed = [
            name for name, wish in zip(wishes, self._agree(*wishes.values(), device=args.device), strict=True) if wish
        ]
        reasons = [name for name in agreed if name]
        if reasons and state.global_step < state.max_steps:
            control.should_training_stop = True
            self.stopped = reasons[0]
        if self.stopped or agreed:
            control.should_save = True
            self.save_began = time.monotonic()
        return control

    def on_save(self, *_: Any, **__: Any) -> None:
        self.saved = time.monotonic()
        self.limit.note_save(self.saved - self.save_began)

    def _agree(self, *wishes: bool, device: torch.device) -> list[bool]:
        """Each wish, true if any process has it."""
        if self.trainer is None or self.trainer.args.world_size == 1:
            return list(wishes)
        gathered = self.trainer.accelerator.gather(torch.tensor([wishes], dtype=torch.int32, device=device))
        return [bool(value) for value in gathered.amax(dim=0)]
