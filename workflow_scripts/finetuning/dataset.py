"""Samples as model inputs. A sample that cannot be encoded stops the run; none is replaced or dropped."""

from dataclasses import dataclass, replace

import pandas as pd
import torch
from torch.utils.data import Dataset

from workflow_scripts.finetuning.cost import CostModel
from workflow_scripts.frames.store import FrameStore
from workflow_scripts.settings import InputError
from workflow_scripts.vlm.conversation import Example, turns
from workflow_scripts.vlm.encode import IGNORED, encode, visual_tokens
from workflow_scripts.vlm.flops import Work
from workflow_scripts.vlm.load import VLM


@dataclass(frozen=True)
class Sample:
    """One encoded sample. `inputs`: output of `vlm.encode`, without batch dimension; counts are of tokens and frames.

    `budget` is what the allocation gives, `frames` what the clip has: fewer where the whole clip has fewer; an image
    conversation has none of either. A stand-in is computed but supervises nothing. `work`: what the sample gives the
    model's layers to do.
    """

    sample_id: str
    budget: int
    frames: int
    tokens: int
    visual_tokens: int
    inputs: dict[str, torch.Tensor]
    stand_in: bool = False
    work: Work | None = None
    image: bool = False

    def without_inputs(self) -> "Sample":
        """The same without its tensors, to be kept."""
        return replace(self, inputs={})

    def standing_in(self) -> "Sample":
        """The same, to compute but not to learn from."""
        inputs = {**self.inputs, "labels": torch.full_like(self.inputs["labels"], IGNORED)}
        return replace(self, inputs=inputs, stand_in=True)


def encoded(vlm: VLM, example: Example, sample_id: str, what: str) -> dict[str, torch.Tensor]:
    """A sample's model inputs, supervised; `what` it is besides its name. InputError where that cannot be."""
    try:
        inputs = encode(vlm, example, supervise=True)
    except InputError as error:
        raise InputError(f"{what}: {error}") from error
    if not (inputs["labels"][1:] != IGNORED).any():
        raise InputError(f"sample {sample_id}: has no supervised token; expected an answer")
    return inputs


class VideoConversations(Dataset[Sample]):
    """The samples of a run in the manifest's order, each encoded when asked for.

    `samples`: columns sample_id, video, conversations, budget. `vlm` needs no model. InputError names a sample that
    cannot be encoded (longer than the model's context, say) or has nothing to learn from.
    """

    def __init__(self, samples: pd.DataFrame, store: FrameStore, vlm: VLM) -> None:
        self.sample_ids = samples["sample_id"].tolist()
        self.videos = samples["video"].tolist()
        self.budgets = [int(budget) for budget in samples["budget"]]
        self.turns = [
            turns(row, sample_id) for row, sample_id in zip(samples["conversations"], self.sample_ids, strict=True)
        ]
        self.store = store
        self.vlm = vlm

    def __len__(self) -> int:
        return len(self.sample_ids)

    def __getitem__(self, number: int) -> Sample:
        """Sample `number`; `~number` is its stand-in."""
        if number < 0:
            return self[~number].standing_in()
        sample_id = self.sample_ids[number]
        clip = self.store.clip(self.videos[number], self.budgets[number])
        example = Example(turns=self.turns[number], media=clip)
        inputs = encoded(self.vlm, example, sample_id, f"sample {sample_id} with {len(clip.frames)} frames")
        return Sample(
            sample_id=sample_id,
            budget=self.budgets[number],
            frames=len(clip.frames),
            tokens=inputs["input_ids"].numel(),
            visual_tokens=visual_tokens(inputs),
            inputs=inputs,
            work=self.vlm.family.work(self.vlm.config, inputs),
        )

    def check_longest(self) -> None:
        """Encode, for each budget, the sample with the longest text, so that an overflow shows before training does."""
        longest: dict[int, tuple[int, int]] = {}
        for number, budget in enumerate(self.budgets):
            characters = sum(len(turn.text) for turn in self.turns[number])
            longest[budget] = max(longest.get(budget, (0, 0)), (characters, number))
        for _, number in longest.values():
            self[number]

    def costs(self, cost: CostModel) -> list[float]:
        """What each sample costs, relative to the others. Nothing is decoded, so every process can afford it."""
        return [
            cost(said, *self.store.extent(video, budget))
            for said, video, budget in zip(self.turns, self.videos, self.budgets, strict=True)
        ]
