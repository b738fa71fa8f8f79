"""The time of a run, split into waiting for data, computing, and the rest."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from workflow_scripts.finetuning.callbacks import Callbacks
from workflow_scripts.finetuning.dataset import Sample, VideoConversations
from workflow_scripts.finetuning.trainer import VideoTrainer


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


@pytest.fixture
def slow_data(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Encoding a sample takes so many seconds longer."""
    encode = VideoConversations.__getitem__

    def slow_down(seconds: float) -> None:
        def slowly(self: VideoConversations, number: int) -> Sample:
            time.sleep(seconds)
            return encode(self, number)

        monkeypatch.setattr(VideoConversations, "__getitem__", slowly)

    return slow_down


def test_the_parts_add_up_to_the_wall_clock(run_train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    moments = []
    begin, write = Callbacks.on_train_begin, VideoTrainer.log

    def began(self: Callbacks, *arguments: Any, **rest: Any) -> None:
        begin(self, *arguments, **rest)
        moments.append(time.perf_counter())

    def wrote(self: VideoTrainer, logs: dict[str, float], start_time: float | None = None) -> None:
        write(self, logs, start_time)
        if "grad_norm" in logs:
            moments.append(time.perf_counter())

    monkeypatch.setattr(Callbacks, "on_train_begin", began)
    monkeypatch.setattr(VideoTrainer, "log", wrote)
    found = lines(run_train())
    assert len(moments) == len(found) + 1
    for line in found:
        assert set(line["seconds"]) == {"data", "compute", "other"}
        assert min(line["seconds"].values()) >= 0
    parts = sum(sum(line["seconds"].values()) for line in found)
    assert parts == pytest.approx(moments[-1] - moments[0], rel=0.02, abs=0.05)


def test_slow_data_shows_as_data(run_train: Callable[..., Path], slow_data: Callable[[float], None]) -> None:
    slow_data(0.03)
    found = lines(run_train())
    assert sum(line["seconds"]["data"] for line in found) > 21 * 0.03


def test_slow_computing_shows_as_compute(run_train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    compute = VideoTrainer.compute_loss

    def slowly(self: VideoTrainer, *arguments: Any, **rest: Any) -> torch.Tensor:
        time.sleep(0.05)
        return compute(self, *arguments, **rest)

    monkeypatch.setattr(VideoTrainer, "compute_loss", slowly)
    found = lines(run_train())
    assert all(line["seconds"]["compute"] > 0.05 * line["micro_batches"] for line in found)


@pytest.mark.slow
def test_loaders_prepare_the_next_step_while_this_one_computes(
    run_train: Callable[..., Path], slow_data: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_data(0.1)  # 0.4 s a step
    step = VideoTrainer.training_step

    def slowly(self: VideoTrainer, *arguments: Any, **rest: Any) -> torch.Tensor:
        time.sleep(0.8)
        return step(self, *arguments, **rest)

    monkeypatch.setattr(VideoTrainer, "training_step", slowly)
    found = lines(run_train("run", "--workers", "1"))
    assert found[0]["seconds"]["data"] > 0.4
    # one after the other it would be 0.4 s a step at the least
    assert sum(line["seconds"]["data"] for line in found[1:]) < 0.2 * len(found[1:])
