"""The draw: which videos, and which record of each, by hashes, so that a smaller sample lies inside a larger one.

Each video belongs to one stratum (source, format, duration bin). Inside a stratum videos are ordered by hash. Across
strata the next video comes from the stratum furthest behind its weight (Webster's method, which, unlike largest
remainders, never takes a place back as the sample grows). A rejected video gives its place to the next of its stratum.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from workflow_scripts.curation.registry import FORMATS, Format
from workflow_scripts.settings import InputError, Shares

Stratum = tuple[str, Format, str]  # source, format, duration bin
RAKING_STEPS = 200


@dataclass(slots=True)
class Video:
    """One video and, for each format, the record that would stand for it."""

    path: str  # relative to the data set's root
    subset: str
    source: str
    duration: str
    records: dict[Format, int] = field(default_factory=dict)  # rows of the index


def key(seed: int, *parts: str) -> int:
    """A 64-bit number that depends on the seed and the parts alone."""
    text = "\x1f".join((str(seed), *parts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


def choose_format(seed: int, video: Video, shares: Shares) -> Format | None:
    """Format in which a video is asked about; None where its formats all have a share of zero.

    A video that has records of several formats gets one by hash, in proportion to the shares (evenly without shares).
    """
    available = [name for name in FORMATS if name in video.records]
    weights = [shares.format.get(name, 0.0) if shares.format else 1.0 for name in available]
    left = key(seed, "format", video.path) / 2**64 * sum(weights)
    chosen: Format | None = None
    for name, weight in zip(available, weights, strict=True):
        if weight > 0:
            chosen = name
            if left < weight:
                break
            left -= weight
    return chosen


def stratify(seed: int, videos: Iterable[Video], shares: Shares) -> dict[Stratum, list[Video]]:
    """Videos by stratum, each stratum in its order of drawing."""
    strata: dict[Stratum, list[Video]] = {}
    for video in videos:
        chosen = choose_format(seed, video, shares)
        if chosen is not None:
            strata.setdefault((video.source, chosen, video.duration), []).append(video)
    for members in strata.values():
        members.sort(key=lambda video: (key(seed, "video", video.path), video.path))
    return dict(sorted(strata.items()))


def weights(sizes: Mapping[Stratum, int], shares: Shares) -> dict[Stratum, float]:
    """Weight of each stratum: its size, raked (iterative proportional fitting) until the margins match the shares.

    Raises InputError where a share is asked of a format or duration that no video has.
    """
    result = {stratum: float(size) for stratum, size in sizes.items()}
    margins: list[tuple[int, str, dict[str, float]]] = [
        (1, "format", dict(shares.format.items())),
        (2, "duration", dict(shares.duration.items())),
    ]
    for axis, name, wanted in margins:
        for value, share in wanted.items():
            if share > 0 and not any(stratum[axis] == value for stratum in sizes):
                raise InputError(f"shares.{name}.{value} is {share}; no video of that {name} is in the chosen subsets")
    for _ in range(RAKING_STEPS):
        for axis, _name, wanted in margins:
            if not wanted:
                continue
            margin: dict[str, float] = {}
            for stratum, weight in result.items():
                margin[stratum[axis]] = margin.get(stratum[axis], 0.0) + weight
            for stratum, weight in result.items():
                share = wanted.get(stratum[axis], 0.0)
                result[stratum] = weight * share / margin[stratum[axis]] if margin[stratum[axis]] else 0.0
    return result


def draw(
    strata: Mapping[Stratum, Sequence[Video]],
    weight: Mapping[Stratum, float],
    count: int,
    accept: Callable[[Video], bool],
) -> list[tuple[Stratum, Video]]:
    """The first `count` accepted videos of the order described above; fewer where the strata run out."""
    heap = [(0.5 / weight[stratum], stratum, 0, 0) for stratum in strata if weight[stratum] > 0]
    heapq.heapify(heap)
    picks: list[tuple[Stratum, Video]] = []
    while heap and len(picks) < count:
        _, stratum, position, taken = heapq.heappop(heap)
        members = strata[stratum]
        while position < len(members) and not accept(members[position]):
            position += 1
        if position == len(members):
            continue
        picks.append((stratum, members[position]))
        heapq.heappush(heap, ((taken + 1.5) / weight[stratum], stratum, position + 1, taken + 1))
    return picks
