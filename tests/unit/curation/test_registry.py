"""Subsets and sources, against the lists in the data set's own pages."""

import pytest

from workflow_scripts.curation.registry import registry
from workflow_scripts.curation.sources import source
from workflow_scripts.settings import DURATIONS, SUBSETS, InputError

PLACED = {
    "academic_source/Charades/RW587.mp4": "charades",
    "academic_source/activitynet/v_y1IjkACdnfs.mp4": "activitynet",
    "academic_source/youcook2/101/zukEQgbWdsY/split_2.mp4": "youcook2",
    "academic_source/NextQA/1202/3264772244.mp4": "vidor",
    "academic_source/ego4d/6606c60b-1ed9-4b78-976a-f1eb49fb1f19.mp4": "ego4d",
    "liwei_youtube_videos/videos/youtube_video_2024/ytb_7nRmsEw7nsE.mp4": "youtube_2024",
    "liwei_youtube_videos/videos/hdvila/abc.mkv": "hd_vila",
    "NextQA/NExTVideo/1202/3264772244.mp4": "nextqa",
    "ActivityNet-QA/activitynet/train/v1-3/train_val/v_abc.mp4": "activitynet_qa",
    "perception_test/videos/video_10001.mp4": "perception_test",
}
UNPLACED = {
    "academic_source/kinetics/x.mp4": "unplaced:academic_source",
    "academic_source/activitynet2/x.mp4": "unplaced:academic_source",
    "liwei_youtube_videos/videos/other/x.mp4": "unplaced:liwei_youtube_videos",
    "elsewhere/charades/x.mp4": "unplaced:elsewhere",
    "x.mp4": "unplaced:.",
}


@pytest.mark.parametrize(("video", "expected"), (PLACED | UNPLACED).items())
def test_the_path_decides_the_source(video: str, expected: str) -> None:
    assert source(video) == expected


def test_ten_sources_that_do_not_overlap() -> None:
    sources = registry().sources
    assert len(sources) == 10
    assert set(PLACED.values()) == set(sources)
    prefixes = [prefix for entry in sources.values() for prefix in entry.prefixes]
    assert not [(a, b) for a in prefixes for b in prefixes if a != b and a.startswith(b)]
    for name, entry in sources.items():
        assert {source(example) for example in entry.examples} == {name}


def test_the_subsets_are_those_of_the_settings() -> None:
    assert set(registry().subsets) == set(SUBSETS)
    assert len(registry().subsets) == 18
    assert {subset.duration for subset in registry().subsets.values()} == set(DURATIONS)


def test_annotation_files() -> None:
    subsets = registry().subsets
    assert sum(len(subset.annotations) for subset in subsets.values()) == 38
    assert subsets["1_2_m_youtube_v0_1"].annotations == {
        "caption": ("1_2_m_youtube_v0_1_cap_processed.json",),
        "open_ended": ("1_2_m_youtube_oe_v0_1_qa_processed.json",),
        "multiple_choice": ("1_2_m_youtube_mc_v0_1_qa_processed.json",),
    }
    assert set(subsets["2_3_m_nextqa"].annotations) == {"open_ended", "multiple_choice"}
    assert subsets["30_60_s_perceptiontest"].annotations == {
        "multiple_choice": ("30_60_s_perceptiontest_mc_qa_processed.json",)
    }


def test_both_spellings_of_a_subset() -> None:
    assert registry().subset("1_2_m_activitynet") == registry().subset("1_2_m_activitynetqa") == "1_2_m_activitynetqa"
    with pytest.raises(InputError, match="'1_2_m_kinetics' is unknown"):
        registry().subset("1_2_m_kinetics")
