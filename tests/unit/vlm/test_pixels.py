"""Pixels of a clip's frames: the same at every budget, or a total that the frames share."""

from collections.abc import Callable

import pytest
import torch

from workflow_scripts.settings import InputError, ModelSettings
from workflow_scripts.settings.context import visual_tokens as planned_tokens
from workflow_scripts.vlm.conversation import Example
from workflow_scripts.vlm.encode import collate, encode, visual_tokens
from workflow_scripts.vlm.load import VLM, load

from .conftest import DIALOGUE, clip, image

TOTAL = 8 * 64 * 64
"""What eight frames have at the constant size."""
SHARED = {8: (64, 64), 9: (48, 48), 16: (32, 32), 32: (32, 32), 64: (16, 16)}
"""Sides of square frames of 64 x 64 pixels that share TOTAL, by hand: the largest multiples of 16 pixels, the side of a
token, whose square is at most TOTAL over the frames, of which nine count as ten. sqrt(32768 / 8) = 64; / 10: 57.2;
/ 16: 45.3; / 32: 32; / 64: 22.6."""
QWEN = ("qwen2.5-vl", "qwen3-vl")


@pytest.fixture(scope="module", params=QWEN)
def sharing(request: pytest.FixtureRequest, settings_of: Callable[[str], ModelSettings]) -> VLM:
    """A family whose frames share TOTAL."""
    settings = settings_of(request.param).model_copy(update={"min_pixels": 16 * 16})
    return load(settings, total_pixels=TOTAL, with_model=False)


def sides(encoded: dict[str, torch.Tensor]) -> tuple[int, int]:
    """Height and width of the frames, in pixels: the grid's patches of 8 pixels."""
    _, rows, columns = encoded["video_grid_thw"][0].tolist()
    return rows * 8, columns * 8


@pytest.mark.parametrize("frames", SHARED)
def test_frames_share_a_total(sharing: VLM, frames: int) -> None:
    encoded = encode(sharing, Example(DIALOGUE[:2], clip(frames)), supervise=True)
    height, width = SHARED[frames]
    assert sides(encoded) == (height, width)
    assert visual_tokens(encoded) == (frames + 1) // 2 * (height // 16) * (width // 16)


@pytest.mark.parametrize("shape", [(64, 64), (96, 160), (40, 90), (30, 40)])
@pytest.mark.parametrize("frames", [1, 2, 7, 8, 16, 32, 64])
def test_planned_tokens_are_never_fewer(sharing: VLM, frames: int, shape: tuple[int, int]) -> None:
    height, width = shape
    encoded = encode(sharing, Example(DIALOGUE[:2], clip(frames, height=height, width=width)), supervise=True)
    found = visual_tokens(encoded)
    planned = planned_tokens(sharing.settings, frames, 64 * 64, TOTAL)
    assert planned is not None
    assert found <= planned
    assert found * 2 * 16 * 16 <= TOTAL
    constant = planned_tokens(sharing.settings, frames, 64 * 64)
    assert constant is not None
    assert planned <= constant


@pytest.mark.parametrize("frames", [8, 16, 32, 64])
@pytest.mark.parametrize("shape", [(64, 64), (96, 160), (48, 64)])
def test_a_total_is_divided_as_upstream_divides_it(
    settings_of: Callable[[str], ModelSettings], frames: int, shape: tuple[int, int]
) -> None:
    """Qwen3-VL's own processor bounds the pixels of all frames together; told TOTAL, it gives the same frames."""
    settings = settings_of("qwen3-vl").model_copy(update={"min_pixels": 16 * 16})
    ours = load(settings, total_pixels=TOTAL, with_model=False)
    height, width = shape
    one = clip(frames, height=height, width=width)
    encoded = encode(ours, Example(DIALOGUE[:2], one), supervise=True)
    upstream = load(settings, with_model=False).processor.video_processor(  # type: ignore[attr-defined]
        videos=[torch.from_numpy(one.frames).permute(0, 3, 1, 2)],
        do_sample_frames=False,
        return_tensors="pt",
        size={"shortest_edge": frames * 16 * 16, "longest_edge": min(TOTAL, frames * settings.video_max_pixels)},
    )
    assert torch.equal(encoded["video_grid_thw"], upstream["video_grid_thw"])
    assert torch.equal(encoded["pixel_values_videos"], upstream["pixel_values_videos"])


@pytest.mark.parametrize("family", QWEN)
def test_by_default_a_frame_is_the_same_at_every_budget(
    settings_of: Callable[[str], ModelSettings], family: str
) -> None:
    constant = load(settings_of(family), with_model=False)
    whole = clip(64)
    pairs = []
    for frames in (8, 64):
        part = type(whole)(whole.frames[:frames], whole.timestamps_s[:frames], whole.duration_s)
        encoded = encode(constant, Example(DIALOGUE[:2], part), supervise=True)
        assert sides(encoded) == (64, 64)
        pairs.append(encoded["pixel_values_videos"][: 8 * 8])
    assert torch.equal(*pairs)


def test_images_have_no_share(sharing: VLM, settings_of: Callable[[str], ModelSettings]) -> None:
    constant = load(sharing.settings, with_model=False)
    example = Example(DIALOGUE, tuple(image(seed) for seed in range(3)))
    shared, whole = (encode(vlm, example, supervise=True) for vlm in (sharing, constant))
    assert torch.equal(shared["pixel_values"], whole["pixel_values"])
    assert torch.equal(shared["input_ids"], whole["input_ids"])


def test_a_batch_joins_frames_of_all_sizes(sharing: VLM) -> None:
    encoded = [encode(sharing, Example(DIALOGUE[:2], clip(frames)), supervise=True) for frames in (8, 16, 64)]
    batch = collate(sharing, encoded)
    assert [grid[1:] for grid in batch["video_grid_thw"].tolist()] == [[8, 8], [4, 4], [2, 2]]
    assert len(batch["pixel_values_videos"]) == int(batch["video_grid_thw"].prod(-1).sum())


@pytest.mark.parametrize("family", ["llava-1.5", "llava-next-video"])
def test_frames_of_one_size_have_no_share(settings_of: Callable[[str], ModelSettings], family: str) -> None:
    with pytest.raises(InputError, match=f"total_pixels is {TOTAL}; expected none, since family {family} scales"):
        load(settings_of(family), total_pixels=TOTAL, with_model=False)
