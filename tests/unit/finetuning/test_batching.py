"""Steps and micro-batches."""

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
import pytest

from workflow_scripts.finetuning.batching import StepSampler, cut_by_length, share_out
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
@pytest.mark.parametrize("seed", range(4))
def test_the_cut_is_the_cheapest_of_all(seed: int, overhead: int) -> None:
    lengths = np.random.default_rng(seed).integers(1, 100, 7).tolist()
    groups = cut_by_length(lengths, 3, overhead)
    assert sorted(chain(*groups)) == list(range(7))
    assert max(map(len, groups)) <= 3
    cheapest = min(cost(each, lengths, overhead) for each in partitions(range(7), 3))
    assert cost(groups, lengths, overhead) == cheapest
    tops = [max(lengths[place] for place in group) for group in groups]
    assert tops == sorted(tops, reverse=True)
