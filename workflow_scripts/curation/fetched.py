"""The table of what was fetched: which videos the chosen archives hold, which of them were kept, and their weights.

`fetched.parquet`, a row a video: video (relative to the data set's root), archive, bytes, kept, and stage_weight, of
how many archives of its subset the video's archive stands for. Data that were put in place by hand have no such file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from workflow_scripts.curation.sampling import Stratum, Video, draw
from workflow_scripts.settings import InputError, files

SCHEMA = pa.schema(
    [
        ("video", pa.string()),
        ("archive", pa.string()),
        ("bytes", pa.int64()),
        ("kept", pa.bool_()),
        ("stage_weight", pa.float64()),
    ]
)
Strata = dict[Stratum, list[Video]]


@dataclass(frozen=True)
class Fetched:
    """Videos that the chosen archives hold, and those of them that lie on disk."""

    available: frozenset[str]
    kept: frozenset[str]

    def restrict(self, strata: Mapping[Stratum, Sequence[Video]]) -> Strata:
        """Of each stratum the videos on disk, in order."""
        return _among(strata, self.kept)

    def check(
        self,
        strata: Mapping[Stratum, Sequence[Video]],
        weight: Mapping[Stratum, float],
        picks: Sequence[tuple[Stratum, Video]],
        rejected: Collection[str],
    ) -> None:
        """Raise InputError where the sample would be another one, had all videos of the chosen archives been kept."""
        full = draw(_among(strata, self.available), weight, len(picks), lambda video: video.path not in rejected)
        drawn = {video.path for _, video in picks}
        lacking = [(stratum, video) for stratum, video in full if video.path not in drawn]
        if lacking:
            stratum, video = lacking[0]
            raise InputError(
                f"{len(lacking)} videos of the sample were not fetched, the first {video.path} ({', '.join(stratum)}): "
                "run `snakemake --cores 1 fetch` with these settings, or raise dataset.reserve and run it again"
            )


def _among(strata: Mapping[Stratum, Sequence[Video]], paths: Collection[str]) -> Strata:
    return {stratum: [video for video in members if video.path in paths] for stratum, members in strata.items()}


def read(path: Path) -> Fetched:
    """Read the table. Raises InputError where it is not one."""
    frame = files.read_parquet(path, columns=["video", "kept"])
    return Fetched(frozenset(frame["video"]), frozenset(frame["video"][frame["kept"]]))
