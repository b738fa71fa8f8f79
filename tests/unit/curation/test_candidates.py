"""Archives are chosen and videos selected as said, whatever the order in which they are met."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from workflow_scripts.curation.archives import Archive, archives_of, choose, stage_weights
from workflow_scripts.curation.candidates import SPARE, Selection, quotas
from workflow_scripts.curation.fetched import Fetched
from workflow_scripts.curation.registry import registry
from workflow_scripts.curation.sampling import Stratum, Video
from workflow_scripts.hub.client import RemoteFile
from workflow_scripts.settings import InputError

A: Stratum = ("charades", "caption", "0_30_s")
B: Stratum = ("nextqa", "open_ended", "0_30_s")


def videos(name: str, count: int) -> list[Video]:
    return [Video(f"{name}/{number:03d}", name, "any", "0_30_s") for number in range(count)]


def test_selection_keeps_the_first_of_each_stratum_in_any_order() -> None:
    strata = {A: videos("a", 50), B: videos("b", 20)}
    available = [video.path for members in strata.values() for video in members if video.path[-1] not in "37"]
    quota = {A: 10, B: 4}
    expected = {path for path in available if path[0] == "a"} & {f"a/{n:03d}" for n in range(12)}
    expected |= {"b/000", "b/001", "b/002", "b/004"}
    for seed in range(20):
        order = random.Random(seed).sample(available, len(available))
        selection = Selection(strata, quota, order[:15], whole=False)
        kept = {path for path in order[:15] if path in selection}
        for path in order[15:]:
            taken, evicted = selection.offer(path)
            kept |= {path} if taken else set()
            kept.discard(evicted or "")
        assert kept == expected == {path for path in available if path in selection}


def test_selection_looks_no_further_than_needed_where_all_is_read() -> None:
    selection = Selection({A: videos("a", 1000)}, {A: 100}, [], whole=True)
    assert selection.offer("a/126") == (True, None)
    assert selection.offer("a/127") == (False, None)
    assert selection.offer("other") == (False, None)


def test_quotas_follow_the_draw_and_spare_something_of_every_stratum() -> None:
    strata, weight = {A: videos("a", 300), B: videos("b", 100)}, {A: 300.0, B: 100.0}
    assert quotas(strata, weight, 100, 0.2, lambda video: 1.0) == {A: 90 + SPARE, B: 30 + SPARE}
    assert quotas(strata, weight, 100, 0.0, lambda video: 1.0) == {A: 75, B: 25}
    # Only 20 of B are expected: A takes their places.
    assert quotas(strata, weight, 100, 0.0, lambda video: 0.2 if video.subset == "b" else 0.5) == {A: 80, B: 20}
    assert sum(quotas(strata, weight, 100, 0.0, lambda video: 0.1).values()) == 40
    assert quotas(strata, {A: 300.0, B: 0.0}, 100, 0.1, lambda video: 1.0)[B] == 0


def listing() -> dict[str, RemoteFile]:
    files = {}
    for subset, entry in registry().subsets.items():
        for number in range(1, (entry.archives or 2) + 1):
            path = f"{entry.folders[-1]}/{subset}_videos_{number}.tar.gz"
            files[path] = RemoteFile(path, 5, "", "ab" * 32, None)
    return files


def test_archives_are_chosen_in_proportion_and_nest() -> None:
    archives = archives_of(listing(), registry().subsets)
    assert len(archives) == 250
    before: set[Archive] = set()
    for limit in (18, 19, 40, 100, 249):
        chosen = choose(archives, limit, 0)
        assert len(chosen) == limit
        assert before <= set(chosen)
        counts = Counter(archive.subset for archive in chosen)
        assert len(counts) == 18
        if limit >= 100:
            assert abs(counts["2_3_m_youtube_v0_1"] - limit * 98 / 250) < 4
        before = set(chosen)
        weights = stage_weights(archives, chosen)
        assert sum(weights[archive.subset] for archive in chosen) == pytest.approx(250)
    assert choose(archives, None, 0) == choose(archives, 250, 0) == archives
    assert choose(archives, 40, 0) != choose(archives, 40, 1)


def test_a_hole_among_the_archives_is_named() -> None:
    files = listing()
    del files["1_2_m_youtube_v0_1/1_2_m_youtube_v0_1_videos_50.tar.gz"]
    with pytest.raises(InputError, match=r"1_2_m_youtube_v0_1_videos_50.tar.gz is missing .* expected 50"):
        archives_of(files, registry().subsets)


def test_a_reserve_that_was_used_up_is_said() -> None:
    strata, weight = {A: videos("a", 30), B: videos("b", 30)}, {A: 1.0, B: 1.0}
    everything = frozenset(video.path for members in strata.values() for video in members)
    kept = frozenset(path for path in everything if int(path[-3:]) < 6)
    fetched = Fetched(everything, kept)
    restricted = fetched.restrict(strata)
    assert [len(members) for members in restricted.values()] == [6, 6]

    def picks(rejected: set[str]) -> list[tuple[Stratum, Video]]:
        usable = {s: [v for v in members if v.path not in rejected] for s, members in restricted.items()}
        return [(s, v) for s in (A, B) for v in usable[s][:5]]

    fetched.check(strata, weight, picks({"a/001"}), {"a/001"})
    # Three of A are unusable, three are left of six: places of A went to B.
    rejected = {"a/001", "a/002", "a/004"}
    drawn = [*picks(rejected), (B, videos("b", 6)[5])]
    with pytest.raises(InputError, match=r"2 videos of the sample were not fetched, the first a/006"):
        fetched.check(strata, weight, drawn, rejected)
