"""What the predictors need of a sample, and what becomes of one whose video gave no frames."""

import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from workflow_scripts.frames.store import FrameStore
from workflow_scripts.predictors.choice import Decision
from workflow_scripts.predictors.prompt import instruction
from workflow_scripts.settings import InputError
from workflow_scripts.settings.files import read_parquet

COLUMNS = ["sample_id", "video", "conversations"]


def read_samples(manifest: Path) -> pd.DataFrame:
    """A row a sample of the manifest, in its order: sample_id, video, instruction (all human turns)."""
    frame: pd.DataFrame = read_parquet(manifest, columns=COLUMNS)
    try:
        instructions = [instruction(turns) for turns in frame.pop("conversations")]
    except InputError as error:
        raise InputError(f"file {manifest}: {error}") from error
    return frame.assign(instruction=instructions)


def split_by_frames(
    videos: Iterable[str], store: FrameStore, shards: Sequence[Path], budgets: Sequence[int]
) -> tuple[list[str], dict[str, Decision]]:
    """Each video once: those with frames in the store, and a decision for each that was quarantined while decoding.

    A quarantined video is not trained on, but an allocation covers its manifest: it gets the smallest budget, and its
    evidence says why. Raises InputError for a video that is neither in the store nor in its quarantine.
    """
    reasons = {
        row["video"]: row["reason"]
        for shard in shards
        for row in _rows(shard.parent / f"{shard.name.removesuffix('.arrow')}.quarantine.csv")
    }
    present: list[str] = []
    without: dict[str, Decision] = {}
    for video in dict.fromkeys(videos):
        if video in store.videos:
            present.append(video)
        elif video in reasons:
            without[video] = Decision(min(budgets), {"no_frames": reasons[video]})
        else:
            raise InputError(
                f"video {video} of the manifest is neither in the {len(shards)} shards given nor in their quarantine; "
                "expected the frame store of this manifest"
            )
    if without:
        print(f"{len(without)} quarantined videos get {min(budgets)} frames, unseen", file=sys.stderr)
    return present, without


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
