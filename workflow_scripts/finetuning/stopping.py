"""What ends a run before its last step, after a checkpoint: signals, the time limit of its SLURM job, another start.

SIGTERM is what SLURM sends to a job that is cancelled, preempted or at its limit. SIGUSR1 is what a job can be told to
get some time before its limit (`--signal`). Where the limit is known the run does not need it: it stops as late as its
own steps and checkpoints allow, and asks to be queued again.
"""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import FrameType

from workflow_scripts.finetuning import slurm

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)
BYTES_A_SECOND = 0.5e9
"""Rate assumed for the first checkpoint, before one was timed."""
SPARE_SECONDS = 20.0


class StopRequest:
    """Turns SIGTERM and SIGUSR1, while it listens, into a wish to stop after the step at hand."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._note) for number in STOP_SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = signal.Signals(number)


class TimeLimit:
    """The end of the SLURM job, if it has one, and how long before it the run must begin to save.

    `checkpoint_bytes`: size of a checkpoint. `end`: gives the time of the end, None without one.
    """

    def __init__(
        self,
        checkpoint_bytes: float,
        end: Callable[[], datetime | None] = slurm.end_time,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self.ask = end
        self.now = now
        self.end = end()
        self.step_seconds = 0.0
        self.save_seconds = checkpoint_bytes / BYTES_A_SECOND
        self.saved = False
        self.step_began = time.monotonic()

    @property
    def margin_seconds(self) -> float:
        """Time that one more step and the checkpoint after it may take."""
        return 1.5 * (self.step_seconds + self.save_seconds) + SPARE_SECONDS

    def note_step(self) -> None:
        """A step ended."""
        now = time.monotonic()
        self.step_seconds = max(self.step_seconds, now - self.step_began)
        self.step_began = now

    def note_save(self, seconds: float) -> None:
        """A checkpoint took so long."""
        self.save_seconds = max(self.save_seconds, seconds) if self.saved else seconds
        self.saved = True
        self.step_began = time.monotonic()

    def near(self) -> bool:
        """Whether there is no time for one more step. The limit is asked for again then: it may have been moved."""
        if self._left() > self.margin_seconds:
            return False
        self.end = self.ask()
        return self._left() <= self.margin_seconds

    def _left(self) -> float:
        return math.inf if self.end is None else (self.end - self.now()) / timedelta(seconds=1)
