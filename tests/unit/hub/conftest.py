"""A hub of a few files, and no waiting between attempts."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.hub_server import FakeHub, serve

NOISE = random.Random(0).randbytes(3_000_000)


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workflow_scripts.hub.stream.FIRST_WAIT_S", 0.0)
    monkeypatch.setattr("workflow_scripts.hub.stream.ATTEMPTS", 4)


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    """One data set and one model."""
    files = {"a/large.bin": NOISE, "small.json": b'{"a": 1}', "name with space.txt": b"x" * 10, "empty.txt": b""}
    model = {
        "config.json": b"{}",
        "model.safetensors": NOISE[:5000],
        "pytorch_model.bin": NOISE[:6000],
        "original/model.safetensors": NOISE[:7000],
    }
    with serve(FakeHub({("datasets", "o/data"): files, ("models", "o/model"): model})) as served:
        yield served
