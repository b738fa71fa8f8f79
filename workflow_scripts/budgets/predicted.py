"""Allocations of a model that looks at one sample after the other: decided in parts, written for the whole manifest."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from workflow_scripts.budgets.allocation import write_allocation
from workflow_scripts.budgets.parts import fingerprint, in_parts, parts_folder, remove_parts
from workflow_scripts.budgets.samples import split_by_frames
from workflow_scripts.frames.store import FrameStore
from workflow_scripts.predictors.choice import Decision


def write_predicted(
    output: Path,
    samples: pd.DataFrame,
    shards: Sequence[Path],
    admissible: Sequence[int],
    decide: Callable[[FrameStore, pd.DataFrame], Sequence[Decision]],
    *,
    settings: Mapping[str, object],
    source: str,
    part: int,
    label: str,
) -> None:
    """Write the allocation for every sample (columns sample_id, video, and what `decide` reads), in their order.

    `decide` gets the frame store and `part` samples at a time that have frames in it, and gives each a decision; the
    others get theirs unseen (`split_by_frames`, which says what is raised). A killed job goes on after its last whole
    part, if `settings`, the model's `source`, the samples, the store and the admissible budgets are as they were.
    """
    store = FrameStore(shards)
    videos, without = split_by_frames(samples["video"], store, shards, admissible)
    asked = samples[samples["video"].isin(videos)]
    parts = parts_folder(
        output,
        {
            **settings,
            "weights": fingerprint(Path(source)),
            "budgets": sorted(admissible),
            "samples": asked.to_json(orient="values"),
            "store": [fingerprint(shard) for shard in shards],
        },
    )
    done = in_parts(parts, range(len(asked)), part, lambda rows: decide(store, asked.iloc[list(rows)]), label)
    decided = dict(zip(asked["sample_id"], done, strict=True))
    decisions = [
        decided.get(sample) or without[video]
        for sample, video in zip(samples["sample_id"], samples["video"], strict=True)
    ]
    write_allocation(output, samples["sample_id"].tolist(), decisions, admissible=admissible)
    remove_parts(parts)
