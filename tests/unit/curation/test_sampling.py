"""The draw: deterministic, nested, stratified, with replacements from the same stratum."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest

from workflow_scripts.curation.manifest import choose
from workflow_scripts.curation.probing import Probe
from workflow_scripts.curation.registry import FORMATS
from workflow_scripts.curation.sampling import Stratum, Video, draw, format_chooser, key, stratify, weights
from workflow_scripts.settings import InputError, Shares
from workflow_scripts.video.container import Unusable

ANY = Shares()


def population(n: int, sources: tuple[str, ...] = ("charades", "ego4d", "nextqa"), start: int = 0) -> list[Video]:
    rng = random.Random(start)
    videos = []
    for i in range(start, start + n):
        name = sources[min(rng.randrange(6), len(sources) - 1)]
        video = Video(f"{name}/{i}.mp4", "s", name, rng.choice(["0_30_s", "0_30_s", "1_2_m"]))
        for format_ in FORMATS:
            if rng.random() < 0.5 or format_ == "open_ended":
                video.records[format_] = i
        videos.append(video)
    return videos


def sample(videos: list[Video], count: int, seed: int = 0, shares: Shares = ANY, broken: frozenset[str] = frozenset()):
    strata = stratify(seed, videos, shares)
    weight = weights({stratum: len(members) for stratum, members in strata.items()}, shares)
    return draw(strata, weight, count, lambda video: video.path not in broken)


def paths(picks: list[tuple[Stratum, Video]]) -> list[str]:
    return [video.path for _, video in picks]


def test_the_order_of_the_records_does_not_matter() -> None:
    videos = population(500)
    shuffled = videos[:]
    random.Random(1).shuffle(shuffled)
    assert paths(sample(videos, 100)) == paths(sample(shuffled, 100))
    assert paths(sample(videos, 100)) != paths(sample(videos, 100, seed=1))


def test_a_smaller_sample_begins_a_larger_one() -> None:
    videos = population(2000)
    broken = frozenset(video.path for video in videos if hash(video.path[-6:]) % 9 == 0)
    for bad in (frozenset(), broken):
        large = paths(sample(videos, 1000, broken=bad))
        assert len(set(large)) == 1000
        for count in (1, 7, 100, 999):
            assert paths(sample(videos, count, broken=bad)) == large[:count]


def test_adding_a_subset_does_not_reshuffle_the_others() -> None:
    old = population(900)
    new = population(300, ("perception_test",), start=10_000)
    before, after = paths(sample(old, 300)), paths(sample(old + new, 300))
    kept = [path for path in after if not path.startswith("perception_test")]
    assert set(kept) <= set(before)
    assert len(kept) == pytest.approx(300 * 900 / 1200, abs=5)


def test_shares_of_the_population_are_kept() -> None:
    videos = population(3000)
    strata = stratify(0, videos, ANY)
    counts = Counter(stratum for stratum, _ in sample(videos, 300))
    for stratum, members in strata.items():
        assert counts[stratum] == pytest.approx(len(members) / 10, abs=1)


def test_wanted_shares_are_met() -> None:
    shares = Shares(
        format={"caption": 0.2, "open_ended": 0.5, "multiple_choice": 0.3}, duration={"0_30_s": 0.25, "1_2_m": 0.75}
    )
    picks = sample(population(6000), 1000, shares=shares)
    formats = Counter(stratum[1] for stratum, _ in picks)
    durations = Counter(stratum[2] for stratum, _ in picks)
    assert {name: formats[name] for name in FORMATS} == pytest.approx(
        {"caption": 200, "open_ended": 500, "multiple_choice": 300}, abs=8
    )
    assert durations["1_2_m"] == pytest.approx(750, abs=8)


def test_a_share_of_what_is_not_there() -> None:
    with pytest.raises(InputError, match=r"shares.duration.2_3_m is 0.5"):
        sample(population(50), 10, shares=Shares(duration={"0_30_s": 0.5, "2_3_m": 0.5}))


def test_a_format_of_share_zero_is_never_drawn() -> None:
    shares = Shares(format={"open_ended": 1.0})
    videos = population(200)
    assert {format_chooser(0, shares)(video) for video in videos} == {"open_ended"}
    captions_only = Video("a/x.mp4", "s", "a", "0_30_s", {"caption": 0})
    assert format_chooser(0, shares)(captions_only) is None


def test_a_broken_video_is_replaced_from_its_stratum() -> None:
    videos = population(2000)
    picks = sample(videos, 200)
    for position in (0, 57, 199):
        stratum, gone = picks[position]
        mended = sample(videos, 200, broken=frozenset({gone.path}))
        assert Counter(s for s, _ in mended) == Counter(s for s, _ in picks)
        assert set(paths(picks)) - set(paths(mended)) == {gone.path}
        (new,) = set(paths(mended)) - set(paths(picks))
        assert new in {video.path for s, video in mended if s == stratum}


def test_an_exhausted_stratum_leaves_its_places_to_the_others() -> None:
    videos = population(300)
    broken = frozenset(video.path for video in videos if video.source == "ego4d")
    picks = sample(videos, 150, broken=broken)
    assert len(picks) == 150
    assert "ego4d" not in {stratum[0] for stratum, _ in picks}
    assert len(sample(videos, 10_000, broken=broken)) == 300 - len(broken)


def by_hand(
    seed: int, videos: list[Video], shares: Shares, count: int, broken: set[str], content: dict[str, str]
) -> list[str]:
    """The draw written down plainly: at each step look at all strata, and at all videos of the chosen one."""
    members: dict[Stratum, list[Video]] = {}
    for video in videos:
        format_ = format_chooser(seed, shares)(video)
        if format_:
            members.setdefault((video.source, format_, video.duration), []).append(video)
    weight = weights({stratum: len(each) for stratum, each in sorted(members.items())}, shares)
    order = {video.path: key(seed, "video", video.path) for video in videos}
    places = dict.fromkeys(members, 0)
    taken: list[str] = []
    seen: set[str] = set()
    over: set[Stratum] = {stratum for stratum in members if not weight[stratum]}
    while len(taken) < count and set(members) - over:
        behind = min((s for s in members if s not in over), key=lambda s: ((places[s] + 0.5) / weight[s], s))
        left = [v.path for v in members[behind] if v.path not in broken and content[v.path] not in seen]
        if not left:
            over.add(behind)
            continue
        pick = min(left, key=lambda path: order[path])
        taken.append(pick)
        seen.add(content[pick])
        places[behind] += 1
    return taken


@pytest.mark.parametrize("seed", range(6))
def test_against_a_draw_by_hand(seed: int) -> None:
    """With broken files, twins, and shares; smaller samples inside larger ones; videos probed before or on the way."""
    rng = random.Random(seed)
    videos = population(rng.randrange(80, 200), start=seed * 1000)
    broken = {video.path for video in videos if rng.random() < 0.15}
    content = {video.path: str(rng.randrange(150)) for video in videos}
    shares = [ANY, Shares(duration={"0_30_s": 0.7, "1_2_m": 0.3}), Shares(format={"caption": 0.5, "open_ended": 0.5})][
        seed % 3
    ]
    strata = stratify(seed, videos, shares)
    weight = weights({stratum: len(members) for stratum, members in strata.items()}, shares)

    def look(paths: Sequence[str]) -> dict[str, Probe | Unusable]:
        return {
            path: Unusable("undecodable") if path in broken else Probe(1.0, 1.0, 2, 2, 2, content[path])
            for path in paths
        }

    for count in (1, 5, 30, 50):
        expected = by_hand(seed, videos, shares, count, broken, content)
        for known in ([], rng.sample([video.path for video in videos], 40), [video.path for video in videos]):
            picks, rows = choose(strata, weight, count, look(known), look, reserve=rng.choice([0, 0.05, 0.5]))
            assert paths(picks) == expected
            for path, reason, detail in rows:
                assert (reason == "undecodable") == (path in broken)
                if reason == "duplicate":
                    twin = detail.removeprefix("same content as ")
                    assert content[twin] == content[path]
                    assert twin in expected
                    assert path not in expected


def test_a_thousand_lie_within_twenty_thousand() -> None:
    """At the paper's size, one video in twenty broken, some twins; and a subset that joins leaves the others' order."""
    videos = population(40_000)
    content = {video.path: "twin" if i % 400 == 7 else str(i) for i, video in enumerate(videos)}
    probes: dict[str, Probe | Unusable] = {
        path: Unusable("truncated") if i % 20 == 0 else Probe(1.0, 1.0, 2, 2, 2, content[path])
        for i, path in enumerate(content)
    }

    def drawn(among: list[Video], count: int) -> list[str]:
        strata = stratify(0, among, ANY)
        weight = weights({stratum: len(members) for stratum, members in strata.items()}, ANY)
        return paths(choose(strata, weight, count, probes, lambda asked: {})[0])

    large = drawn(videos, 20_000)
    assert len(set(large)) == 20_000
    for count in (1000, 1001, 19_999):
        assert drawn(videos, count) == large[:count]
    fewer = [video for video in videos if video.source != "ego4d"]
    without = drawn(fewer, 20_000)
    with_it = [path for path in large if not path.startswith("ego4d/")]
    assert with_it == without[: len(with_it)]


def test_a_subset_that_joins_old_strata_keeps_their_order() -> None:
    old, new = population(3000), population(1500, start=50_000)
    before = {s: [v.path for v in members] for s, members in stratify(0, old, ANY).items()}
    after = {s: [v.path for v in members] for s, members in stratify(0, old + new, ANY).items()}
    known = {video.path for video in old}
    assert {s: [path for path in members if path in known] for s, members in after.items()} == before
