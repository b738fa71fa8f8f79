"""When a run stops for the time limit of its job."""

from datetime import datetime, timedelta

import pytest

from workflow_scripts.finetuning import stopping
from workflow_scripts.finetuning.stopping import SPARE_SECONDS, TimeLimit

NOON = datetime(2026, 1, 1, 12)


def test_without_a_limit_it_never_stops() -> None:
    assert not TimeLimit(1e9, end=lambda: None).near()


def test_it_leaves_time_for_a_step_and_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(stopping.time, "monotonic", lambda: clock[0])
    limit = TimeLimit(50e9, end=lambda: NOON + timedelta(minutes=10), now=lambda: NOON + timedelta(seconds=clock[0]))
    assert limit.margin_seconds == 1.5 * 100 + SPARE_SECONDS
    clock[0] = 30
    limit.note_step()
    assert limit.margin_seconds == 1.5 * (30 + 100) + SPARE_SECONDS
    limit.note_save(10)
    assert limit.margin_seconds == 1.5 * (30 + 10) + SPARE_SECONDS
    clock[0] = 600 - 81
    assert not limit.near()
    clock[0] = 600 - 79
    assert limit.near()


def test_a_limit_that_was_moved_is_seen() -> None:
    ends = [NOON, NOON + timedelta(hours=1)]
    limit = TimeLimit(0, end=lambda: ends.pop(0), now=lambda: NOON)
    assert not limit.near()
