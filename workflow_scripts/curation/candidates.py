"""Which videos to keep while archives go by: the first available ones of each stratum, in its order of drawing.

Before an archive was read nobody knows what it holds. So a video that goes by is kept while it is among the first of
its stratum seen so far, and gives way when enough earlier ones turn up: in the end the order of reading plays no part.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from workflow_scripts.curation.sampling import Stratum, Video, draw

SPARE = 2  # further videos of every stratum, however small
SLACK = (
    1.25  # where all archives are read: how far beyond its quota a stratum is looked at, for videos that no archive has
)
Strata = Mapping[Stratum, Sequence[Video]]


def quotas(
    strata: Strata, weight: Mapping[Stratum, float], count: int, reserve: float, chance: Callable[[Video], float]
) -> dict[Stratum, int]:
    """How many videos of each stratum a sample of `count` needs, with the reserve for those that prove unusable.

    chance: of a video to be in an archive that is read. A stratum of which too few are expected gives its places to the
    others, as it will in the draw. The sum is below `count` where too few are expected in all.
    """
    expected = {stratum: members[: math.ceil(sum(map(chance, members)) - 1e-9)] for stratum, members in strata.items()}
    picks = draw(expected, weight, math.ceil(count * (1 + reserve)), lambda video: True)
    drawn = Counter(stratum for stratum, _ in picks)
    return {stratum: drawn[stratum] + (SPARE if reserve and weight[stratum] > 0 else 0) for stratum in strata}


def first(strata: Strata, quota: Mapping[Stratum, int]) -> list[Video]:
    """The first videos of each stratum."""
    return [video for stratum, members in strata.items() for video in members[: quota[stratum]]]


class Selection:
    """The first videos of each stratum among those offered.

    strata: in order of drawing. quota: of each stratum. known: paths of videos that are available already. whole:
    nearly every video of the strata will turn up, so that later ones need not be looked at.
    """

    def __init__(self, strata: Strata, quota: Mapping[Stratum, int], known: Collection[str], *, whole: bool) -> None:
        self._quota = quota
        self._place: dict[str, tuple[Stratum, int]] = {}
        self._taken: dict[Stratum, list[tuple[int, str]]] = {stratum: [] for stratum in strata}
        self._paths: set[str] = set()
        for stratum, members in strata.items():
            limit = math.ceil(quota[stratum] * SLACK) + SPARE if whole else len(members)
            for position, video in enumerate(members[:limit]):
                self._place[video.path] = (stratum, -position)
        for path in known:
            self.offer(path)

    def __contains__(self, path: str) -> bool:
        return path in self._paths

    def offer(self, path: str) -> tuple[bool, str | None]:
        """Whether a video that turned up is taken, and which one gives way to it."""
        place = self._place.get(path)
        if place is None or path in self._paths:
            return path in self._paths, None
        stratum, position = place
        taken = self._taken[stratum]
        if len(taken) < self._quota[stratum]:
            heapq.heappush(taken, (position, path))
            self._paths.add(path)
            return True, None
        if not taken or position < taken[0][0]:
            return False, None
        _, evicted = heapq.heapreplace(taken, (position, path))
        self._paths.discard(evicted)
        self._paths.add(path)
        return True, evicted
