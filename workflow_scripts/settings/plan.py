"""What a study consists of: the runs and evaluations behind each figure, each listed once."""

from dataclasses import dataclass, replace

from .experiments import UNSCORED
from .models import ModelSettings
from .recipes import View
from .study import StudySettings


@dataclass(frozen=True)
class Run:
    """One fine-tuning."""

    recipe: str
    model: str
    allocation: str
    seed: int

    @property
    def path(self) -> str:
        """The run as part of a path."""
        return f"{self.recipe}/{self.model}/{self.allocation}/seed-{self.seed}"


@dataclass(frozen=True)
class Subject:
    """What an evaluation is of, read from the part of its path before the suite.

    view: how videos are shown to a base model where that is not the default, as `View.name` says.
    """

    kind: str
    model: str
    run: Run | None
    view: str = ""

    @classmethod
    def parse(cls, path: str) -> "Subject":
        """Read `{base,blind}/<model>[/<view>]` or `tuned/<recipe>/<model>/<allocation>/seed-<seed>`."""
        kind, *rest = path.split("/")
        if kind != "tuned":
            return cls(kind, rest[0], None, *rest[1:])
        recipe, model, allocation, seed = rest
        return cls(kind, model, Run(recipe, model, allocation, int(seed.removeprefix("seed-"))))

    @classmethod
    def of(cls, folder: str) -> "Subject":
        """Read a folder that `evaluations` lists: `evaluation/<subject>/<suite>/frames-<n>`."""
        return cls.parse("/".join(folder.split("/")[1:-2]))


def runs(study: StudySettings, figure: str | None = None) -> list[Run]:
    """Runs of one figure's experiment, or of all of them, each once."""
    found = [
        Run(recipe, model, allocation, seed)
        for experiment in study.experiments
        if figure in (None, experiment.figure)
        for recipe in experiment.recipes
        for model in experiment.models
        for allocation in experiment.allocations_of(recipe)
        for seed in experiment.seeds
    ]
    return list(dict.fromkeys(found))


def made(study: StudySettings) -> list[Run]:
    """Runs of all experiments, and those whose weights an interpolation starts from."""
    ends = [
        replace(run, recipe=like)
        for run in runs(study)
        if (recipe := study.recipes[run.recipe]).interpolation is not None and (like := recipe.like) is not None
    ]
    return list(dict.fromkeys([*runs(study), *ends]))


def evaluations(study: StudySettings, figure: str | None = None) -> list[str]:
    """Folders under results/<study>/ of the evaluations of one figure's experiment, or of all, each once.

    A base model is shown videos as the runs beside it are: once for each view of the experiment's recipes. Images have
    no views.
    """
    found = []
    for experiment in study.experiments:
        if figure not in (None, experiment.figure) or experiment.figure in UNSCORED:
            continue
        tuned = [f"tuned/{run.path}" for run in runs(study, experiment.figure)]
        for suite in experiment.suites:
            views = [""] if suite == "image" else [study.recipes[name].view.name for name in experiment.recipes]
            bases = [
                "/".join(filter(None, (kind, model, view)))
                for kind in ("base", "blind")
                for model in experiment.models
                for view in views
            ]
            for frames in [1] if suite == "image" else experiment.eval_frames:
                found += [f"evaluation/{subject}/{suite}/frames-{frames}" for subject in (*bases, *tuned)]
    return list(dict.fromkeys(found))


def looks(study: StudySettings) -> list[str]:
    """Subjects whose attention is measured: the models of the experiment, and its runs."""
    bases = [f"base/{m}" for one in study.experiments if one.figure == "attention" for m in one.models]
    return bases + [f"tuned/{run.path}" for run in runs(study, "attention")]


def views(study: StudySettings) -> list[str]:
    """Names of the recipes' views, without the default's, each once."""
    return list(dict.fromkeys(recipe.view.name for recipe in study.recipes.values() if recipe.view.name))


def view(study: StudySettings, subject: Subject) -> View:
    """How videos are shown in an evaluation: as in the training of its run, or as a base model's place says."""
    if subject.run is not None:
        return study.recipes[subject.run.recipe].view
    known = {recipe.view.name: recipe.view for recipe in study.recipes.values()} | {"": View()}
    return known[subject.view]


def allocations(study: StudySettings, figure: str | None = None) -> list[str]:
    """Allocations of one figure's experiment, or of all of them, each once."""
    return list(dict.fromkeys(run.allocation for run in runs(study, figure)))


def keeps_adapter(study: StudySettings, subject: Subject) -> bool:
    """Whether a subject is evaluated as its base model with a LoRA adapter beside it."""
    merged = study.evaluation.merge_adapters
    return not merged and subject.run is not None and study.recipes[subject.run.recipe].method == "lora"


def evaluated_model(study: StudySettings, subject: Subject, folder: str) -> ModelSettings:
    """Settings of the model to evaluate: a base model's own, or those with the weights of the run in `folder`."""
    model = study.models[subject.model]
    if subject.run is None or keeps_adapter(study, subject):
        return model
    return model.model_copy(update={"source": folder, "revision": None})
