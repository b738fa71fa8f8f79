"""Rule `shortlist`: the videos to probe: the sample as drawn, and a reserve of replacements.

In: the index of the rule inventory. Out: `shortlist.parquet`, in the order of drawing: video (path relative to the data
set's root), subset, source, format, duration (bin), reserve (whether it is there as a replacement only).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from workflow_scripts.curation import columns, fetched
from workflow_scripts.curation.population import Population, read_index, uncollected
from workflow_scripts.curation.sampling import Stratum, Video, draw, stratify, weights
from workflow_scripts.settings import InputError, Shares, cli, files

SCHEMA = pa.schema(
    [
        ("video", pa.string()),
        ("subset", pa.string()),
        ("source", pa.string()),
        ("format", pa.string()),
        ("duration", pa.string()),
        ("reserve", pa.bool_()),
    ]
)
LEAST = 16  # in reserve, where a share of a small sample would be less


def with_reserve(count: int, reserve: float) -> int:
    """Number of videos to probe for a sample of `count`."""
    return count + max(LEAST, math.ceil(count * reserve)) if reserve else count


def shortlist(
    strata: Mapping[Stratum, Sequence[Video]], weight: Mapping[Stratum, float], count: int, reserve: float
) -> pa.Table:
    """The table. Raises InputError where there are fewer than `count` videos."""
    picks = draw(strata, weight, with_reserve(count, reserve), lambda video: True)
    if len(picks) < count:
        raise InputError(f"curation.videos is {count}; there are {len(picks)} videos to draw from")
    videos = [video for _, video in picks]
    sources, formats, durations = zip(*(stratum for stratum, _ in picks), strict=True)
    found = [
        columns.texts(video.path for video in videos),
        columns.texts(video.subset for video in videos),
        columns.texts(sources),
        columns.texts(formats),
        columns.texts(durations),
        columns.flags(rank >= count for rank in range(len(picks))),
    ]
    return pa.Table.from_arrays(found, schema=SCHEMA)


def add_draw_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that decide a draw."""
    parser.add_argument("--index", type=Path, required=True, help="index.parquet of the rule inventory")
    parser.add_argument(
        "--fetched", type=Path, help="fetched.parquet, where the data were fetched: draw among its videos"
    )
    parser.add_argument("--videos", type=int, required=True, help="number of videos to draw")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw")
    parser.add_argument(
        "--shares", type=cli.json_of(Shares), default=Shares(), help='JSON {"format": {}, "duration": {}}'
    )
    parser.add_argument(
        "--reserve", type=float, default=0.02, help="share of the sample that is probed in addition, as replacements"
    )


@uncollected()
def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_draw_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, help="shortlist.parquet")
    arguments = parser.parse_args()
    population = Population.of(read_index(arguments.index))
    strata = stratify(arguments.seed, population.videos.values(), arguments.shares)
    weight = weights({stratum: len(members) for stratum, members in strata.items()}, arguments.shares)
    if arguments.fetched:
        strata = fetched.read(arguments.fetched).restrict(strata)
    table = shortlist(strata, weight, arguments.videos, arguments.reserve)
    files.write_parquet(table, arguments.output)
    print(f"{table.num_rows} videos to probe, of {len(population.videos)}")


if __name__ == "__main__":
    cli.run(main)
