"""The whole configuration, its cross-checks, and the loader."""

import difflib
import math
import re
from typing import Any, get_args

from pydantic import BaseModel, Field, ValidationError, field_validator

from .attention import AttentionSettings
from .axis import mixed
from .benchmarks import BenchmarksSettings
from .budgets import BudgetsSettings
from .compute import ComputeSettings
from .context import indivisible, overflow
from .dataset import CurationSettings, DatasetSettings
from .evaluation import AnalysisSettings, EvaluationSettings, FiguresSettings
from .exchange import unexchangeable
from .experiments import FRAMES_AXIS, ExperimentSettings
from .families import FAMILIES
from .frames import FramesSettings
from .hub import HubSettings
from .images import ImagesSettings
from .miniature import MiniatureSettings
from .models import ModelSettings
from .recipes import RecipeSettings, filled
from .section import InputError, Name, Section, names_from_keys, shortened
from .theory import TheorySettings

LONGEST_LINE = 1000


class StudySettings(Section):
    """One study."""

    study: str = Field(
        "paper",
        pattern=r"^[A-Za-z0-9_-]+$",
        max_length=100,
        description="The study's name; everything computed lies in results/<study>/.",
    )
    dataset: DatasetSettings = Field(DatasetSettings(), description="The training videos.")
    curation: CurationSettings = Field(CurationSettings(), description="The sample of videos to train on.")
    images: ImagesSettings | None = Field(
        None, description="Conversations about images, drawn for what needs them. null: none."
    )
    frames: FramesSettings = Field(FramesSettings(), description="The frame store.")
    budgets: BudgetsSettings = Field(description="What predicts budgets in the hybrid allocations.")
    models: dict[Name, ModelSettings] = Field(
        description="Models, by name. An entry alone computes nothing; experiments do."
    )
    recipes: dict[Name, RecipeSettings] = Field(description="Ways to train, by name.")
    benchmarks: BenchmarksSettings = Field(description="The benchmarks.")
    evaluation: EvaluationSettings = Field(EvaluationSettings(), description="How models are evaluated.")
    analysis: AnalysisSettings = Field(AnalysisSettings(), description="Intervals and tests.")
    attention: AttentionSettings = Field(
        AttentionSettings(), description="On what attention is measured, for the figure attention."
    )
    theory: TheorySettings = Field(
        TheorySettings(), description="How the paper's theory is measured, for the figure gradient_alignment."
    )
    figures: FiguresSettings = Field(FiguresSettings(), description="How figures are drawn.")
    experiments: tuple[ExperimentSettings, ...] = Field(
        min_length=1, description="What is computed: the runs behind each figure."
    )
    hub: HubSettings = Field(HubSettings(), description="Where data, models and benchmarks are fetched from.")
    compute: ComputeSettings = Field(ComputeSettings(), description="What jobs ask of the machine.")
    miniature: MiniatureSettings | None = Field(
        None, description="The miniature world, made before anything else. null: a study of real data."
    )

    @field_validator("models", mode="before")
    @classmethod
    def _names(cls, entries: object) -> object:
        return names_from_keys(entries)

    @field_validator("recipes", mode="before")
    @classmethod
    def _recipes(cls, entries: object) -> object:
        return names_from_keys(filled(entries))

    def shows(self, figure: str) -> bool:
        """Whether a figure is among the experiments."""
        return any(experiment.figure == figure for experiment in self.experiments)

    def uniform_budget(self, allocation: str) -> int | None:
        """Frames of a uniform allocation, None for a hybrid one."""
        match = re.fullmatch(r"uniform-(\d+)", allocation)
        return int(match.group(1)) if match else None


def load_study(config: dict[str, Any]) -> StudySettings:
    """Read and cross-check a configuration. Raises InputError: a line a fault, with key, value and what is allowed."""
    try:
        study = StudySettings.model_validate(config)
    except ValidationError as error:
        raise InputError("\n".join(_line(_explain(fault, config)) for fault in error.errors())) from None
    faults = list(unexchangeable(study.model_dump())) or _cross_check(study)
    if faults:
        raise InputError("\n".join(map(_line, faults)))
    return study


def _cross_check(study: StudySettings) -> list[str]:
    faults = []
    admissible = study.frames.budgets
    largest = admissible[-1]

    def frames(key: str, count: int) -> None:
        if count > largest:
            faults.append(
                f"{key} is {count}; the frame store holds at most {largest} (frames.budgets: {_list(admissible)})"
            )
        elif count not in admissible:
            faults.append(f"{key} is {count}; allowed: {_list(admissible)} (frames.budgets)")

    def known(key: str, name: str, allowed: Any) -> None:
        if name not in allowed:
            faults.append(f"{key} names {name!r}, which is unknown; {_allowed(name, allowed)}")

    frames("budgets.dinov2.frames", study.budgets.dinov2.frames)
    candidates = study.budgets.dinov2.frames
    uneven = [budget for budget in admissible if budget < candidates and candidates % budget]
    if uneven:
        faults.append(
            f"budgets.dinov2.frames is {candidates}; expected a multiple of every smaller admissible budget, "
            f"which it is not of {_list(uneven)} (frames.budgets: {_list(admissible)})"
        )
    for name, predictor in study.budgets.predictors.items():
        frames(f"budgets.predictors.{name}.frames", predictor.frames)
        orders = math.factorial(len(admissible))
        if predictor.option_orders > orders:
            faults.append(
                f"budgets.predictors.{name}.option_orders is {predictor.option_orders}; "
                f"{len(admissible)} budgets have at most {orders} orders"
            )
    for where, models in (
        ("models", study.models),
        ("budgets.predictors", {name: predictor.model for name, predictor in study.budgets.predictors.items()}),
    ):
        for name, model in models.items():
            if model.video_max_pixels > study.frames.max_pixels:
                faults.append(
                    f"{where}.{name}: video_max_pixels is {model.video_max_pixels}; "
                    f"the frame store holds at most frames.max_pixels, {study.frames.max_pixels}"
                )
    hybrids = study.budgets.hybrids
    faults += _sources(study)
    faults += _mitigations(study)
    seen: set[str] = set()
    for experiment in study.experiments:
        key = f"experiments[{experiment.figure}]"
        if experiment.figure in seen:
            faults.append(f"{key} is listed twice; expected one experiment a figure")
        seen.add(experiment.figure)
        known(f"{key}.recipe", experiment.recipe, study.recipes)
        for name in experiment.variants:
            known(f"{key}.variants", name, study.recipes)
        faults += mixed(experiment, study.models, study.recipes)
        for name in experiment.models:
            known(f"{key}.models", name, study.models)
            for recipe in experiment.recipes:
                faults += _unreached_projector(key, study.recipes.get(recipe), study.models.get(name))
        for allocation in experiment.allocations:
            budget = study.uniform_budget(allocation)
            if budget is None:
                known(f"{key}.allocations", allocation, [f"uniform-{n}" for n in admissible] + hybrids)
            else:
                frames(f"{key}.allocations: {allocation}", budget)
        faults += _overflows(study, experiment)
        for suite in experiment.suites:
            if not study.benchmarks.suites.get(suite):
                faults.append(f"{key}.suites names {suite!r}; benchmarks.suites.{suite} lists no benchmark")
        for count in experiment.eval_frames:
            frames(f"{key}.eval_frames", count)
        if len(experiment.eval_frames) > 1 and experiment.figure != FRAMES_AXIS:
            faults.append(
                f"{key}.eval_frames is {_list(experiment.eval_frames)}; the figure has no axis for it, list one"
            )
        if experiment.figure in ("predictors", "abilities", "budget_map") and len(experiment.models) > 1:
            faults.append(f"{key}.models is {_list(experiment.models)}; it is of one model, list one")
        if experiment.figure in ("abilities", "attention") and len(experiment.allocations) > 1:
            faults.append(f"{key}.allocations is {_list(experiment.allocations)}; it is of one allocation, list one")
        if experiment.figure == "gradient_alignment":
            faults += _unmeasurable(study, experiment)
        hybrid = [name for name in experiment.allocations if study.uniform_budget(name) is None]
        if experiment.figure == "budget_map" and hybrid:
            faults.append(f"{key}.allocations names {_list(hybrid)}; its axis is of uniform allocations, list those")
    return faults


def _sources(study: StudySettings) -> list[str]:
    """The faults of what stands behind the hybrid allocations of experiments: a model, or another allocation."""
    used = {name for experiment in study.experiments for name in experiment.allocations}
    faults = []
    like = study.budgets.random.predictor
    if "hybrid-random" in used:
        used.add(f"hybrid-{like}")
        allowed = [name.removeprefix("hybrid-") for name in study.budgets.hybrids if name != "hybrid-random"]
        if like not in allowed:
            faults.append(f"budgets.random.predictor names {like!r}, which is unknown; {_allowed(like, allowed)}")
    if "hybrid-likelihood" in used or ("hybrid-oracle" in used and study.budgets.truth is None):
        key, name = "budgets.oracle.model", study.budgets.oracle.model
        if name not in study.models:
            faults.append(f"{key} names {name!r}, which is unknown; {_allowed(name, study.models)}")
        else:
            faults += overflow(key, study.models[name], study.frames.budgets[-1], study.frames.max_pixels)
    return faults


def _unmeasurable(study: StudySettings, experiment: ExperimentSettings) -> list[str]:
    """The faults of an experiment whose gradients cannot be measured along one run."""
    key = f"experiments[{experiment.figure}]"
    faults = [
        f"{key}.{field} is {_list(getattr(experiment, field))}; it is along one run, list one"
        for field in ("models", "allocations", "seeds")
        if len(getattr(experiment, field)) > 1
    ]
    if study.images is None:
        faults.append(f"images is null; {key} takes the image gradient from them, expected where they come from")
    elif study.images.conversations < (wanted := study.theory.images + study.theory.step_images):
        faults.append(
            f"images.conversations is {study.images.conversations}; expected at least {wanted}, as many as "
            "theory.images and theory.step_images ask for"
        )
    return faults


def _mitigations(study: StudySettings) -> list[str]:
    """The faults of recipes that need image conversations, or lie between a base and another recipe's runs."""
    faults = []
    for recipe in study.recipes.values():
        key, images = f"recipes.{recipe.name}", study.images
        if recipe.needs_images:
            said = (
                f"replay is {recipe.replay:g}" if recipe.replay else f"gradient_projection {recipe.gradient_projection}"
            )
            least = recipe.gradient_projection or 1
            if images is None:
                faults.append(f"{key}.{said}, and images null; expected where image conversations come from")
            elif images.conversations < least:
                faults.append(
                    f"{key}.{said}, and images.conversations {images.conversations}; expected at least {least}"
                )
        if recipe.interpolation is not None and recipe.like in study.recipes:
            end = study.recipes[recipe.like]
            faults += [
                f"{key}.{field} is {getattr(recipe, field)}, and recipes.{end.name} has {getattr(end, field)}; "
                "expected the same, since interpolation trains nothing"
                for field in RecipeSettings.model_fields
                if field not in ("name", "like", "interpolation") and getattr(recipe, field) != getattr(end, field)
            ]
    return faults


def _overflows(study: StudySettings, experiment: ExperimentSettings) -> list[str]:
    """The faults of frames that do not fit into a model's context, in training or in evaluation."""
    key = f"experiments[{experiment.figure}]"
    shown = {
        f"{key}.allocations: {allocation}": study.uniform_budget(allocation) or study.frames.budgets[-1]
        for allocation in experiment.allocations
    }
    if "video" in experiment.suites and experiment.eval_frames:
        shown |= {f"{key}.eval_frames": max(experiment.eval_frames)}
    models = [study.models[name] for name in experiment.models if name in study.models]
    totals = {name: study.recipes[name].total_pixels for name in experiment.recipes if name in study.recipes}
    stored = study.frames.max_pixels
    faults = []
    for model in models:
        for total in dict.fromkeys(totals.values()):
            for where, count in shown.items():
                faults += overflow(where, model, count, stored, total)
        for name, total in totals.items():
            if total is not None:
                faults += indivisible(f"{key}: recipes.{name}", model, max(shown.values()), total)
    return faults


def _unreached_projector(key: str, recipe: RecipeSettings | None, model: ModelSettings | None) -> list[str]:
    """The fault of a recipe that gives the projector a rate but, by its targets, no low-rank adapter."""
    if recipe is None or model is None or recipe.method != "lora" or recipe.learning_rates.projector == 0:
        return []
    layers = FAMILIES[model.family].projector
    if set(layers) & set(recipe.lora.targets):
        return []
    return [
        f"{key}: recipes.{recipe.name}.learning_rates.projector is {recipe.learning_rates.projector:g}, "
        f"but lora.targets ({_list(recipe.lora.targets)}) name no layer of the projector of {model.name}; "
        f"expected 0 or {_list(layers)} there"
    ]


def _line(text: str) -> str:
    """A fault as one line that a terminal takes, whatever the configuration holds."""
    shown = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
    return shown if len(shown) <= LONGEST_LINE else f"{shown[: LONGEST_LINE - 100]} ... {shown[-90:]}"


def _list(values: Any) -> str:
    return ", ".join(map(str, values))


def _allowed(name: str, allowed: Any) -> str:
    near = difflib.get_close_matches(str(name), list(allowed), n=1)
    return (f"did you mean {near[0]!r}? " if near else "") + f"allowed: {_list(sorted(allowed))}"


def _explain(fault: Any, config: Any) -> str:
    """One validation fault as a line: the key, its value, what is allowed."""
    location = [part for part in fault["loc"] if part != "[key]"]
    key = _dotted(location, config)
    message = re.sub(r"^(Value|Assertion) error, ", "", fault["msg"])
    if fault["type"] == "extra_forbidden":
        section = _section(location[:-1])
        allowed = section.model_fields if section else []
        return f"configuration key {key} is unknown; {_allowed(str(location[-1]), allowed)}"
    if fault["type"] == "missing":
        return f"configuration key {key} is missing; it is required"
    if fault["type"] == "value_error":
        return f"configuration key {key}: {message}"
    return f"configuration key {key} is {shortened(fault['input'])}; {message[:1].lower()}{message[1:]}"


def _dotted(location: list[Any], config: Any) -> str:
    """`('experiments', 0, 'recipe')` as `experiments[frames].recipe`."""
    key, value = "", config
    for part in location:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            value = None
        if isinstance(part, int):
            key += f"[{value.get('figure', part)}]" if isinstance(value, dict) else f"[{part}]"
        else:
            key += f".{part}" if key else str(part)
    return key


def _section(location: list[Any]) -> type[BaseModel] | None:
    """The section class at a location."""
    section: Any = StudySettings
    for part in location:
        if isinstance(section, type) and issubclass(section, BaseModel):
            section = section.model_fields[part].annotation if part in section.model_fields else None
        else:
            arguments = [a for a in get_args(section) if a is not Ellipsis]
            section = arguments[-1] if arguments else None
        inner = [a for a in get_args(section) if isinstance(a, type) and issubclass(a, BaseModel)]
        if type(None) in get_args(section) and inner:
            section = inner[0]
    return section if isinstance(section, type) and issubclass(section, BaseModel) else None
