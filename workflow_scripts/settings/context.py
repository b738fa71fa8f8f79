"""Visual tokens of a clip, from the settings alone, and what does not fit into a model's context.

A frame has a constant number of pixels over all budgets, so tokens grow with the frames; or, by a recipe's
total_pixels, all frames of a clip share a number of pixels, so that tokens do not grow. The Qwen families cut a frame
into squares of patch times merge pixels and take two frames together; LLaVA scales every frame to one size and pools
its feature map. A folder's own config.json gives these numbers, else the family's published ones do.
"""

import json
from dataclasses import replace
from pathlib import Path

from .families import FAMILIES, Geometry
from .models import ModelSettings

SHORTEST_TEXT = 64
"""Tokens of the shortest conversation around a clip: the chat template, a question and an answer."""


def geometry(model: ModelSettings) -> Geometry | None:
    """How a model cuts a frame, its pooling filled in; None for a folder that is not there yet."""
    known = FAMILIES[model.family].geometry
    if not known.pool:
        known = replace(known, pool=model.video_pool_stride)
    file = Path(model.source) / "config.json"
    if file.is_file():
        config = json.loads(file.read_text(encoding="utf-8"))
        vision = config["vision_config"]
        merge = vision.get("spatial_merge_size", 1)
        grid = vision["image_size"] // vision["patch_size"] if known.grid else 0
        return Geometry(vision["patch_size"] * merge, merge, vision.get("temporal_patch_size", 1), grid, known.pool)
    return known if model.source.count("/") == 1 else None


def frame_pixels(cut: Geometry, model: ModelSettings, frames: int, stored_pixels: int, total_pixels: int | None) -> int:
    """Most pixels of each of `frames` frames as the model sees them, stored with at most `stored_pixels`."""
    if cut.grid:
        return (cut.grid * cut.side) ** 2
    most = min(model.video_max_pixels, stored_pixels)
    return most if total_pixels is None else min(most, share(total_pixels, frames, cut.together))


def share(total_pixels: int, frames: int, together: int) -> int:
    """Pixels of a frame where all frames of a clip share `total_pixels`; frames that share tokens count as complete."""
    return total_pixels // (-(-frames // together) * together)


def visual_tokens(model: ModelSettings, frames: int, stored_pixels: int, total_pixels: int | None = None) -> int | None:
    """Most visual tokens of a clip of `frames` frames; None where not known yet. Pixels as for `frame_pixels`."""
    cut = geometry(model)
    if cut is None:
        return None
    if cut.grid:
        return frames * (cut.grid // cut.pool) ** 2
    pixels = frame_pixels(cut, model, frames, stored_pixels, total_pixels)
    return -(-frames // cut.together) * (pixels // cut.side**2)


def image_tokens(model: ModelSettings, pixels: int) -> int | None:
    """About how many visual tokens a picture of so many pixels has; None where not known yet.

    The Qwen families keep a picture's size between min_pixels and max_pixels. LLaVA-NeXT-Video cuts it into tiles of
    the tower's size, as many as max_pixels hold, and adds the whole picture as one; LLaVA-1.5 has that one alone.
    """
    cut = geometry(model)
    if cut is None:
        return None
    if cut.grid:
        tiles = model.max_pixels // (cut.grid * cut.side) ** 2
        return cut.grid**2 * (tiles + 1 if tiles > 1 else 1)
    return max(1, min(max(pixels, model.min_pixels or 0), model.max_pixels) // cut.side**2)


def overflow(
    key: str, model: ModelSettings, frames: int, stored_pixels: int, total_pixels: int | None = None
) -> list[str]:
    """The fault of showing a model more frames than its context holds."""
    tokens = visual_tokens(model, frames, stored_pixels, total_pixels)
    if tokens is None or tokens + SHORTEST_TEXT <= model.max_length:
        return []
    return [
        f"{key}: {frames} frames are up to {tokens} visual tokens for {model.name}, whose max_length is "
        f"{model.max_length}; expected at most {model.max_length - SHORTEST_TEXT}, by fewer frames, a smaller "
        "video_max_pixels or total_pixels, or for llava-1.5 a larger video_pool_stride"
    ]


def indivisible(key: str, model: ModelSettings, frames: int, total_pixels: int) -> list[str]:
    """The fault of dividing pixels among frames of one fixed size, or into frames smaller than a token."""
    cut = geometry(model)
    if FAMILIES[model.family].geometry.grid:
        return [
            f"{key}: total_pixels is {total_pixels}; expected null for {model.name}, since family {model.family} "
            "scales every frame to one size"
        ]
    if cut is None or (each := share(total_pixels, frames, cut.together)) >= cut.side**2:
        return []
    least = cut.side**2 * -(-frames // cut.together) * cut.together
    return [
        f"{key}: total_pixels is {total_pixels}, which leaves {each} pixels for each of {frames} frames; expected "
        f"at least {least}, since {model.name} makes a token of {cut.side} x {cut.side}"
    ]
