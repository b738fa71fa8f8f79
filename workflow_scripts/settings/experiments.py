"""The experiments: the runs behind each figure."""

from typing import Literal

from pydantic import Field, field_validator

from .benchmarks import Suite
from .section import Section, Seed

Figure = Literal[
    "overview",
    "architectures",
    "scale",
    "frames",
    "trade_off",
    "predictors",
    "hybrid",
    "abilities",
    "budget_map",
    "confounders",
]
FRAMES_AXIS = "budget_map"
"""The figure that has an axis of evaluation frames."""


class ExperimentSettings(Section):
    """All models x allocations x seeds of one recipe and its variants, with their base models.

    Shared runs are computed once.
    """

    figure: Figure = Field(
        description="Its figure: overview, architectures, scale, frames, trade_off, predictors, hybrid, abilities, "
        "budget_map or confounders."
    )
    recipe: str = Field(description="Recipe, by name.")
    variants: tuple[str, ...] = Field(
        (),
        description="Further recipes, by name, that differ from it in what the figure compares: for confounders "
        "temporal_positions and total_pixels.",
    )
    models: tuple[str, ...] = Field(min_length=1, description="Models, by name.")
    allocations: tuple[str, ...] = Field(
        min_length=1,
        description="Allocations: uniform-<budget>, or hybrid-<name>, the name dinov2, likelihood, oracle, random or a "
        "predictor's.",
    )
    seeds: tuple[Seed, ...] = Field(min_length=1, description="Seeds of training; one run each.")
    suites: tuple[Suite, ...] = Field(("image", "video"), min_length=1, description="Suites to evaluate.")
    eval_frames: tuple[int, ...] = Field(
        min_length=1, description="Frames a video in evaluation: one admissible budget; several for budget_map alone."
    )

    @property
    def recipes(self) -> tuple[str, ...]:
        """The recipe, then its variants."""
        return (self.recipe, *self.variants)

    @field_validator("variants", "models", "allocations", "seeds", "suites", "eval_frames")
    @classmethod
    def _distinct(cls, values: tuple[object, ...]) -> tuple[object, ...]:
        twice = [value for value in dict.fromkeys(values) if values.count(value) > 1]
        if twice:
            raise ValueError(f"{', '.join(map(str, twice))} is listed twice; expected distinct values")
        return values
