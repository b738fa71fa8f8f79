"""Which samples the theory is measured on, and their encoding: image conversations, and videos at any budget.

Draws are without replacement from one shuffled order each, so that the sets for different purposes share no sample, and
no two videos are the same one. They depend on the seed alone, so every checkpoint is measured on the same samples.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from workflow_scripts.curation.images import ImageStore, read_images
from workflow_scripts.frames.store import FrameStore
from workflow_scripts.settings import InputError
from workflow_scripts.settings.files import read_parquet
from workflow_scripts.vlm.conversation import Example, turns
from workflow_scripts.vlm.encode import IGNORED, collate, encode
from workflow_scripts.vlm.load import VLM

Inputs = dict[str, Tensor]


def cut(there: int, *counts: int, what: str) -> list[list[int]]:
    """Sets of so many places in a drawn order, one behind the other. Raises InputError where there are not enough."""
    if sum(counts) > there:
        raise InputError(f"{what}: {there} can be drawn; section theory asks for {sum(counts)}, expected no more")
    ends = np.cumsum(counts).tolist()
    return [list(range(end - count, end)) for end, count in zip(ends, counts, strict=True)]


@dataclass(frozen=True)
class Videos:
    """The training samples in an order drawn with the seed, at most one a video, those in the store."""

    table: pd.DataFrame
    store: FrameStore

    @classmethod
    def read(cls, manifest: Path, store: Sequence[Path], seed: int) -> "Videos":
        frames = FrameStore(store)
        table = read_parquet(manifest, ["sample_id", "video", "conversations"])
        table = table[table["video"].isin(frames.videos)]
        table = table.iloc[np.random.default_rng([seed, 0]).permutation(len(table))]
        return cls(table.drop_duplicates("video").reset_index(drop=True), frames)

    def inputs(self, vlm: VLM, number: int, budget: int) -> Inputs:
        """One sample at a budget, supervised. Raises InputError where it cannot be encoded."""
        row = self.table.iloc[number]
        said = turns(row["conversations"], row["sample_id"])
        try:
            return encode(vlm, Example(said, self.store.clip(row["video"], budget)), supervise=True)
        except InputError as error:
            raise InputError(f"sample {row['sample_id']} with budget {budget}: {error}") from error


@dataclass(frozen=True)
class Images:
    """The image conversations in an order drawn with the seed."""

    table: pd.DataFrame
    store: ImageStore

    @classmethod
    def read(cls, table: Path, store: Path, seed: int) -> "Images":
        rows = read_images(table)
        return cls(rows.iloc[np.random.default_rng([seed, 1]).permutation(len(rows))], ImageStore(store))

    def inputs(self, vlm: VLM, number: int) -> Inputs:
        """One conversation, supervised. Raises InputError where it cannot be encoded."""
        row = self.table.iloc[number]
        said = turns(row["conversations"], row["image_id"])
        try:
            return encode(vlm, Example(said, (self.store.image(row["image_id"]),)), supervise=True)
        except InputError as error:
            raise InputError(f"image conversation {row['image_id']}: {error}") from error


def supervised(inputs: Inputs) -> int:
    """Tokens that a loss is taken over; the first is predicted from nothing."""
    return int((inputs["labels"][1:] != IGNORED).sum())


def rows(vlm: VLM, encoded: Sequence[Inputs], most_tokens: int) -> Iterator[dict[str, Tensor]]:
    """The encoded samples as padded rows for the model, neighbours together up to so many tokens, padding included."""
    held: list[Inputs] = []
    for one in encoded:
        longest = max(len(other["input_ids"]) for other in [*held, one])
        if held and longest * (len(held) + 1) > most_tokens:
            yield _on_device(vlm, held)
            held = []
        held.append(one)
    if held:
        yield _on_device(vlm, held)


def _on_device(vlm: VLM, encoded: Sequence[Inputs]) -> dict[str, Tensor]:
    return {key: value.to(vlm.device) for key, value in collate(vlm, encoded).items()}
