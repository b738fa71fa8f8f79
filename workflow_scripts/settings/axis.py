"""Within one figure only its axis varies: what an experiment may not mix, or its figure would show that as well.

Recipe, batch in samples, learning rates and data are one recipe's and one list of allocations, the same for all models
of an experiment. What is left to differ is checked here: what a family's models see, and what sets variants of the
recipe apart.
"""

from collections.abc import Mapping, Sequence

from .experiments import ExperimentSettings
from .families import FAMILIES
from .models import ModelSettings
from .recipes import MITIGATIONS, RecipeSettings

VARIED = {
    "confounders": ("temporal_positions", "total_pixels"),
    "trade_off": ("learning_rates", *MITIGATIONS),
}
"""By figure, the settings in which the variants of its recipe differ; learning rates only by what is frozen."""
ALWAYS_VARIED = {"confounders"}
SEEN = ("min_pixels", "max_pixels", "video_max_pixels", "video_pool_stride", "precision")
"""Settings that models of one family share within a figure."""


def mixed(
    experiment: ExperimentSettings, models: Mapping[str, ModelSettings], recipes: Mapping[str, RecipeSettings]
) -> list[str]:
    """The faults of an experiment in which more than its figure's axis varies. Unknown names are passed over."""
    key = f"experiments[{experiment.figure}]"
    shown = [models[name] for name in experiment.models if name in models]
    faults = _models(key, shown)
    if experiment.figure not in VARIED:
        for field in ("variants", "variant_allocations"):
            if listed := getattr(experiment, field):
                faults.append(f"{key}.{field} is {_list(listed)}; the figure has no axis for it, list none")
        return faults
    axis = VARIED[experiment.figure]
    if other := [name for name in experiment.variant_allocations if name not in experiment.allocations]:
        faults.append(f"{key}.variant_allocations names {_list(other)}; expected some of its allocations")
    known = [recipes[name] for name in experiment.recipes if name in recipes]
    faults += _variants(key, known, axis) + _without_effect(key, known, shown) + _thawed(key, known)
    faults += _without_end(key, known)
    if experiment.figure not in ALWAYS_VARIED:
        return faults
    if experiment.variant_allocations:
        faults.append(f"{key}.variant_allocations is {_list(experiment.variant_allocations)}; expected none")
    if not experiment.variants:
        faults.append(f"{key}.variants is empty; expected recipes that differ from {experiment.recipe} in {_or(axis)}")
    if len(experiment.models) > 1:
        faults.append(f"{key}.models is {_list(experiment.models)}; it is of one model, list one")
    if hybrid := [name for name in experiment.allocations if not name.startswith("uniform-")]:
        faults.append(f"{key}.allocations names {_list(hybrid)}; its axis is of uniform allocations, list those")
    if len(experiment.suites) < 2:
        faults.append(f"{key}.suites is {_list(experiment.suites)}; expected image and video")
    return faults


def _thawed(key: str, recipes: Sequence[RecipeSettings]) -> list[str]:
    """Recipes whose rates differ from the first's otherwise than by freezing."""
    faults = []
    for recipe in recipes[1:]:
        first = recipes[0].learning_rates.model_dump()
        for part, rate in recipe.learning_rates.model_dump().items():
            if rate not in (0, first[part]):
                faults.append(
                    f"{key}.variants: recipes.{recipe.name}.learning_rates.{part} is {rate:g}; expected "
                    f"{first[part]:g}, as recipes.{recipes[0].name} has it, or 0"
                )
    return faults


def _without_end(key: str, recipes: Sequence[RecipeSettings]) -> list[str]:
    """Interpolations towards a recipe that the figure does not show."""
    names = [recipe.name for recipe in recipes]
    return [
        f"{key}.variants: recipes.{recipe.name} interpolates towards {recipe.like}; expected that recipe in it too"
        for recipe in recipes
        if recipe.interpolation is not None and recipe.like not in names
    ]


def _models(key: str, models: Sequence[ModelSettings]) -> list[str]:
    """Models of one family that do not see the same."""
    faults = []
    first: dict[str, ModelSettings] = {}
    for model in models:
        other = first.setdefault(model.family, model)
        faults += [
            f"{key}.models: {field} is {getattr(model, field)} for {model.name} and {getattr(other, field)} for "
            f"{other.name}; expected the same for all models of family {model.family} in one figure"
            for field in SEEN
            if getattr(model, field) != getattr(other, field)
        ]
    return faults


def _variants(key: str, recipes: Sequence[RecipeSettings], axis: Sequence[str]) -> list[str]:
    """Recipes that differ in other settings than the axis, or do not differ in it."""
    faults = []
    for index, recipe in enumerate(recipes):
        faults += [
            f"{key}.variants: recipes.{recipe.name}.{field} is {getattr(recipe, field)} and recipes.{recipes[0].name}."
            f"{field} is {getattr(recipes[0], field)}; expected only {_or(axis)} to differ"
            for field in RecipeSettings.model_fields
            if field not in ("name", "like", *axis) and getattr(recipe, field) != getattr(recipes[0], field)
        ]
        faults += [
            f"{key}.variants: recipes.{recipe.name} is as recipes.{other.name}; expected {_or(axis)} to differ"
            for other in recipes[:index]
            if all(getattr(recipe, field) == getattr(other, field) for field in axis)
        ]
    return faults


def _without_effect(key: str, recipes: Sequence[RecipeSettings], models: Sequence[ModelSettings]) -> list[str]:
    """Temporal positions that vary for a model which has none."""
    varied = {recipe.temporal_positions for recipe in recipes}
    return [
        f"{key}: temporal_positions vary ({_list(sorted(varied))}), but family {model.family} of {model.name} has none"
        for model in models
        if len(varied) > 1 and not FAMILIES[model.family].timed
    ]


def _list(values: Sequence[str]) -> str:
    return ", ".join(values)


def _or(values: Sequence[str]) -> str:
    return " or ".join(values)
