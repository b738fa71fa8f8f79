"""How the paper's theory is measured at a checkpoint."""

from pydantic import Field, model_validator

from .section import Section, Seed


class TheorySettings(Section):
    """Gradients at the base and along one run of the experiment gradient_alignment."""

    images: int = Field(512, ge=4, description="Image conversations whose mean gradient is the image gradient.")
    videos: int = Field(
        256, ge=4, description="Video samples whose gradients are taken, the same at every admissible budget."
    )
    batches: int = Field(
        16, ge=4, description="Independent batches that each of the two is cut into; intervals draw whole batches anew."
    )
    moment_batches: int = Field(
        4,
        ge=1,
        description="How many batches' worth of further samples, at the run's budgets, give AdamW's second moment.",
    )
    sketch: int | None = Field(
        65536,
        ge=16,
        description="Buckets of the random projection of each part's gradient, a power of two; the error of a cosine "
        "is about one over its square root. null: exact, for small models.",
    )
    step_images: int = Field(
        256,
        ge=8,
        description="Further image conversations for single steps: one half predicts the change of the image loss, on "
        "the other it is measured.",
    )
    step_videos: int = Field(
        64, ge=8, description="Further video samples for single steps: one half is stepped along, one half measured."
    )
    step_lengths: tuple[float, ...] = Field(
        (0.000001, 0.000003, 0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003),
        min_length=1,
        description="Lengths of the steps, as shares of the norm of the trained weights.",
    )
    power_iterations: int = Field(
        10, ge=1, description="Iterations that look for the image loss's largest curvature; each takes two gradients."
    )
    seed: Seed = Field(0, description="Seed of the draw of samples and of the projection.")

    @model_validator(mode="after")
    def _divisible(self) -> "TheorySettings":
        for key in ("images", "videos"):
            if getattr(self, key) % self.batches:
                raise ValueError(f"{key} is {getattr(self, key)}; expected a multiple of batches, {self.batches}")
        for key in ("step_images", "step_videos"):
            if getattr(self, key) % 8:
                raise ValueError(f"{key} is {getattr(self, key)}; expected a multiple of 8: two halves of four batches")
        if self.sketch is not None and self.sketch & (self.sketch - 1):
            raise ValueError(f"sketch is {self.sketch}; expected a power of two, or null")
        if list(self.step_lengths) != sorted(set(self.step_lengths)) or self.step_lengths[0] <= 0:
            raise ValueError(f"step_lengths are {list(self.step_lengths)}; expected rising numbers above 0")
        return self
