"""Which samples a run learns from: the manifest with the budgets of an allocation, less quarantined videos."""

from collections.abc import Collection, Iterable
from pathlib import Path

import pandas as pd

from workflow_scripts.budgets.allocation import read_allocation
from workflow_scripts.settings import InputError
from workflow_scripts.settings.files import read_parquet

COLUMNS = ["sample_id", "video", "conversations"]


def read_samples(manifest: Path, budgets: Path) -> pd.DataFrame:
    """A row a sample, in the manifest's order: sample_id, video, conversations, budget.

    Raises InputError if the allocation does not cover the manifest exactly.
    """
    samples = read_parquet(manifest, COLUMNS)
    allocation = read_allocation(budgets, sample_ids=samples["sample_id"].tolist())
    return samples.merge(allocation[["sample_id", "budget"]], on="sample_id", how="left", validate="one_to_one")


def quarantined_videos(store: Iterable[Path]) -> set[str]:
    """Videos that the frames stage could not read, from the `.quarantine.csv` beside each shard of the store."""
    beside = [shard.parent / f"{shard.name.removesuffix('.arrow')}.quarantine.csv" for shard in store]
    return {video for path in beside if path.is_file() for video in pd.read_csv(path, dtype=str)["video"]}


def split_quarantined(
    samples: pd.DataFrame, videos: Collection[str], quarantined: Collection[str]
) -> tuple[pd.DataFrame, dict[str, int]]:
    """The samples whose video is among `videos`, those in the store, and the number left out, by quarantined video.

    Raises InputError for a video that is neither stored nor quarantined, and when nothing is left.
    """
    present = samples["video"].isin(videos)
    left_out = samples.loc[~present, "video"].value_counts().sort_index()
    if lost := sorted(set(left_out.index) - set(quarantined)):
        raise InputError(
            f"manifest: video {lost[0]} is neither in the frame store nor quarantined ({len(lost)} such); "
            "expected the store of this manifest"
        )
    if not present.any():
        raise InputError(f"manifest: all {len(samples)} samples are on quarantined videos; expected at least one other")
    return samples[present].reset_index(drop=True), {str(video): int(count) for video, count in left_out.items()}
