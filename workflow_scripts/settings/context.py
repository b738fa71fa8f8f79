"""Visual tokens of a clip, from the settings alone, and what does not fit into a model's context.

A frame has a constant number of pixels over all budgets, so tokens grow with the frames. The Qwen families cut a frame
into squares of patch times merge pixels and take two frames together; LLaVA scales every frame to one size and pools
its feature map. A folder's own config.json gives these numbers, else the family's published ones do.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from .models import ModelSettings

SHORTEST_TEXT = 64
"""Tokens of the shortest conversation around a clip: the chat template, a question and an answer."""


@dataclass(frozen=True)
class Geometry:
    """`side`: pixels of a square that becomes one token, or of one patch for LLaVA; `merge`: patches a token, a side;
    `together`: frames that share a token; `grid`: patches a side of a frame scaled to one size, 0: as it comes; `pool`:
    stride of the pooling over that grid."""

    side: int
    merge: int
    together: int
    grid: int
    pool: int


FAMILIES = {
    "qwen2.5-vl": Geometry(side=28, merge=2, together=2, grid=0, pool=1),
    "qwen3-vl": Geometry(side=32, merge=2, together=2, grid=0, pool=1),
    "llava-next-video": Geometry(side=14, merge=1, together=1, grid=24, pool=2),
    "llava-1.5": Geometry(side=14, merge=1, together=1, grid=24, pool=1),
}


def geometry(model: ModelSettings) -> Geometry | None:
    """How a model cuts a frame; None for a folder that is not there yet."""
    known = FAMILIES[model.family]
    file = Path(model.source) / "config.json"
    if file.is_file():
        config = json.loads(file.read_text(encoding="utf-8"))
        vision = config["vision_config"]
        merge = vision.get("spatial_merge_size", 1)
        grid = vision["image_size"] // vision["patch_size"] if known.grid else 0
        known = Geometry(vision["patch_size"] * merge, merge, vision.get("temporal_patch_size", 1), grid, known.pool)
    elif model.source.count("/") != 1:
        return None
    pool = model.video_pool_stride if model.family == "llava-1.5" else known.pool
    return Geometry(known.side, known.merge, known.together, known.grid, pool)


def visual_tokens(model: ModelSettings, frames: int, stored_pixels: int) -> int | None:
    """Most visual tokens of a clip of `frames` frames of at most `stored_pixels` pixels; None where not known yet."""
    cut = geometry(model)
    if cut is None:
        return None
    if cut.grid:
        return frames * (cut.grid // cut.pool) ** 2
    return -(-frames // cut.together) * (min(model.video_max_pixels, stored_pixels) // cut.side**2)


def overflow(key: str, model: ModelSettings, frames: int, stored_pixels: int) -> list[str]:
    """The fault of showing a model more frames than its context holds."""
    tokens = visual_tokens(model, frames, stored_pixels)
    if tokens is None or tokens + SHORTEST_TEXT <= model.max_length:
        return []
    return [
        f"{key}: {frames} frames are up to {tokens} visual tokens for {model.name}, whose max_length is "
        f"{model.max_length}; expected at most {model.max_length - SHORTEST_TEXT}, by fewer frames, a smaller "
        "video_max_pixels, or for llava-1.5 a larger video_pool_stride"
    ]
