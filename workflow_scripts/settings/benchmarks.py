"""The benchmarks, as lmms-eval knows them."""

from typing import Literal

from pydantic import Field, field_validator, model_validator

from .section import Name, Place, Section, names_from_keys

Suite = Literal["image", "video"]


class MetricSettings(Section):
    """One number that lmms-eval reports."""

    metric: str = Field(min_length=1, description="lmms-eval's name of the metric.")
    task: str | None = Field(
        None, description="The task that reports it. null: the mean over the benchmark's tasks, weighted by questions."
    )
    maximum: float = Field(gt=0, description="The metric's largest value, 1, 100, 800 or 2000.")
    category: str = Field("all", min_length=1, description="What part of the benchmark it covers; all: the whole.")


class BenchmarkSettings(Section):
    """One benchmark."""

    name: Name = Field(description="The benchmark's name in paths and figures; the key in the configuration.")
    suite: Suite = Field(description="Evaluated with the image or the video benchmarks.")
    tasks: tuple[str, ...] = Field(min_length=1, description="lmms-eval tasks that make up the benchmark.")
    metrics: tuple[MetricSettings, ...] = Field(min_length=1, description="Metrics to report, the main one first.")
    dataset: Place = Field(description="Repository of the benchmark's data.")
    revision: str | None = Field(None, description="Commit of that repository. null: resources/pins.json's.")
    questions: int = Field(ge=1, description="Number of questions, over all tasks.")

    last_frame: bool = Field(
        False,
        description="Whether a video's last frame takes the place of the last of its uniform frames, because questions "
        "refer to it.",
    )

    @model_validator(mode="after")
    def _metrics_of_tasks(self) -> "BenchmarkSettings":
        for entry in self.metrics:
            if entry.task is not None and entry.task not in self.tasks:
                raise ValueError(
                    f"metric {entry.metric} is of task {entry.task!r}; expected one of tasks: {', '.join(self.tasks)}"
                )
        return self


class BenchmarksSettings(Section):
    """Where the benchmarks are, and what they are."""

    root: Place = Field("data/benchmarks", description="Folder with the benchmarks' data, laid out as HF_HOME.")
    tasks: Place | None = Field(
        None, description="Folder with further lmms-eval task files. null: only lmms-eval's own."
    )
    ready: Place | None = Field(
        None,
        description="A file that exists once they are in place; evaluation waits for it. null: they are there.",
    )
    suites: dict[Suite, tuple[str, ...]] = Field(description="Benchmarks of each suite, in the figures' order.")
    registry: dict[Name, BenchmarkSettings] = Field(description="Benchmarks, by name.")

    @field_validator("registry", mode="before")
    @classmethod
    def _names(cls, registry: object) -> object:
        return names_from_keys(registry)

    @model_validator(mode="after")
    def _known(self) -> "BenchmarksSettings":
        for suite, names in self.suites.items():
            for name in names:
                if name not in self.registry:
                    raise ValueError(
                        f"suites.{suite} names unknown benchmark {name!r}; allowed: {', '.join(self.registry)}"
                    )
                if self.registry[name].suite != suite:
                    raise ValueError(
                        f"suites.{suite} names {name!r}, but registry.{name}.suite is {self.registry[name].suite!r}"
                    )
        return self

    def of(self, suite: str) -> list[BenchmarkSettings]:
        """The benchmarks of a suite, in order."""
        return [self.registry[name] for name in self.suites[suite]]  # type: ignore[index]
