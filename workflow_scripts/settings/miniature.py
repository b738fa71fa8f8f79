"""The numbers of the miniature world."""

from pydantic import Field, model_validator

from .section import Section


class MiniatureSettings(Section):
    """A small world of drawn videos, in the layout of LLaVA-Video-178K and of the benchmarks."""

    seed: int = Field(0, ge=0, description="First seed of the scenes.")
    videos: int = Field(700, ge=1, description="Training videos.")
    broken: int = Field(8, ge=0, description="Of these, files that are broken on purpose.")
    images: int = Field(1000, ge=0, description="Conversations about stills, of which every hundredth is broken.")
    boxes: int = Field(400, ge=2, description="Questions about one object of a still each, with its true box.")
    questions: int = Field(240, ge=8, description="Questions of each benchmark.")

    @model_validator(mode="after")
    def _fewer_broken(self) -> "MiniatureSettings":
        if self.broken >= self.videos:
            raise ValueError(f"broken is {self.broken}; expected fewer than videos, {self.videos}")
        return self
