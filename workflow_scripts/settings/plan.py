"""What a study consists of: the runs and evaluations behind each figure, each listed once."""

from dataclasses import dataclass

from .models import ModelSettings
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
    """What an evaluation is of, read from the part of its path before the suite."""

    kind: str
    model: str
    run: Run | None

    @classmethod
    def parse(cls, path: str) -> "Subject":
        """Read `base/<model>`, `blind/<model>` or `tuned/<recipe>/<model>/<allocation>/seed-<seed>`."""
        kind, *rest = path.split("/")
        if kind != "tuned":
            return cls(kind, rest[0], None)
        recipe, model, allocation, seed = rest
        return cls(kind, model, Run(recipe, model, allocation, int(seed.removeprefix("seed-"))))


def runs(study: StudySettings, figure: str | None = None) -> list[Run]:
    """Runs of one figure's experiment, or of all of them, each once."""
    found = [
        Run(experiment.recipe, model, allocation, seed)
        for experiment in study.experiments
        if figure in (None, experiment.figure)
        for model in experiment.models
        for allocation in experiment.allocations
        for seed in experiment.seeds
    ]
    return list(dict.fromkeys(found))


def evaluations(study: StudySettings, figure: str | None = None) -> list[str]:
    """Folders under results/<study>/ of the evaluations of one figure's experiment, or of all, each once."""
    found = []
    for experiment in study.experiments:
        if figure not in (None, experiment.figure):
            continue
        subjects = [f"{kind}/{model}" for kind in ("base", "blind") for model in experiment.models]
        subjects += [f"tuned/{run.path}" for run in runs(study, experiment.figure)]
        for suite in experiment.suites:
            for frames in [1] if suite == "image" else experiment.eval_frames:
                found += [f"evaluation/{subject}/{suite}/frames-{frames}" for subject in subjects]
    return list(dict.fromkeys(found))


def allocations(study: StudySettings, figure: str | None = None) -> list[str]:
    """Allocations of one figure's experiment, or of all of them, each once."""
    return list(dict.fromkeys(run.allocation for run in runs(study, figure)))


def evaluated_model(study: StudySettings, subject: Subject, folder: str) -> ModelSettings:
    """Settings of the model to evaluate: a base model's own, or those with the weights of the run in `folder`."""
    model = study.models[subject.model]
    return model if subject.run is None else model.model_copy(update={"source": folder, "revision": None})
