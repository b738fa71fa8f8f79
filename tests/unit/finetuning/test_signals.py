"""Runs ended from outside, as processes of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def start(world: Any, tmp_path: Path) -> Iterator[Callable[[Path, Path], subprocess.Popen[str]]]:
    """Starts the rule `train` for a spec and an output; nothing started outlives the test."""
    processes = []

    def run(spec: Path, output: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "workflow_scripts.finetuning.train"]
        command += world.arguments(spec, tmp_path / "checkpoints", output, "--save-minutes", "0")
        environment = {**os.environ, "PYTHONPATH": os.getcwd()}
        processes.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()


def wait_for_steps(tmp_path: Path, count: int) -> None:
    for _ in range(3000):
        logs = list((tmp_path / "checkpoints").glob("*/log.jsonl"))
        if logs and len(logs[0].read_text().splitlines()) >= count:
            return
        time.sleep(0.1)
    raise TimeoutError(f"no {count} steps in 300 s")


def test_killed_and_terminated_it_ends_with_the_same_weights(
    world: Any, tmp_path: Path, start: Callable[[Path, Path], subprocess.Popen[str]]
) -> None:
    whole = tmp_path / "whole"
    spec = world.spec(whole, epochs=3)
    process = start(spec, whole)
    assert process.wait(timeout=600) == 0

    output = tmp_path / "ended"
    spec = world.spec(output, epochs=3)
    process = start(spec, output)
    wait_for_steps(tmp_path, 4)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert not (output / "model").exists()

    process = start(spec, output)
    wait_for_steps(tmp_path, 7)
    process.send_signal(signal.SIGTERM)
    _, message = process.communicate(timeout=120)
    assert process.returncode == 75
    assert "stopped: SIGTERM at step" in message
    assert "Traceback" not in message

    process = start(spec, output)
    assert process.wait(timeout=600) == 0
    name = Path("model") / "model.safetensors"
    assert (output / name).read_bytes() == (whole / name).read_bytes()
    orders = [
        [json.loads(line)["sample_ids"] for line in (run / "log.jsonl").read_text().splitlines()]
        for run in (whole, output)
    ]
    assert orders[0] == orders[1]
