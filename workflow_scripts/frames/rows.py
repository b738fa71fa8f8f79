"""One video to one row of the frame store."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from workflow_scripts.video.sampling import UNIFORM, Sampling

Row = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """How videos become rows."""

    root: Path
    budgets: tuple[int, ...]
    max_pixels: int
    jpeg_quality: int
    last_frame: bool = False  # stored beside those of the budgets
    sampling: Sampling = UNIFORM


def make_row(recipe: Recipe, video: str) -> Row | tuple[str, str]:
    """One row of the store, or (reason, detail). Runs in a worker process that can be killed."""
    # The reader of the store imports this module, and needs no decoder.
    from workflow_scripts.frames.decode import decode
    from workflow_scripts.video.container import Unusable

    try:
        decoded = decode(recipe.root / video, recipe.budgets, recipe.max_pixels, recipe.last_frame, recipe.sampling)
    except Unusable as unusable:
        return unusable.reason, unusable.detail
    n, duration_s = decoded.n_frames, decoded.duration_s
    return {
        "video": video,
        "n_frames": n,
        "duration_s": duration_s,
        "fps": decoded.fps,
        "frame_index": decoded.index,
        "timestamp_s": decoded.timestamp_s,
        "effective_budget": [len(recipe.sampling.indices(n, budget, duration_s)) for budget in recipe.budgets],
        "jpeg": [_jpeg(image, recipe.jpeg_quality) for image in decoded.images],
    }


def _jpeg(image: np.ndarray, quality: int) -> bytes:
    # Full colour resolution: a study of what models see of colours should not blur them.
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()
