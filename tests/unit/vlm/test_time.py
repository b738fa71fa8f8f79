"""Temporal positions against exact arithmetic on frame numbers.

Derived from the descriptions, not from the code: Qwen2.5-VL's report (arXiv 2502.13923, section 2.1.2) aligns temporal
ids with absolute time by the interval between them. The published configuration has two positions a second and two
frames a pair, so pair k of frames that follow each other by d seconds stands at floor(2 * 2d * k) after the position
where the video starts, for every patch of the pair; rows and columns count from there, and the text goes on after the
larger of them. transformers up to 5.17 multiplied by the whole seconds of a pair, floor(2d), instead, and a caller who
passes no rate gets 24 frames a second.
"""

import re
from collections.abc import Callable
from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch

from workflow_scripts.settings import InputError, ModelSettings
from workflow_scripts.vlm.conversation import Example
from workflow_scripts.vlm.encode import collate, encode
from workflow_scripts.vlm.load import VLM, load
from workflow_scripts.vlm.media import Clip

from .conftest import DIALOGUE

SECONDS = (4, 6, 7, 8, 9, 10, 15, 16, 17, 31, 32, 33, 60, 90, 120)
BUDGETS = (8, 16, 32, 64)
FPS = Fraction(30000, 1001)


def moments(seconds: int, budget: int) -> list[Fraction]:
    """Times of uniformly sampled frames of a clip at 29.97 frames a second, exactly."""
    total = floor(seconds * FPS)
    return [Fraction(floor(Fraction(index * total, budget))) / FPS for index in range(budget)]


def sampled(seconds: int, budget: int) -> Clip:
    frames = np.zeros((budget, 64, 64, 3), dtype=np.uint8)
    return Clip(frames, np.array([float(moment) for moment in moments(seconds, budget)]), float(seconds))


def expected_interval(setting: str, times: list[Fraction]) -> Fraction:
    """Positions from one frame pair to the next: seconds between pairs, times 2 positions a second."""
    seconds_of_a_pair = 2 * (times[-1] - times[0]) / (len(times) - 1)
    if setting == "integer_rate":
        seconds_of_a_pair = Fraction(floor(seconds_of_a_pair))
    if setting == "constant":
        seconds_of_a_pair = Fraction(2, 24)
    return 2 * seconds_of_a_pair


@pytest.fixture(scope="session", params=["real_time", "integer_rate", "constant"])
def timed(request: pytest.FixtureRequest, settings_of: Callable[[str], ModelSettings]) -> VLM:
    return load(settings_of("qwen2.5-vl"), temporal_positions=request.param, with_model=False)


@pytest.mark.parametrize("budget", BUDGETS)
@pytest.mark.parametrize("seconds", SECONDS)
def test_qwen25_positions(timed: VLM, seconds: int, budget: int) -> None:
    encoded = encode(timed, Example(DIALOGUE[:2], sampled(seconds, budget)), supervise=True)
    positions = collate(timed, [encoded])["position_ids"][:, 0]
    video = encoded["mm_token_type_ids"] == 2
    before = int(video.nonzero()[0])
    interval = expected_interval(timed.temporal_positions, moments(seconds, budget))
    time = [before + floor(pair * interval) for pair in range(budget // 2) for _ in range(16)]
    assert positions[0, video].tolist() == time
    assert positions[1, video].tolist() == [
        before + row for _ in range(budget // 2) for row in range(4) for _ in range(4)
    ]
    assert positions[2, video].tolist() == [before + column for _ in range(budget // 2 * 4) for column in range(4)]
    after = positions[:, before + int(video.sum()) :]
    assert torch.equal(after, torch.arange(before + 4, before + 4 + after.shape[1]).expand(3, -1))
    assert torch.equal(positions[:, :before], torch.arange(before).expand(3, -1))


@pytest.mark.parametrize("budget", BUDGETS)
def test_the_rounding_collapses_where_it_is_known_to(settings_of: Callable[[str], ModelSettings], budget: int) -> None:
    """More than two sampled frames a second: all frames get one time. 64 under 32 s, 32 under 16 s, 16 under 8 s."""
    rounded = load(settings_of("qwen2.5-vl"), temporal_positions="integer_rate", with_model=False)
    collapsed = set()
    for seconds in sorted({*SECONDS, budget // 2 - 1, budget // 2 + 1} - {3, budget // 2}):
        encoded = encode(rounded, Example(DIALOGUE[:2], sampled(seconds, budget)), supervise=True)
        positions = collate(rounded, [encoded])["position_ids"][0, 0, encoded["mm_token_type_ids"] == 2]
        if len(positions.unique()) == 1:
            collapsed.add(seconds)
        else:
            assert len(positions.unique()) == budget // 2
    limits = {64: 32, 32: 16, 16: 8, 8: 4}
    assert collapsed == {seconds for seconds in (*SECONDS, budget // 2 - 1) if 4 <= seconds < limits[budget]}


@pytest.mark.parametrize("budget", BUDGETS)
def test_a_constant_rate_is_blind_to_length(settings_of: Callable[[str], ModelSettings], budget: int) -> None:
    """The same spacing for every clip: six pairs a position at 24 frames a second."""
    constant = load(settings_of("qwen2.5-vl"), temporal_positions="constant", with_model=False)
    found = set()
    for seconds in SECONDS:
        encoded = encode(constant, Example(DIALOGUE[:2], sampled(seconds, budget)), supervise=True)
        positions = collate(constant, [encoded])["position_ids"][0, 0, encoded["mm_token_type_ids"] == 2]
        found.add(tuple((positions - positions[0])[::16].tolist()))
    assert found == {tuple(pair // 6 for pair in range(budget // 2))}


def test_a_batch_keeps_each_samples_time(qwen: VLM) -> None:
    encoded = [
        encode(qwen, Example(DIALOGUE[:2], sampled(seconds, budget)), supervise=True)
        for seconds, budget in ((4, 8), (120, 8), (33, 16))
    ]
    for side in ("left", "right"):
        batch = collate(qwen, encoded, padding_side=side)  # type: ignore[arg-type]
        for index, one in enumerate(encoded):
            kept = batch["attention_mask"][index].bool()
            alone = collate(qwen, [one])["position_ids"][:, 0]
            assert torch.equal(batch["position_ids"][:, index, kept], alone)


def test_the_model_computes_the_same_positions_itself(qwen: VLM) -> None:
    batch = collate(qwen, [encode(qwen, Example(DIALOGUE[:2], sampled(33, 16)), supervise=True)])
    ours = batch.pop("position_ids")
    kept = ("input_ids", "attention_mask", "mm_token_type_ids", "video_grid_thw", "second_per_grid_ts")
    theirs, _ = qwen.model.model.get_rope_index(**{key: batch[key] for key in kept})  # type: ignore[union-attr, operator]
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("budget", [7, 8, 64])
@pytest.mark.parametrize("seconds", [4, 33, 120])
@pytest.mark.parametrize("setting", ["real_time", "integer_rate", "constant"])
def test_qwen3_writes_the_time_of_each_pair(
    settings_of: Callable[[str], ModelSettings], setting: str, seconds: int, budget: int
) -> None:
    timed = load(settings_of("qwen3-vl"), temporal_positions=setting, with_model=False)  # type: ignore[arg-type]
    encoded = encode(timed, Example(DIALOGUE[:2], sampled(seconds, budget)), supervise=True)
    text = timed.tokenizer.decode(encoded["input_ids"])
    times = moments(seconds, budget)
    times += [times[-1]] * (budget % 2)
    if setting == "real_time":
        expected = [(times[index] + times[index + 1]) / 2 for index in range(0, len(times), 2)]
    else:
        interval = expected_interval(setting, moments(seconds, budget)) / 2
        expected = [(pair + Fraction(1, 4)) * interval for pair in range(len(times) // 2)]
    written = [float(found) for found in re.findall(r"<([\d.]+) seconds>", text)]
    assert written == pytest.approx([float(moment) for moment in expected], abs=0.0501)
    pads = "<|video_pad|>" * 16
    assert len(re.findall(rf"seconds><\|vision_start\|>{re.escape(pads)}<\|vision_end\|>", text)) == len(times) // 2
    assert text.count("<|vision_start|>") == len(times) // 2


def test_a_clip_must_be_in_order() -> None:
    frames = np.zeros((3, 8, 8, 3), dtype=np.uint8)
    with pytest.raises(InputError, match="strictly increasing"):
        Clip(frames, np.array([0.0, 2.0, 2.0]), 3.0)
    with pytest.raises(InputError, match="one for each"):
        Clip(frames, np.array([0.0, 2.0]), 3.0)
    with pytest.raises(InputError, match="uint8"):
        Clip(frames.astype(np.float32), np.array([0.0, 1.0, 2.0]), 3.0)
