"""Temporal positions against exact arithmetic on frame numbers."""

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

SECONDS = (4, 6, 8, 10, 16, 31, 32, 33, 60, 120)
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


def test_the_rounding_collapses_where_it_is_known_to(settings_of: Callable[[str], ModelSettings]) -> None:
    """64 frames of a clip under 32 s all get the same time, as in transformers up to 5.17."""
    rounded = load(settings_of("qwen2.5-vl"), temporal_positions="integer_rate", with_model=False)
    for seconds, collapsed in ((30, True), (34, False)):
        encoded = encode(rounded, Example(DIALOGUE[:2], sampled(seconds, 64)), supervise=True)
        video = encoded["mm_token_type_ids"] == 2
        positions = collate(rounded, [encoded])["position_ids"][0, 0, video]
        assert (len(positions.unique()) == 1) == collapsed


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
