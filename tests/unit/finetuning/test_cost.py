"""What samples cost before they are encoded, and shares of equal cost."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from tests.unit.vlm import conftest as tiny
from workflow_scripts.finetuning.batching import share_out
from workflow_scripts.finetuning.cost import CostModel
from workflow_scripts.finetuning.dataset import VideoConversations
from workflow_scripts.finetuning.samples import quarantined_videos, read_samples, split_quarantined
from workflow_scripts.frames.store import FrameStore
from workflow_scripts.settings import ModelSettings
from workflow_scripts.vlm.conversation import Example
from workflow_scripts.vlm.encode import encode
from workflow_scripts.vlm.flops import ModelFlops
from workflow_scripts.vlm.load import load

settings_of = tiny.settings_of
PIXELS = 64 * 64
HYBRID = {8: 1114, 16: 153, 32: 171, 64: 362}  # samples of each budget, over three hybrid allocations


@pytest.mark.parametrize("family", sorted(tiny.MODELS))
def test_costs_are_in_proportion_to_the_operations(family: str, settings_of: Callable[[str], ModelSettings]) -> None:
    """Against the operations counted over the model's layers, of the encoded samples."""
    vlm = load(settings_of(family))
    cost, flops = CostModel(vlm), ModelFlops(vlm.model)
    ratios = []
    for frames in (8, 16, 32, 64):
        encoded = encode(vlm, Example(tiny.DIALOGUE, tiny.clip(frames)), supervise=True)
        ratios.append(cost(tiny.DIALOGUE, frames, PIXELS) / flops(vlm.family.work(vlm.config, encoded)).total)
    assert max(ratios) / min(ratios) < 1.15


def test_hands_of_equal_cost_are_evener_than_hands_of_equal_count(settings_of: Callable[[str], ModelSettings]) -> None:
    cost = CostModel(load(settings_of("qwen2.5-vl"), with_model=False))
    rng = np.random.default_rng(0)
    shares = np.array(list(HYBRID.values())) / sum(HYBRID.values())
    by_cost, by_count = [], []
    for _ in range(50):
        budgets = rng.choice(list(HYBRID), size=128, p=shares).tolist()
        costs = [cost(tiny.DIALOGUE, budget, PIXELS) for budget in budgets]
        by_cost.append(imbalance(share_out(range(128), costs, 8), costs))
        by_count.append(imbalance(share_out(range(128), [1.0] * 128, 8), costs))
    assert np.mean(by_cost) < 1.02
    assert np.mean(by_count) > 1.25


def imbalance(hands: Sequence[Sequence[int]], costs: Sequence[float]) -> float:
    """Cost of the dearest hand, the mean hand being 1."""
    sums = [sum(costs[number] for number in hand) for hand in hands]
    return max(sums) / float(np.mean(sums))


def test_the_clip_counts_as_it_is_stored(world: Any) -> None:
    """A budget of 64 on a clip of 16 frames costs no more than one of 16, and longer text costs more."""
    store = FrameStore(world.store)
    samples, _ = split_quarantined(
        read_samples(world.manifest, world.budgets), store.videos, quarantined_videos([world.store])
    )
    vlm = load(ModelSettings(**world.model), with_model=False)
    dataset = VideoConversations(samples, store, vlm)
    costs = dataset.costs(CostModel(vlm))
    assert len(costs) == len(dataset)
    whole = VideoConversations(samples.assign(budget=samples["budget"].replace(64, 16)), store, vlm)
    assert costs == whole.costs(CostModel(vlm))
    assert dataset.budgets[:3] == [2, 4, 64]
    assert [len(said) for said in dataset.turns[:3]] == [2, 4, 6]
    assert costs[0] < costs[1] < costs[2]
