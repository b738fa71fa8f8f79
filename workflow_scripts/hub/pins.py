"""Pins: the commit of every repository that a study names, in `resources/pins.json`.

`{"datasets": {<repository>: {"reference", "revision"}}, "models": {...}}`: `reference` is the branch that was resolved,
`revision` the commit, null as long as nobody resolved it. A `revision` in the configuration goes before the file's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from workflow_scripts.settings import DinoSettings, InputError, ModelSettings, StudySettings, files

Kind = Literal["datasets", "models"]
PATH = Path(__file__).parents[2] / "resources" / "pins.json"
COMMIT = re.compile(r"[0-9a-f]{40}")
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
Source = TypeVar("Source", ModelSettings, DinoSettings)


class Pin(BaseModel):
    """One repository."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    reference: str = Field("main", description="branch or tag that is meant")
    revision: str | None = Field(None, pattern=COMMIT.pattern, description="commit; null: not resolved")


class Pins(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    datasets: dict[str, Pin] = {}
    models: dict[str, Pin] = {}

    def of(self, kind: Kind, repository: str) -> Pin:
        """The pin of a repository; an unresolved one where the file lacks it."""
        entries: dict[str, Pin] = getattr(self, kind)
        return entries.get(repository, Pin())


@dataclass(frozen=True)
class Repository:
    """A repository that a study names, and the commit that its settings ask for, if they do."""

    kind: Kind
    name: str
    revision: str | None

    @property
    def type(self) -> Literal["dataset", "model"]:
        """The hub's word for the kind."""
        return "dataset" if self.kind == "datasets" else "model"


def read(path: Path = PATH) -> Pins:
    """The pins. Raises InputError where the file is missing or is not one of pins."""
    try:
        return Pins.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        cause = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        where = ".".join(map(str, cause["loc"]))
        raise InputError(
            f"file {path} is not a file of pins ({where and where + ': '}{cause['msg']}); expected "
            '{"datasets": {<repository>: {"reference": "main", "revision": <commit or null>}}, "models": {...}}'
        ) from None


def write(pins: Pins, path: Path = PATH) -> None:
    """Write the pins, repositories in order of their names."""
    ordered = {
        kind: {name: pin.model_dump() for name, pin in sorted(getattr(pins, kind).items(), key=lambda item: item[0])}
        for kind in ("datasets", "models")
    }
    files.write_json(ordered, path)


def repositories(study: StudySettings) -> list[Repository]:
    """Every repository of the hub that a study names, each once; local folders are none."""
    found = list(_repositories(study))
    revisions: dict[tuple[Kind, str], set[str | None]] = {}
    for repository in found:
        revisions.setdefault((repository.kind, repository.name), set()).add(repository.revision)
    for (_, name), asked in revisions.items():
        if len(asked) > 1:
            raise InputError(
                f"repository {name} is asked for at {' and '.join(map(str, asked))}; expected one revision"
            )
    return list(dict.fromkeys(found))


def dataset(study: StudySettings) -> Repository | None:
    """The repository of the training videos; None where they come from elsewhere."""
    entry = study.dataset
    return Repository("datasets", entry.repository, entry.revision) if REPOSITORY.fullmatch(entry.repository) else None


def images(study: StudySettings) -> Repository | None:
    """The repository of the conversations about images; None where the study has none, or they come from elsewhere."""
    entry = study.images
    if entry is None or not REPOSITORY.fullmatch(entry.repository):
        return None
    return Repository("datasets", entry.repository, entry.revision)


def boxes(study: StudySettings) -> Repository | None:
    """The repository of the questions with boxes; None where the study asks none, or they come from elsewhere."""
    entry = study.attention
    if not study.shows("attention") or not REPOSITORY.fullmatch(entry.repository):
        return None
    return Repository("datasets", entry.repository, entry.revision)


def _repositories(study: StudySettings) -> Iterator[Repository]:
    for found in (dataset(study), images(study), boxes(study)):
        if found is not None:
            yield found
    for source in (*study.models.values(), *(entry.model for entry in study.budgets.predictors.values())):
        if on_hub(source.source):
            yield Repository("models", source.source, source.revision)
    if on_hub(study.budgets.dinov2.source):
        yield Repository("models", study.budgets.dinov2.source, study.budgets.dinov2.revision)
    if study.benchmarks.tasks is None:
        for benchmark in study.benchmarks.registry.values():
            yield Repository("datasets", benchmark.dataset, benchmark.revision)


def on_hub(source: str) -> bool:
    """Whether a model's source is a repository, `<owner>/<name>`, and not a folder of this machine."""
    return REPOSITORY.fullmatch(source) is not None and not Path(source).is_dir()


def commit(repository: Repository, pins: Pins) -> str | None:
    """The commit of a repository: the configuration's, else the pinned one, else None."""
    return repository.revision or pins.of(repository.kind, repository.name).revision


def required(repository: Repository, pins: Pins) -> str:
    """The commit of a repository. Raises InputError where it has none."""
    found = commit(repository, pins)
    if found is None:
        raise InputError(
            f"repository {repository.name} has no revision in resources/pins.json, nor in the configuration; what is "
            "fetched must be pinned: run `snakemake --cores 1 pin`, or write the commit there"
        )
    if not COMMIT.fullmatch(found):
        raise InputError(f"repository {repository.name}: revision is {found!r}; expected a commit of 40 hex digits")
    return found


def folder(root: str | Path, repository: str, revision: str) -> Path:
    """Where a fetched model lies."""
    return Path(root) / repository / revision


def pinned(study: StudySettings, pins: Pins) -> StudySettings:
    """The study with every revision that is known; a model with one is loaded from the folder it is fetched to."""

    def model(entry: Source) -> Source:
        if not on_hub(entry.source):
            return entry
        revision = commit(Repository("models", entry.source, entry.revision), pins)
        if revision is None or not COMMIT.fullmatch(revision):
            return entry
        place = folder(study.hub.models, entry.source, revision)
        return entry.model_copy(update={"source": place.as_posix(), "revision": revision})

    videos, pictures, asked = dataset(study), images(study), boxes(study)
    benchmarks = {
        name: entry.model_copy(update={"revision": commit(Repository("datasets", entry.dataset, entry.revision), pins)})
        for name, entry in study.benchmarks.registry.items()
    }
    predictors = {
        name: entry.model_copy(update={"model": model(entry.model)}) for name, entry in study.budgets.predictors.items()
    }
    return study.model_copy(
        update={
            "dataset": study.dataset.model_copy(update={"revision": videos and commit(videos, pins)}),
            "images": study.images
            and study.images.model_copy(update={"revision": pictures and commit(pictures, pins)}),
            "attention": study.attention.model_copy(update={"revision": asked and commit(asked, pins)}),
            "models": {name: model(entry) for name, entry in study.models.items()},
            "budgets": study.budgets.model_copy(
                update={"dinov2": model(study.budgets.dinov2), "predictors": predictors}
            ),
            "benchmarks": study.benchmarks.model_copy(
                update={"registry": benchmarks if study.benchmarks.tasks is None else study.benchmarks.registry}
            ),
        }
    )
