"""Budgets from frame similarity, on clips whose answer follows from how they were made."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from workflow_scripts.budgets import dinov2
from workflow_scripts.budgets.allocation import read_allocation
from workflow_scripts.budgets.dinov2 import candidates, decide_videos
from workflow_scripts.frames.store import FrameStore
from workflow_scripts.settings import DinoSettings, InputError

BUDGETS = (8, 16, 32, 64)


def angles(clips: Sequence[np.ndarray]) -> list[np.ndarray]:
    """A fake embedding: a frame's grey level, in degrees, as a direction in the plane."""
    degrees = [np.deg2rad(np.round(frames[:, 0, 0, 0].astype(float))) for frames in clips]
    return [np.stack([np.cos(d), np.sin(d)], axis=1).astype(np.float32) for d in degrees]


def decide(write_store, levels: list[int], threshold: float = 0.9) -> tuple[int, dict]:
    store = FrameStore([write_store({"v": levels})])
    [decision] = decide_videos(store, ["v"], angles, BUDGETS, threshold)
    return decision.budget, dict(decision.evidence)


def by_hand(levels: list[int], threshold: float, dense: int = 64) -> tuple[int, dict[str, float]]:
    """The rule again, in plain Python, from the clip's frame indices."""
    n = len(levels)
    seen = sorted({i * n // dense for i in range(dense)})
    least = {}
    for budget in BUDGETS:
        sampled = sorted({i * n // budget for i in range(budget)})
        least[str(budget)] = 1.0
        for frame in seen:
            around = [
                max(s for s in sampled if s <= frame),
                min((s for s in sampled if s >= frame), default=sampled[-1]),
            ]
            best = max(math.cos(math.radians(levels[frame] - levels[other])) for other in around)
            least[str(budget)] = min(best, least[str(budget)])
    return min((b for b in BUDGETS if least[str(b)] >= threshold), default=64), least


def test_a_still_clip_needs_the_fewest(write_store) -> None:
    budget, evidence = decide(write_store, [100] * 320)
    assert budget == 8
    assert evidence["least_similarity"] == {"8": 1.0, "16": 1.0, "32": 1.0, "64": 1.0}


@pytest.mark.parametrize(("odd", "expected"), [(40, 8), (20, 16), (10, 32), (5, 64), (7, 8)])
def test_one_odd_frame_needs_the_budget_that_sees_it(write_store, odd: int, expected: int) -> None:
    """Of 320 frames, 8 take every 40th, 16 every 20th, 32 every 10th, 64 every 5th; none takes frame 7."""
    levels = [100] * 320
    levels[odd] = 10
    assert decide(write_store, levels)[0] == expected


def test_a_cut_between_two_still_scenes_needs_no_more_than_both(write_store) -> None:
    assert decide(write_store, [100] * 133 + [10] * 187)[0] == 8


def test_a_slow_pan_needs_frames_that_are_near_enough(write_store) -> None:
    """A quarter of a degree a frame; frames after the last of T turn up to 320 / T / 4 degrees away."""
    levels = [i // 4 for i in range(320)]
    for degrees, expected in ((9.5, 8), (5, 16), (2.5, 32), (0.5, 64)):
        assert decide(write_store, levels, math.cos(math.radians(degrees)))[0] == expected


def test_agrees_with_the_rule_worked_out_by_hand(write_store) -> None:
    rng = np.random.default_rng(0)
    seen = set()
    for n in (3, 8, 13, 50, 64, 65, 100, 321, 640):
        for smooth in (1, 20, 80):
            steps = rng.integers(0, 80, n // smooth + 1)
            levels = [int(level) for level in np.repeat(steps, smooth)[:n]]
            for threshold in (0.5, 0.9):
                expected, least = by_hand(levels, threshold)
                budget, evidence = decide(write_store, levels, threshold)
                assert budget == expected, (n, smooth, threshold)
                assert evidence["least_similarity"] == pytest.approx(least, abs=1e-5)
                seen.add(budget)
    assert seen == set(BUDGETS)


def test_candidates_must_nest() -> None:
    assert candidates([8, 16, 32, 64], 32) == [8, 16, 32]
    with pytest.raises(InputError, match="frames is 64 and the admissible budgets are 8, 12, 64"):
        candidates([8, 12, 64], 64)
    with pytest.raises(InputError, match="one of them"):
        candidates([8, 16], 64)


def predict(manifest: Path, store: Path, output: Path, embed=angles) -> None:
    settings = DinoSettings(source="fake", similarity_threshold=0.9)
    dinov2.predict(manifest, [store], settings, BUDGETS, output, embed)


def test_samples_of_a_video_share_its_budget_and_a_quarantined_one_gets_the_least(
    write_store, write_manifest, tmp_path: Path
) -> None:
    changing = [(i // 5) * 40 % 200 for i in range(320)]
    store = write_store({"still": [50] * 100, "changing": changing}, "video,reason,detail\nbad,truncated,x\n")
    manifest = write_manifest(
        [("s1", "changing", ["?"]), ("s2", "still", ["?"]), ("s3", "bad", ["?"]), ("s4", "changing", ["!"])]
    )
    output = tmp_path / "hybrid-dinov2.parquet"
    predict(manifest, store, output)
    frame = read_allocation(output, sample_ids=["s1", "s2", "s3", "s4"], admissible=BUDGETS)
    assert frame["budget"].tolist() == [64, 8, 8, 64]
    assert json.loads(frame["evidence"][2]) == {"no_frames": "truncated"}


def test_a_video_that_nobody_knows_is_named(write_store, write_manifest, tmp_path: Path) -> None:
    store = write_store({"still": [50] * 100})
    with pytest.raises(InputError, match="video lost of the manifest is neither in"):
        predict(write_manifest([("s", "lost", ["?"])]), store, tmp_path / "o.parquet")


def test_a_killed_prediction_goes_on_and_ends_the_same(
    write_store, write_manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dinov2, "PART", 2)
    rng = np.random.default_rng(1)
    clips = {f"v{k}": [int(x) for x in np.repeat(rng.integers(0, 90, 80), 4)] for k in range(7)}
    store = write_store(clips)
    manifest = write_manifest([(f"s{k}", video, ["?"]) for k, video in enumerate(clips)])
    predict(manifest, store, tmp_path / "whole.parquet")

    calls = 0

    def dying(frames: Sequence[np.ndarray]) -> list[np.ndarray]:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return angles(frames)

    output = tmp_path / "killed.parquet"
    with pytest.raises(KeyboardInterrupt):
        predict(manifest, store, output, dying)
    assert not output.exists()
    predict(manifest, store, output, dying)
    assert calls == 3 + 2  # two of four parts were there
    assert output.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert not list((tmp_path / ".parts").iterdir())
