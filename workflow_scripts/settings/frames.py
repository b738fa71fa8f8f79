"""The frame store: which frames of each video are kept, and how."""

from pydantic import Field, field_validator

from .section import Section


class FramesSettings(Section):
    """Frame i of a budget of N is frame floor(i * n / N) of a clip's n frames."""

    budgets: tuple[int, ...] = Field(
        (8, 16, 32, 64),
        min_length=1,
        description="Admissible numbers of frames, rising; the store holds what all of them need.",
    )
    shards: int = Field(64, ge=1, description="Files that the store of the training videos is cut into; one job each.")
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
