"""What goes into an optimizer step, and how the step is cut into micro-batches.

An optimizer step is `batch_size` samples, whatever their lengths. A micro-batch is what goes through the model at once:
samples behind each other in one row (packed), samples of similar length padded to the longest (bucketed), or padded
samples as they were drawn (padded). The loss of a step is a mean over all its supervised tokens (`loss.py`), so the cut
changes neither loss nor gradient, only their rounding.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler

from workflow_scripts.finetuning.dataset import Sample
from workflow_scripts.settings import RecipeSettings
from workflow_scripts.settings.recipes import Batching
from workflow_scripts.vlm.encode import IGNORED, collate, pack
from workflow_scripts.vlm.load import VLM

OVERHEAD_TOKENS = 256  # one more forward and backward pass costs about as much as computing this many more tokens


IMAGES = 1
"""Tells the draws of image conversations from those of samples."""


@dataclass(frozen=True)
class Step:
    """The part of one optimizer step that this process computes.

    `micro_batches`: model inputs with `labels` [B, L], longest first; `samples`: what is in them, in the drawn order;
    `padding`: how many of the micro-batches, the last ones, are copies that only keep processes in step. `reference`:
    micro-batches of image conversations that are not learned from; their samples are among `samples`.
    """

    micro_batches: tuple[dict[str, Any], ...]
    samples: tuple[Sample, ...]
    padding: int = 0
    reference: tuple[dict[str, Any], ...] = ()

    @property
    def supervised_tokens(self) -> int:
        """Number of tokens that are learned from."""
        return supervised(self.micro_batches)

    @property
    def computed_tokens(self) -> int:
        """Number of token positions computed, padding included."""
        return sum(batch["input_ids"].numel() for batch in self.micro_batches + self.reference)

    def padded(self, count: int) -> "Step":
        """The same with `count` micro-batches: copies of the last and cheapest that supervise nothing are added."""
        last = self.micro_batches[-1]
        copy = {**last, "labels": torch.full_like(last["labels"], IGNORED)}
        missing = count - len(self.micro_batches)
        return replace(self, micro_batches=self.micro_batches + (copy,) * missing, padding=self.padding + missing)


def supervised(batches: Sequence[Mapping[str, Any]]) -> int:
    """Number of tokens that are predicted: a label at position 0 has nothing before it to be predicted from."""
    return sum(int((batch["labels"][:, 1:] != IGNORED).sum()) for batch in batches)


class StepSampler(Sampler[list[int]]):
    """The sample numbers of each optimizer step of a whole run, all epochs one after the other.

    Each epoch is a permutation drawn from (seed, epoch), cut into steps of `batch_size`; the last step of an epoch
    holds what is left, and a last, broken epoch ends early. The order depends on nothing else, so runs that differ in
    their allocation see the same samples in the same order. Of several processes, each yields its own share of a step.

    Where a step has fewer samples than there are processes, a process without one gets `~number`: a stand-in to compute
    but not to learn from, since all processes must run the whole model in every step.

    `costs`: relative cost of each sample, above 0, for an even share. `image_costs`: the same of image conversations,
    which are numbered behind the samples. With `replay`, a share of the samples of all steps so far, or `reference`, a
    number for each step, image conversations are added to each step's samples, which stay as they are. They come in
    permutations drawn from (seed, round), one after the other. Those of a reference are shared out by themselves.
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
        image_costs: Sequence[float] = (),
        replay: float | None = None,
        reference: int | None = None,
    ) -> None:
        self.costs = costs
        self.image_costs = image_costs
        self.replay = replay
        self.reference = reference
        self.batch_size = batch_size
        self.epochs = epochs
        self.seed = seed
        self.rank = rank
        self.processes = processes

    def __len__(self) -> int:
        return sum(-(-size // self.batch_size) for size in self._epoch_sizes())

    def __iter__(self) -> Iterator[list[int]]:
        images, begun, seen, taken = self._images(), 0, 0, 0
        for epoch, size in enumerate(self._epoch_sizes()):
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.costs))[:size].tolist()
            for start in range(0, size, self.batch_size):
                step = order[start : start + self.batch_size]
                begun, seen = begun + 1, seen + len(step)
                added = list(islice(images, self._images_until(begun, seen) - taken))
                taken += len(added)
                if self.reference is None:
                    yield self._share(step + added)
                else:
                    yield self._share(step) + self._share(added)

    def _share(self, numbers: Sequence[int]) -> list[int]:
        """What this process gets of them."""
        videos = len(self.costs)
        costs = [self.costs[n] if n < videos else self.image_costs[n - videos] for n in numbers]
        return share_out(numbers, costs, self.processes)[self.rank] or [~numbers[0]]

    def _images(self) -> Iterator[int]:
        """Numbers of image conversations without end."""
        count, round_ = len(self.image_costs), 0
        while count:
            drawn = np.random.default_rng([self.seed, round_, IMAGES]).permutation(count)
            yield from (drawn + len(self.costs)).tolist()
            round_ += 1

    def _images_until(self, steps: int, samples: int) -> int:
        """Image conversations in so many steps with so many samples."""
        if self.reference is not None:
            return steps * self.reference
        return 0 if self.replay is None else math.floor(samples * self.replay / (1 - self.replay) + 0.5)

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


def cut(
    lengths: Sequence[int], batching: Batching, *, most_samples: int, most_tokens: int | None = None
) -> list[list[int]]:
    """Places of `lengths` in groups, one a micro-batch, the one with the most tokens first.

    A group has at most `most_samples` samples and, unless it is of one sample, `most_tokens` tokens, padding included
    where there is any.
    """
    groups = {"packed": fill_rows, "bucketed": cut_by_length, "padded": cut_in_order}[batching](
        lengths, most_samples, most_tokens
    )

    def tokens(group: Sequence[int]) -> int:
        within = [lengths[place] for place in group]
        return sum(within) if batching == "packed" else len(within) * max(within)

    return sorted(groups, key=tokens, reverse=True)


def fill_rows(lengths: Sequence[int], most_samples: int, most_tokens: int | None = None) -> list[list[int]]:
    """Few groups: the longest sample first, each into the first group that has room for it (first fit decreasing).

    Within a group the given order is kept.
    """
    groups: list[list[int]] = []
    sums: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        for number, group in enumerate(groups):
            if len(group) < most_samples and (most_tokens is None or sums[number] + lengths[place] <= most_tokens):
                group.append(place)
                sums[number] += lengths[place]
                break
        else:
            groups.append([place])
            sums.append(lengths[place])
    return [sorted(group) for group in groups]


def cut_in_order(lengths: Sequence[int], most_samples: int, most_tokens: int | None = None) -> list[list[int]]:
    """Neighbours in the given order, each group as large as it may be."""
    groups: list[list[int]] = []
    for place, length in enumerate(lengths):
        grown = [*groups[-1], place] if groups else []
        longest = max((lengths[one] for one in grown), default=length)
        if grown and len(grown) <= most_samples and (most_tokens is None or len(grown) * longest <= most_tokens):
            groups[-1] = grown
        else:
            groups.append([place])
    return groups


def cut_by_length(
    lengths: Sequence[int], most_samples: int, most_tokens: int | None = None, overhead: int = OVERHEAD_TOKENS
) -> list[list[int]]:
    """The cheapest groups of padded samples.

    A group costs its size times its longest length (what is computed, padding included) plus `overhead`. Groups of
    neighbours in the order of length are enough to hold the cheapest cut.
    """
    order = sorted(range(len(lengths)), key=lambda place: (-lengths[place], place))
    best: list[tuple[int, int]] = [(0, 0)]  # cost of the first k in order, and where their last group starts
    for end in range(1, len(order) + 1):
        costs = []
        for start in range(max(0, end - most_samples), end):
            computed = (end - start) * lengths[order[start]]
            if most_tokens is None or computed <= most_tokens or end - start == 1:
                costs.append((best[start][0] + computed + overhead, start))
        best.append(min(costs))
    groups = []
    end = len(order)
    while end:
        start = best[end][1]
        groups.append(order[start:end])
        end = start
    return groups[::-1]


class StepCollator:
    """Encoded samples of a step to its micro-batches, as the recipe cuts them. `vlm` needs no model."""

    def __init__(self, vlm: VLM, recipe: RecipeSettings) -> None:
        self.vlm = vlm
        self.recipe = recipe

    def __call__(self, samples: Sequence[Sample]) -> Step:
        apart = self.recipe.gradient_projection is not None
        return Step(
            micro_batches=self._micro_batches([sample for sample in samples if not (apart and sample.image)]),
            samples=tuple(sample.without_inputs() for sample in samples if not sample.stand_in),
            reference=self._micro_batches([sample for sample in samples if apart and sample.image]),
        )

    def _micro_batches(self, samples: Sequence[Sample]) -> tuple[dict[str, Any], ...]:
        recipe = self.recipe
        groups = cut(
            [sample.tokens for sample in samples],
            recipe.batching,
            most_samples=recipe.micro_batch_size,
            most_tokens=recipe.micro_batch_tokens,
        )
        join = pack if recipe.batching == "packed" else collate
        return tuple(join(self.vlm, [samples[place].inputs for place in group]) for group in groups)
