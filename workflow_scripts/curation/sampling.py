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


def hasher(seed: int, *parts: str) -> Callable[[bytes], bytes]:
    """What hashes a text, as UTF-8, to 8 bytes that depend on the seed, the parts and the text alone.

    The text goes on where the parts end: parts of its own are told apart by 0x1f, as these are.
    """
    begun = hashlib.blake2b("\x1f".join((str(seed), *parts, "")).encode("utf-8", "surrogatepass"), digest_size=8)

    def hashed(text: bytes) -> bytes:
        state = begun.copy()
        state.update(text)
        return state.digest()

    return hashed


def key(seed: int, *parts: str) -> int:
    """The hash as a 64-bit number."""
    return int.from_bytes(hasher(seed, *parts[:-1])(parts[-1].encode("utf-8", "surrogatepass")), "big")


def format_chooser(seed: int, shares: Shares) -> Callable[[Video], Format | None]:
    """Tells the format in which a video is asked about; None where its formats all have a share of zero.

    A video that has records of several formats gets one by hash, in proportion to the shares (evenly without shares).
    """
    hashed = hasher(seed, "format")
    offers: dict[tuple[Format, ...], dict[Format, float]] = {}

    def choose(video: Video) -> Format | None:
        available = tuple(video.records)
        if (offer := offers.get(available)) is None:
            weights = {name: shares.format.get(name, 0.0) if shares.format else 1.0 for name in FORMATS}
            offer = {name: weights[name] for name in FORMATS if name in available and weights[name] > 0}
            offers[available] = offer
        if len(offer) < 2:
            return next(iter(offer), None)
        left = int.from_bytes(hashed(video.path.encode()), "big") / 2**64 * sum(offer.values())
        for name, weight in offer.items():
            chosen = name
            if left < weight:
                break
            left -= weight
        return chosen

    return choose


def stratify(seed: int, videos: Iterable[Video], shares: Shares) -> dict[Stratum, list[Video]]:
    """Videos by stratum, each stratum in its order of drawing."""
    strata: dict[Stratum, list[Video]] = {}
    choose, hashed = format_chooser(seed, shares), hasher(seed, "video")
    for video in videos:
        chosen = choose(video)
        if chosen is not None:
            strata.setdefault((video.source, chosen, video.duration), []).append(video)
    for members in strata.values():
        members.sort(key=lambda video: (hashed(video.path.encode()), video.path))
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
