"""Which frames a budget takes."""

import pytest

from workflow_scripts.settings import InputError
from workflow_scripts.video.sampling import uniform_indices, union_indices


def test_known_values() -> None:
    assert uniform_indices(100, 8) == [0, 12, 25, 37, 50, 62, 75, 87]
    assert uniform_indices(5, 8) == [0, 1, 2, 3, 4]
    assert uniform_indices(8, 8) == list(range(8))
    assert uniform_indices(1, 64) == [0]


def test_budgets_nest_and_their_union_is_the_largest() -> None:
    for n in range(1, 400):
        largest = uniform_indices(n, 64)
        assert len(largest) == min(n, 64)
        assert largest == sorted(set(largest))
        assert 0 <= largest[0] <= largest[-1] < n
        for budget in (8, 16, 32):
            assert set(uniform_indices(n, budget)) <= set(largest)
        assert union_indices(n, (8, 16, 32, 64)) == largest


def test_budgets_that_do_not_nest_are_all_in_the_union() -> None:
    assert union_indices(100, (3, 7)) == sorted({0, 33, 66} | {i * 100 // 7 for i in range(7)})


def test_the_last_frame_takes_the_place_of_the_last_taken() -> None:
    assert uniform_indices(100, 8, last=True) == [0, 12, 25, 37, 50, 62, 75, 99]
    assert uniform_indices(100, 1, last=True) == [99]
    assert uniform_indices(5, 8, last=True) == [0, 1, 2, 3, 4]
    assert union_indices(100, (2, 4), last=True) == [0, 25, 50, 75, 99]
    assert union_indices(4, (4, 8), last=True) == [0, 1, 2, 3]


@pytest.mark.parametrize(("n", "budget"), [(0, 8), (8, 0), (-1, 8)])
def test_nothing_to_take(n: int, budget: int) -> None:
    with pytest.raises(InputError, match="at least 1"):
        uniform_indices(n, budget)
