"""The evaluations of a study, read for analysis: one per checkpoint, suite and number of frames.

Where an evaluation's folder lies says what was evaluated (design, section 4):
`.../tuned/<recipe>/<model>/<allocation>/seed-<s>/<suite>/frames-<n>` or
`.../{base,blind}/<model>[/<view>]/<suite>/frames-<n>`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.analysis import aggregates
from workflow_scripts.analysis.aggregates import Statistic
from workflow_scripts.evaluation.scores import read_responses, read_scores
from workflow_scripts.settings import InputError
from workflow_scripts.settings.recipes import View

BASE = "base"
SUITE_METRIC = "normalised_mean"
# lmms-eval rounds Video-MMMU's accuracy to five digits
TOLERANCE = 2e-5
MME_CATEGORY_MAXIMUM = 200.0


@dataclass(frozen=True)
class Checkpoint:
    """What was evaluated. Base model: recipe and allocation "base", seed None.

    view: how videos were shown, where not by the defaults (`integer_rate`, `total-802816`); empty for images.
    """

    recipe: str
    model: str
    allocation: str
    seed: int | None
    blind: bool
    view: str = ""


@dataclass(frozen=True)
class Benchmark:
    """One benchmark's answers of one checkpoint.

    metrics: name to (score as a function of cluster sums, maximum, number of questions); the main metric first.
    categories: name to (metric, score on that category's questions, maximum, number of questions).
    """

    name: str
    questions: pd.DataFrame
    clusters: list[str]
    metrics: dict[str, tuple[Statistic, float, int]]
    categories: dict[str, tuple[str, Statistic, float, int]]

    @property
    def main(self) -> str:
        return next(iter(self.metrics))

    def by(self, column: str) -> dict[str, tuple[str, Statistic, float, int]]:
        """The main metric on the questions of each value of a column, `category` or `ability`; as `categories`."""
        found = {}
        for key, part in self.questions.groupby(column):
            metric = aggregates.category_metric(self.main, str(key))
            maximum = MME_CATEGORY_MAXIMUM if metric.startswith("mme_") else self.metrics[self.main][1]
            score = aggregates.statistic(metric, maximum, part, self.clusters)
            found[str(key)] = metric, score, maximum, aggregates.count(metric, part)
        return found


@dataclass(frozen=True)
class Evaluation:
    """One folder of stage evaluation."""

    path: Path
    checkpoint: Checkpoint
    family: str
    size_b: float
    suite: str
    eval_frames: int
    benchmarks: dict[str, Benchmark]


def checkpoint_of(path: Path) -> tuple[Checkpoint, str, int]:
    """The checkpoint, suite and frames that a folder's place names."""
    parts = path.parts
    frames = parts[-1].removeprefix("frames-") if parts else ""
    if len(parts) >= 4 and parts[-4] in ("base", "blind") and frames.isdigit():
        return Checkpoint(BASE, parts[-3], BASE, None, parts[-4] == "blind"), parts[-2], int(frames)
    if len(parts) >= 5 and parts[-5] in ("base", "blind") and frames.isdigit():
        return Checkpoint(BASE, parts[-4], BASE, None, parts[-5] == "blind", parts[-3]), parts[-2], int(frames)
    seed = parts[-3].removeprefix("seed-") if len(parts) >= 7 else ""
    if len(parts) >= 7 and parts[-7] == "tuned" and seed.isdigit() and frames.isdigit():
        return Checkpoint(parts[-6], parts[-5], parts[-4], int(seed), False), parts[-2], int(frames)
    raise InputError(
        f"evaluation folder {path}: not a place of an evaluation; expected "
        "tuned/<recipe>/<model>/<allocation>/seed-<s>/<suite>/frames-<n> or "
        "{base,blind}/<model>[/<view>]/<suite>/frames-<n>"
    )


def read_evaluation(path: Path) -> Evaluation:
    """Read one folder; every score is computed again from the responses and must equal lmms-eval's own."""
    checkpoint, suite, frames = checkpoint_of(path)
    scores, responses = read_scores(path), read_responses(path)
    view = _view(scores)
    if checkpoint.allocation == BASE and checkpoint.view != view:
        raise InputError(
            f"file {path}/scores.json: videos were shown as {view or 'by default'}; its place says "
            f"{checkpoint.view or 'by default'}, expected equal"
        )
    checkpoint = replace(checkpoint, view=view)
    model: dict[str, Any] = scores["model"]
    if responses["score"].isna().any():
        row = responses[responses["score"].isna()].iloc[0]
        raise InputError(f"file {path}/responses.parquet: question {row['question_id']} of {row['task']} has no score")
    rows = pd.DataFrame(scores["rows"])
    missing = {"benchmark", "task", "metric", "category", "value", "maximum"} - set(rows.columns)
    if missing:
        raise InputError(f"file {path}/scores.json: rows have no key {sorted(missing)[0]}")
    benchmarks = {}
    for name in rows["benchmark"].drop_duplicates():
        answers = responses[responses["benchmark"] == name]
        if answers.empty:
            raise InputError(f"file {path}/responses.parquet: no response of benchmark {name}, which scores.json lists")
        benchmarks[name] = _benchmark(path, name, rows[rows["benchmark"] == name], answers)
    return Evaluation(path, checkpoint, str(model["family"]), float(model["size_b"]), suite, frames, benchmarks)


def _view(scores: dict[str, Any]) -> str:
    """How an evaluation showed videos; images have neither times nor shares of pixels."""
    said = {field.name: scores[field.name] for field in fields(View) if field.name in scores}
    return "" if scores["suite"] == "image" else View(**said).name


def _benchmark(path: Path, name: str, rows: pd.DataFrame, answers: pd.DataFrame) -> Benchmark:
    clusters = sorted(answers["cluster"].unique())
    whole = rows[rows["category"] == "all"]
    metrics: dict[str, tuple[Statistic, float, int]] = {}
    for metric, of_metric in whole.groupby("metric", sort=False):
        maximum = float(of_metric["maximum"].iloc[0])
        tasks = list(answers["task"].drop_duplicates())
        named = [task for task in of_metric["task"] if task in tasks]
        if len(named) == len(of_metric) == 1:
            tasks = named
        parts = {task: _of_task(str(metric), maximum, answers, task, clusters) for task in tasks}
        weights = [float(aggregates.count(str(metric), answers[answers["task"] == task])) for task in tasks]
        joined = aggregates.averaged(list(parts.values()), weights) if len(parts) > 1 else parts[tasks[0]]
        for row in of_metric.to_dict("records"):
            _check(path, name, row, parts.get(row["task"], joined))
        metrics[str(metric)] = (joined, maximum, aggregates.count(str(metric), answers))
    if not metrics:
        raise InputError(f"file {path}/scores.json: no row of {name} with category all; expected its main metric")
    categories: dict[str, tuple[str, Statistic, float, int]] = {}
    main, (_, maximum, _) = next(iter(metrics.items()))
    for row in rows[rows["category"] != "all"].to_dict("records"):
        metric, part = _category_part(path, name, row, answers, main)
        found = aggregates.statistic(metric, float(row["maximum"]), part, clusters)
        _check(path, name, row, found)
        categories[str(row["category"])] = (metric, found, float(row["maximum"]), aggregates.count(metric, part))
    benchmark = Benchmark(name, answers, clusters, metrics, categories)
    categories.update({key: entry for key, entry in benchmark.by("category").items() if key not in categories})
    return benchmark


def _category_part(
    path: Path, name: str, row: dict[Any, Any], answers: pd.DataFrame, main: str
) -> tuple[str, pd.DataFrame]:
    """The metric and the responses of a row of one category: a task, a category, one of the level above, or a metric
    that splits the questions (MME's). Metrics named after their category, as MMStar's, are the main one on it."""
    metric, category = str(row["metric"]), row["category"]
    if row["task"] in set(answers["task"]) and answers["task"].nunique() > 1:
        return metric, answers[answers["task"] == row["task"]]
    for column in ("category", "ability"):
        part = answers[answers[column] == category]
        if not part.empty:
            return main if metric == category else metric, part
    if len(aggregates.questions_of(metric, answers)) < len(answers):
        return metric, answers
    raise InputError(
        f"file {path}/scores.json: {name}, metric {metric} has category {category}; expected a task, a category or an "
        "ability of responses.parquet"
    )


def _of_task(metric: str, maximum: float, answers: pd.DataFrame, task: str, clusters: list[str]) -> Statistic:
    return aggregates.statistic(metric, maximum, answers[answers["task"] == task], clusters)


def _check(path: Path, name: str, row: dict[Any, Any], found: Statistic) -> None:
    if not abs(found.value() - float(row["value"])) <= TOLERANCE * float(row["maximum"]):
        raise InputError(
            f"file {path}/scores.json: {name}, task {row['task']}, metric {row['metric']} is {row['value']}, but its "
            f"responses.parquet gives {found.value():.6g}; expected equal"
        )


def read_evaluations(paths: Sequence[Path]) -> list[Evaluation]:
    """Read every folder, in the order of checkpoints: base, blind, tuned by recipe, model, allocation and seed."""
    found = [read_evaluation(path) for path in paths]
    return sorted(found, key=lambda one: (_order(one.checkpoint), one.suite, one.eval_frames))


def _order(checkpoint: Checkpoint) -> tuple[bool, bool, str, str, str, str, int]:
    tuned, model = checkpoint.seed is not None, checkpoint.model
    named = checkpoint.recipe, model, checkpoint.allocation, checkpoint.view
    return (tuned, checkpoint.blind, *named, checkpoint.seed or 0)


def suite_mean(values: Sequence[np.ndarray], maxima: Sequence[float]) -> np.ndarray:
    """The written definition of a suite's score: the unweighted mean of its benchmarks' main metrics, each as percent
    of its maximum. values: one array a benchmark, all [resamples]."""
    return np.mean([100 * value / maximum for value, maximum in zip(values, maxima, strict=True)], axis=0)
