"""The frame store: which frames of each video are kept, and how."""

from typing import Literal

from pydantic import Field, field_validator

from .section import Section

SamplingMethod = Literal["uniform", "linspace", "fps"]


class FramesSettings(Section):
    """Which frames of each video are kept for the budgets, and at what size."""

    budgets: tuple[int, ...] = Field(
        (8, 16, 32, 64),
        min_length=1,
        description="Admissible numbers of frames, rising; the store holds what all of them need.",
    )
    sampling: SamplingMethod = Field(
        "uniform",
        description="Which frames a budget of N takes of a clip's n. uniform: frame floor(i * n / N), so that budgets "
        "nest. linspace: LLaVA-NeXT's numpy.linspace(0, n - 1, N, dtype=int). fps: `fps` frames a second, and uniform "
        "ones where these are more than N. No frame is taken twice: a clip of n < N frames gives n. The miniature's "
        "true budgets are those of uniform frames.",
    )
    fps: float = Field(2.0, gt=0, description="Frames a second that sampling fps takes; no other sampling uses it.")
    shards: int = Field(
        64, ge=1, le=10_000, description="Files that the store of the training videos is cut into; one job each."
    )
    max_pixels: int = Field(
        448 * 448,
        ge=1,
        description="Largest stored frame, in pixels; larger ones are scaled down, keeping their proportions.",
    )
    jpeg_quality: int = Field(95, ge=1, le=100, description="JPEG quality of stored frames.")

    @field_validator("budgets")
    @classmethod
    def _rising(cls, budgets: tuple[int, ...]) -> tuple[int, ...]:
        if list(budgets) != sorted(set(budgets)) or budgets[0] < 1:
            raise ValueError(f"budgets are {list(budgets)}; expected distinct numbers of frames >= 1, rising")
        return budgets
