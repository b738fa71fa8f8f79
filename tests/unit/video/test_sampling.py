"""Which frames a budget takes."""

import numpy as np
import pytest

from workflow_scripts.settings import InputError
from workflow_scripts.video.sampling import UNIFORM, Sampling, uniform_indices

LINSPACE = Sampling("linspace")
TWO_A_SECOND = Sampling("fps", 2.0)


def test_known_values() -> None:
    assert uniform_indices(100, 8) == [0, 12, 25, 37, 50, 62, 75, 87]
    assert uniform_indices(5, 8) == [0, 1, 2, 3, 4]
    assert uniform_indices(8, 8) == list(range(8))
    assert uniform_indices(1, 64) == [0]
    assert UNIFORM.indices(100, 8, 4.0) == uniform_indices(100, 8)


def test_budgets_nest_and_their_union_is_the_largest() -> None:
    for n in range(1, 400):
        largest = uniform_indices(n, 64)
        assert len(largest) == min(n, 64)
        assert largest == sorted(set(largest))
        assert 0 <= largest[0] <= largest[-1] < n
        for budget in (8, 16, 32):
            assert set(uniform_indices(n, budget)) <= set(largest)
        assert UNIFORM.union(n, (8, 16, 32, 64), 1.0) == largest


def test_budgets_that_do_not_nest_are_all_in_the_union() -> None:
    assert UNIFORM.union(100, (3, 7), 4.0) == sorted({0, 33, 66} | {i * 100 // 7 for i in range(7)})


def test_linspace_is_the_one_of_llava_next() -> None:
    for n in (1, 2, 7, 8, 9, 63, 64, 65, 100, 719, 14_315):
        for budget in (1, 2, 8, 32, 64):
            told = np.linspace(0, n - 1, budget, dtype=int)
            assert LINSPACE.indices(n, budget, 1.0) == sorted(set(told.tolist()))
            assert len(LINSPACE.indices(n, budget, 1.0)) == min(n, budget)
    assert LINSPACE.indices(100, 8, 4.0) == [0, 14, 28, 42, 56, 70, 84, 99]


def test_linspace_does_not_nest_so_the_union_is_larger() -> None:
    union = LINSPACE.union(1000, (8, 16), 40.0)
    assert union == sorted(set(LINSPACE.indices(1000, 8, 40.0)) | set(LINSPACE.indices(1000, 16, 40.0)))
    assert len(union) == 22


def test_a_rate_takes_the_frame_shown_at_each_moment() -> None:
    assert TWO_A_SECOND.indices(100, 64, 4.0) == [0, 12, 25, 37, 50, 62, 75, 87]  # frame k is shown from k / 25 s on
    assert TWO_A_SECOND.indices(240, 64, 10.0) == [12 * i for i in range(20)]
    assert TWO_A_SECOND.indices(241, 64, 241 / 24) == [12 * i for i in range(21)]
    assert Sampling("fps", 23.976).indices(48, 64, 48 / 23.976) == list(range(48))
    assert Sampling("fps", 100.0).indices(48, 512, 2.0) == list(range(48))
    assert TWO_A_SECOND.indices(10, 64, 0.4) == [0]


def test_a_rate_is_capped_by_the_budget_and_then_uniform() -> None:
    assert TWO_A_SECOND.indices(240, 16, 10.0) == uniform_indices(240, 16)
    assert TWO_A_SECOND.indices(240, 20, 10.0) == [12 * i for i in range(20)]
    assert TWO_A_SECOND.union(240, (16, 64), 10.0) == sorted({12 * i for i in range(20)} | {15 * i for i in range(16)})


def test_the_last_frame_takes_the_place_of_the_last_taken() -> None:
    assert uniform_indices(100, 8, last=True) == [0, 12, 25, 37, 50, 62, 75, 99]
    assert uniform_indices(100, 1, last=True) == [99]
    assert uniform_indices(5, 8, last=True) == [0, 1, 2, 3, 4]
    assert UNIFORM.union(100, (2, 4), 4.0, last=True) == [0, 25, 50, 75, 99]
    assert UNIFORM.union(4, (4, 8), 1.0, last=True) == [0, 1, 2, 3]
    assert TWO_A_SECOND.indices(240, 64, 10.0, last=True)[-2:] == [216, 239]
    assert LINSPACE.indices(100, 8, 4.0, last=True) == LINSPACE.indices(100, 8, 4.0)


@pytest.mark.parametrize(("n", "budget"), [(0, 8), (8, 0), (-1, 8)])
@pytest.mark.parametrize("sampling", [UNIFORM, LINSPACE, TWO_A_SECOND])
def test_nothing_to_take(n: int, budget: int, sampling: Sampling) -> None:
    with pytest.raises(InputError, match="at least 1"):
        sampling.indices(n, budget, 1.0)


@pytest.mark.parametrize(("method", "fps"), [("fps", None), ("fps", 0.0), ("uniform", 2.0)])
def test_a_rate_belongs_to_fps_alone(method: str, fps: float | None) -> None:
    with pytest.raises(InputError, match="expected a rate > 0 for fps alone"):
        Sampling(method, fps)
