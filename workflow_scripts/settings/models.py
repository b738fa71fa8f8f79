"""The models of the study."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from .families import FAMILIES, known_family
from .section import Name, Place, Section

Family = Annotated[str, AfterValidator(known_family)]


class ModelSettings(Section):
    """One model: where its weights are, and what it sees. The same in training, prediction and evaluation."""

    name: Name = Field(description="The model's name in paths and figures; the key in the configuration.")
    family: Family = Field(
        description=f"Architecture: {', '.join(FAMILIES)}.", json_schema_extra={"enum": list(FAMILIES)}
    )
    source: Place = Field(
        description="Repository on the model hub, or a local folder that transformers' Auto classes load."
    )
    revision: str | None = Field(None, description="Commit of the repository. null: resources/pins.json's.")
    size_b: float = Field(gt=0, le=100_000, description="Parameters, in 10^9; decides how many GPUs a job asks for.")
    min_pixels: int | None = Field(
        None, ge=1, description="Smallest image, in pixels; smaller ones are scaled up. null: the family's own."
    )
    max_pixels: int = Field(1280 * 28 * 28, ge=1, description="Largest image, in pixels; larger ones are scaled down.")
    video_max_pixels: int = Field(
        128 * 28 * 28,
        ge=1,
        description="Largest video frame, in pixels, the same for every budget unless a recipe's total_pixels is less.",
    )
    video_pool_stride: int = Field(
        1,
        ge=1,
        description="Stride of the average pooling over each video frame's feature map (llava-1.5 only; 1: none).",
    )
    precision: Literal["bfloat16", "float32"] = Field("bfloat16", description="Number format of the weights.")
    max_length: int = Field(8192, ge=1, description="Longest input, in tokens, text and vision together.")

    @model_validator(mode="after")
    def _pixels(self) -> "ModelSettings":
        if self.min_pixels is not None and self.min_pixels > self.max_pixels:
            raise ValueError(f"min_pixels is {self.min_pixels}; expected at most max_pixels, {self.max_pixels}")
        if self.video_pool_stride > 1 and FAMILIES[self.family].geometry.pool:
            raise ValueError(f"video_pool_stride is {self.video_pool_stride}; expected 1 for family {self.family}")
        return self
