"""Worker processes that hang or die cost their item and nothing else."""

import os
import time
from functools import partial

import pytest

from workflow_scripts.settings.workers import each


def _act(item: int | str) -> int:
    if item == "hang":
        time.sleep(60)
    if item == "die":
        os._exit(7)
    if item == "fail":
        raise ValueError("no")
    assert isinstance(item, int)
    time.sleep(0.01 * (item % 3))
    return item * item


def test_outcomes_in_order_whatever_happens() -> None:
    items = [1, "hang", 2, "die", 3, "fail", *range(4, 12)]
    start = time.monotonic()
    outcomes = list(each(_act, items, workers=2, timeout_s=1.5))
    assert time.monotonic() - start < 30
    assert [outcome.value for outcome in outcomes] == [item * item if isinstance(item, int) else None for item in items]
    assert outcomes[1].hung
    assert outcomes[3].exit_code == 7
    assert isinstance(outcomes[5].error, ValueError)


def test_nothing_to_do() -> None:
    assert list(each(_act, [], workers=4, timeout_s=1)) == []


def _slow_first(item: int) -> int:
    time.sleep(1.0 if item == 0 else 0.0)
    return item


def test_work_does_not_run_far_ahead() -> None:
    outcomes = each(partial(_slow_first), range(500), workers=2, timeout_s=20, lookahead=3)
    assert next(outcomes).value == 0
    outcomes.close()  # type: ignore[attr-defined]


def test_a_worker_that_cannot_start_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="before any item"):
        list(each(_Unpicklable(), [1], workers=1, timeout_s=1))


class _Unpicklable:
    """Arrives in the worker, and ends it there."""

    def __call__(self, item: int) -> int:
        return item

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (3,)
