"""Steps, micro-batches, and what samples cost."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pytest

from workflow_scripts.finetuning.batching import StepSampler, cut, cut_by_length, share_out
from workflow_scripts.finetuning.spec import optimizer_steps
from workflow_scripts.settings import RecipeSettings


def sampler(samples: int = 10, **settings: float) -> StepSampler:
    return StepSampler([1.0] * samples, **{"batch_size": 4, "epochs": 1, "seed": 3, **settings})  # type: ignore[arg-type]


def test_every_sample_comes_once_an_epoch() -> None:
    steps = list(sampler(epochs=2))
    assert [len(step) for step in steps] == [4, 4, 2, 4, 4, 2]
    assert sorted(chain(*steps[:3])) == list(range(10))
    assert sorted(chain(*steps[3:])) == list(range(10))
    assert steps[:3] != steps[3:]


def test_the_order_depends_on_the_seed_alone() -> None:
    assert list(sampler()) == list(sampler())
    assert list(sampler()) != list(sampler(seed=4))
    costly = StepSampler(list(range(1, 11)), batch_size=4, epochs=1, seed=3)
    assert list(costly) == list(sampler())


@pytest.mark.parametrize(("epochs", "sizes"), [(0.5, [4, 1]), (1.5, [4, 4, 2, 4, 1])])
def test_a_broken_epoch_ends_early(epochs: float, sizes: list[int]) -> None:
    assert [len(step) for step in sampler(epochs=epochs)] == sizes
    assert len(sampler(epochs=epochs)) == len(sizes)
    assert optimizer_steps(10, RecipeSettings(name="r", batch_size=4, epochs=epochs)) == len(sizes)


def test_processes_share_each_step() -> None:
    costs = [float(2 ** (number % 4)) for number in range(10)]
    alone = list(StepSampler(costs, batch_size=4, epochs=1, seed=0))
    shares = [list(StepSampler(costs, batch_size=4, epochs=1, seed=0, rank=rank, processes=2)) for rank in (0, 1)]
    for step, *parts in zip(alone, *shares, strict=True):
        assert sorted(chain(*parts)) == sorted(step)


def test_a_process_without_a_sample_computes_a_stand_in() -> None:
    last = [list(sampler(9, rank=rank, processes=2))[-1] for rank in (0, 1)]
    assert last[1] == [~last[0][0]]


def test_shares_cost_alike() -> None:
    assert share_out(range(4), [64, 8, 32, 16], 2) == [[0], [1, 2, 3]]


def partitions(places: Sequence[int], largest: int) -> Iterator[list[list[int]]]:
    if not places:
        yield []
        return
    first, rest = places[0], places[1:]
    for partition in partitions(rest, largest):
        yield [[first], *partition]
        for number, group in enumerate(partition):
            if len(group) < largest:
                yield [*partition[:number], [first, *group], *partition[number + 1 :]]


def cost(groups: Sequence[Sequence[int]], lengths: Sequence[int], overhead: int) -> int:
    return sum(len(group) * max(lengths[place] for place in group) + overhead for group in groups)


@pytest.mark.parametrize("overhead", [0, 20, 1000])
@pytest.mark.parametrize("most_tokens", [None, 120])
@pytest.mark.parametrize("seed", range(4))
def test_the_bucketed_cut_is_the_cheapest_of_all(seed: int, most_tokens: int | None, overhead: int) -> None:
    lengths = np.random.default_rng(seed).integers(1, 100, 7).tolist()
    groups = cut_by_length(lengths, 3, most_tokens, overhead)
    assert sorted(chain(*groups)) == list(range(7))
    assert max(map(len, groups)) <= 3
    allowed = [each for each in partitions(range(7), 3) if all(fits(group, lengths, most_tokens) for group in each)]
    assert groups_of(groups) in map(groups_of, allowed)
    assert cost(groups, lengths, overhead) == min(cost(each, lengths, overhead) for each in allowed)


def fits(group: Sequence[int], lengths: Sequence[int], most_tokens: int | None) -> bool:
    return most_tokens is None or len(group) == 1 or len(group) * max(lengths[place] for place in group) <= most_tokens


def groups_of(groups: Sequence[Sequence[int]]) -> set[frozenset[int]]:
    return set(map(frozenset, groups))


@pytest.mark.parametrize("seed", range(4))
def test_packed_rows_hold_what_they_may_and_are_few(seed: int) -> None:
    lengths = np.random.default_rng(seed).integers(1, 100, 8).tolist()
    groups = cut(lengths, "packed", most_samples=4, most_tokens=120)
    assert sorted(chain(*groups)) == list(range(8))
    assert all(len(group) <= 4 and (len(group) == 1 or total(group, lengths) <= 120) for group in groups)
    fewest = min(
        len(each)
        for each in partitions(range(8), 4)
        if all(len(group) == 1 or total(group, lengths) <= 120 for group in each)
    )
    assert len(groups) <= fewest + 1


def total(group: Sequence[int], lengths: Sequence[int]) -> int:
    return sum(lengths[place] for place in group)


def test_each_way_to_cut() -> None:
    lengths = [60, 10, 50, 20, 10, 40]
    packed = cut(lengths, "packed", most_samples=3, most_tokens=100)
    assert packed == [[0, 5], [1, 2, 3], [4]]
    assert cut(lengths, "padded", most_samples=3, most_tokens=100) == [[1, 2], [0], [3, 4], [5]]
    assert cut(lengths, "padded", most_samples=2) == [[0, 1], [2, 3], [4, 5]]
    bucketed = cut(lengths, "bucketed", most_samples=3)
    assert bucketed == [[0, 2, 5], [3, 1, 4]]


@pytest.mark.parametrize("batching", ["packed", "bucketed", "padded"])
def test_the_micro_batch_with_the_most_tokens_comes_first(batching: Any) -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 20).tolist()
    groups = cut(lengths, batching, most_samples=4, most_tokens=150)
    sizes = [
        total(group, lengths) if batching == "packed" else len(group) * max(lengths[place] for place in group)
        for group in groups
    ]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("batching", ["packed", "bucketed", "padded"])
def test_a_sample_longer_than_allowed_has_a_pass_of_its_own(batching: Any) -> None:
    groups = cut([10, 500, 20], batching, most_samples=8, most_tokens=100)
    assert [1] in groups
    assert sorted(chain(*groups)) == [0, 1, 2]


def test_short_budgets_go_through_in_few_passes() -> None:
    """Eight frames are 512 visual tokens at the paper's size, 64 are 4,096; 400 tokens are text."""
    assert len(cut([912] * 16, "packed", most_samples=8, most_tokens=8192)) == 2
    assert len(cut([4496] * 16, "packed", most_samples=8, most_tokens=8192)) == 16
