"""A run is shown videos as its recipe says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.finetuning import train
from workflow_scripts.vlm.load import VLM


def test_training_shares_pixels_and_rounds_times(
    run_train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seven clips each of 2, 4 and 16 frames of 64 x 64 pixels, 16 tokens a pair, share what four have: frames of
    16 are 32 x 32, four tokens a pair."""
    loaded: list[VLM] = []
    load = train.load
    monkeypatch.setattr(train, "load", lambda *args, **how: loaded.append(load(*args, **how)) or loaded[-1])
    folder = run_train(total_pixels=4 * 64 * 64, temporal_positions="integer_rate")
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    assert summary["frames"] == 7 * (2 + 4 + 16)
    assert summary["visual_tokens"] == 7 * (16 + 32 + 8 * 4)
    assert {(one.temporal_positions, one.total_pixels) for one in loaded} == {("integer_rate", 16_384)}
