"""The experiments: the runs behind each figure."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

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
    "gradient_alignment",
    "attention",
]
FRAMES_AXIS = "budget_map"
"""The figure that has an axis of evaluation frames."""
UNSCORED = frozenset({"gradient_alignment", "attention"})
"""Figures that show no evaluation."""


class ExperimentSettings(Section):
    """All models x allocations x seeds of one recipe and its variants, with their base models.

    Shared runs are computed once.
    """

    figure: Figure = Field(
        description="Its figure: overview, architectures, scale, frames, trade_off, predictors, hybrid, abilities, "
        "budget_map, confounders, gradient_alignment or attention."
    )
    recipe: str = Field(description="Recipe, by name.")
    variants: tuple[str, ...] = Field(
        (),
        description="Further recipes, by name, that differ from it in what the figure compares: for confounders "
        "temporal_positions and total_pixels, for trade_off replay, gradient_projection, interpolation, frozen parts.",
    )
    variant_allocations: tuple[str, ...] = Field(
        (), description="Which of the allocations the variants have too. Empty: all."
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
        (),
        description="Frames a video in evaluation: one admissible budget; several for budget_map alone, none for "
        "gradient_alignment and attention, which evaluate nothing.",
    )

    @property
    def recipes(self) -> tuple[str, ...]:
        """The recipe, then its variants."""
        return (self.recipe, *self.variants)

    def allocations_of(self, recipe: str) -> tuple[str, ...]:
        """The allocations that a recipe's runs have."""
        return self.allocations if recipe == self.recipe or not self.variant_allocations else self.variant_allocations

    @field_validator("variants", "variant_allocations", "models", "allocations", "seeds", "suites", "eval_frames")
    @classmethod
    def _distinct(cls, values: tuple[object, ...]) -> tuple[object, ...]:
        twice = [value for value in dict.fromkeys(values) if values.count(value) > 1]
        if twice:
            raise ValueError(f"{', '.join(map(str, twice))} is listed twice; expected distinct values")
        return values

    @model_validator(mode="after")
    def _evaluated(self) -> "ExperimentSettings":
        if bool(self.eval_frames) == (self.figure in UNSCORED):
            expected = "none, as it evaluates nothing" if self.figure in UNSCORED else "at least one"
            raise ValueError(f"eval_frames of {self.figure} are {list(self.eval_frames)}; expected {expected}")
        return self
