"""What goes into an optimizer step, and how the step is cut into micro-batches.

An optimizer step is `batch_size` samples, whatever their lengths. Inside a step, samples of similar length share a
micro-batch, so that little padding is computed; the loss of a step is a mean over all its supervised tokens
(`loss.py`), so the cut changes neither loss nor gradient, only their rounding.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.utils.data import Sampler

from workflow_scripts.finetuning.dataset import IGNORED, Sample

OVERHEAD_TOKENS = 256  # one more forward and backward pass costs about as much as computing this many more tokens


@dataclass(frozen=True)
class Step:
    """The part of one optimizer step that this process computes.

    `micro_batches`: model inputs with `labels` [B, L]; `samples`: what is in them, in the drawn order; `padding`: how
    many of the micro-batches, the last ones, are copies that only keep processes in step.
    """

    micro_batches: tuple[dict[str, torch.Tensor], ...]
    samples: tuple[Sample, ...]
    padding: int = 0

    @property
    def supervised_tokens(self) -> int:
        """Number of tokens that are predicted: a label at position 0 has nothing before it to be predicted from."""
        return sum(int((batch["labels"][:, 1:] != IGNORED).sum()) for batch in self.micro_batches)

    @property
    def computed_tokens(self) -> int:
        """Number of token positions computed, padding included."""
        return sum(batch["input_ids"].numel() for batch in self.micro_batches)

    def padded(self, count: int) -> "Step":
        """The same with `count` micro-batches: copies of the last and cheapest that supervise nothing are added."""
        last = self.micro_batches[-1]
        copy = {**last, "labels": torch.full_like(last["labels"], IGNORED)}
        missing = count - len(self.micro_batches)
        return replace(self, micro_batches=self.micro_batches + (copy,) * missing, padding=self.padding + missing)


class StepSampler(Sampler[list[int]]):
    """The sample numbers of each optimizer step of a whole run, all epochs one after the other.

    Each epoch is a permutation drawn from (seed, epoch), cut into steps of `batch_size`; the last step of an epoch
    holds what is left, and a last, broken epoch ends early. The order depends on nothing else, so runs that differ in
    their allocation see the same samples in the same order. Of several processes, each yields its own share of a step.

    Where a step has fewer samples than there are processes, a process without one gets `~number`: a stand-in to compute
    but not to learn from, since all processes must run the whole model in every step.

    `costs`: relative cost of each sample, above 0, for an even share.
    """

    def __init__(
        self,
        costs: Sequence[float],
        *,
        batch_size: int,
        epochs: float,
        seed: int,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.costs = costs
        self.batch_size = batch_size
        self.epochs = epochs
        self.seed = seed
        self.rank = rank
        self.processes = processes

    def __len__(self) -> int:
        return sum(-(-size // self.batch_size) for size in self._epoch_sizes())

    def __iter__(self) -> Iterator[list[int]]:
        for epoch, size in enumerate(self._epoch_sizes()):
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.costs))[:size].tolist()
            for start in range(0, size, self.batch_size):
                step = order[start : start + self.batch_size]
                share = share_out(step, [self.costs[number] for number in step], self.processes)[self.rank]
                yield share or [~step[0]]

    def _epoch_sizes(self) -> list[int]:
        """Samples in each epoch: all of them, fewer in a broken last one."""
        whole, broken = divmod(round(self.epochs * len(self.costs)), len(self.costs))
        return [len(self.costs)] * whole + [broken] * bool(broken)


def share_out(numbers: Sequence[int], costs: Sequence[float], processes: int) -> list[list[int]]:
    """`numbers` dealt to `processes` hands of nearly equal cost: the dearest first, each to the cheapest hand so far.

    Within a hand the given order is kept. A hand is empty when there are fewer numbers than processes.
    """
    hands: list[list[int]] = [[] for _ in range(processes)]
    totals = [0.0] * processes
    for place in sorted(range(len(numbers)), key=lambda place: (-costs[place], place)):
        hand = min(range(processes), key=lambda hand: (totals[hand], hand))
        hands[hand].append(place)
        totals[hand] += costs[place]
    return [[numbers[place] for place in sorted(hand)] for hand in hands]


def cut_by_length(lengths: Sequence[int], largest: int, overhead: int = OVERHEAD_TOKENS) -> list[list[int]]:
    """Places of `lengths` in groups of at most `largest`, the cheapest such cut, longest group first.

    A group costs its size times its longest length (what is computed, padding included) plus `overhead`. Groups of
    neighbours in the order of length are enough to hold the cheapest cut.
    """
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    best: list[tuple[int, int]] = [(0, 0)]  # cost of the first k in order, and where their last group starts
    for end in range(1, len(order) + 1):
        best.append(
            min(
                (best[start][0] + (end - start) * lengths[order[start]] + overhead, start)
                for start in range(max(0, end - largest), end)
            )
        )
    groups = []
    end = len(order)
    while end:
        start = best[end][1]
        groups.append(order[start:end])
        end = start
    return groups[::-1]


class StepCollator:
    """Encoded samples of a step to its micro-batches. `collate`: encoded examples to a padded batch (`vlm.collate`)."""

    def __init__(
        self, collate: Callable[[Sequence[dict[str, torch.Tensor]]], dict[str, torch.Tensor]], micro_batch_size: int
    ) -> None:
        self.collate = collate
        self.micro_batch_size = micro_batch_size

    def __call__(self, samples: Sequence[Sample]) -> Step:
        groups = cut_by_length([sample.tokens for sample in samples], self.micro_batch_size)
        return Step(
            micro_batches=tuple(self.collate([samples[place].inputs for place in group]) for group in groups),
            samples=tuple(sample.without_inputs() for sample in samples if not sample.stand_in),
        )
