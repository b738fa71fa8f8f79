"""The draw: deterministic, nested, stratified, with replacements from the same stratum."""

import random
from collections import Counter

import pytest

from workflow_scripts.curation.registry import FORMATS
from workflow_scripts.curation.sampling import Stratum, Video, choose_format, draw, stratify, weights
from workflow_scripts.settings import InputError, Shares

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
    assert {choose_format(0, video, shares) for video in videos} == {"open_ended"}
    captions_only = Video("a/x.mp4", "s", "a", "0_30_s", {"caption": 0})
    assert choose_format(0, captions_only, shares) is None


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
