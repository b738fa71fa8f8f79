"""From lmms-eval's results to rows: a response a question, and scores by benchmark, task and category.

The score of one question is what the benchmark's own code gives it, from 0 to 1; the scores of tasks are lmms-eval's
numbers; a benchmark of several tasks is their mean, weighted by questions; a category is scored by the main metric's
own aggregation over its questions.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.evaluation.model import Shown
from workflow_scripts.evaluation.scores import RESPONSE_COLUMNS
from workflow_scripts.evaluation.tasks import Task
from workflow_scripts.settings import BenchmarkSettings, InputError

Row = dict[str, Any]
Samples = Mapping[str, Sequence[Row]]  # lmms-eval's logged samples, by task
# Columns of the datasets that hold a benchmark's own categories; a benchmark without one has its tasks.
CATEGORY_COLUMNS = ("l2_category", "task_type", "dim", "category")
# The level above, by the column of the level below that it comes with.
ABILITY_COLUMNS = (("l2_category", "category"), ("category", "L2-category"))
ID_COLUMNS = ("question_id", "index", "id")
MME_CATEGORY_MAXIMUM = 200.0
# MMBench asks a question again with its options shifted; such a copy has the index of the question plus k * 10^6.
COPIES_FROM = 1_000_000


def responses(
    benchmark: BenchmarkSettings,
    tasks: Mapping[str, Task],
    samples: Samples,
    shown: Mapping[tuple[str, int], Shown],
) -> pd.DataFrame:
    """A row a question, columns in RESPONSE_COLUMNS. Raises InputError where a question has no response or no score."""
    rows: list[Row] = []
    for name, task in tasks.items():
        docs = task.eval_docs_no_media
        answered = {sample["doc_id"]: sample for sample in samples.get(name, ())}
        if len(answered) != len(docs):
            raise InputError(f"task {name}: {len(answered)} of {len(docs)} questions were answered; expected all")
        ids = _ids([docs[doc_id] for doc_id in sorted(answered)])
        pairs = _in_pairs(benchmark, ids)
        for question_id, doc_id in zip(ids, sorted(answered), strict=True):
            sample = answered[doc_id]
            seen = shown[name, doc_id]
            rows.append(
                {
                    "benchmark": benchmark.name,
                    "task": name,
                    "question_id": f"{name}/{question_id}" if len(tasks) > 1 else question_id,
                    "cluster": question_id.rpartition("#")[0] if pairs else seen.cluster,
                    "category": category(benchmark, name, docs[doc_id]),
                    "ability": ability(benchmark, name, docs[doc_id]),
                    "prompt": str(sample["arguments"][0]),
                    "response": str(sample["filtered_resps"][0]),
                    "answer": str(sample["target"]),
                    "score": score(benchmark, task, sample),
                    "frames": seen.frames,
                }
            )
    frame = pd.DataFrame(rows, columns=list(RESPONSE_COLUMNS))
    return frame.astype({"score": "float64", "frames": "int32"})


def _ids(docs: Sequence[Row]) -> list[str]:
    """The dataset's own ids of the questions; numbered, id#1 and id#2, where none is unique; else row numbers."""
    columns = [[str(doc[column]) for doc in docs] for column in ID_COLUMNS if docs and column in docs[0]]
    unique = [ids for ids in columns if len(set(ids)) == len(ids)]
    if unique or not columns:
        return unique[0] if unique else [str(i) for i in range(len(docs))]
    seen: Counter[str] = Counter()
    numbered = []
    for one in columns[0]:
        seen[one] += 1
        numbered.append(f"{one}#{seen[one]}")
    return numbered


def _in_pairs(benchmark: BenchmarkSettings, ids: Sequence[str]) -> bool:
    """Whether the ids, numbered, are those of MME's pairs: its two questions about an image share the image's id.

    Elsewhere an id that repeats, or has a "#" of its own, says nothing of images.
    """
    mme = any(metric.metric.startswith("mme_") for metric in benchmark.metrics)
    return mme and all("#" in question_id for question_id in ids)


def category(benchmark: BenchmarkSettings, task: str, doc: Row) -> str:
    """The benchmark's own category of a question: of its row, else of its task."""
    for column in CATEGORY_COLUMNS:
        if column in doc:
            return str(doc[column])
    named = [metric.category for metric in benchmark.metrics if metric.task == task and metric.category != "all"]
    return named[0] if named else task


def ability(benchmark: BenchmarkSettings, task: str, doc: Row) -> str:
    """The upper of the benchmark's two levels of categories; the category where it has one."""
    for below, above in ABILITY_COLUMNS:
        if below in doc and above in doc:
            return str(doc[above])
    return category(benchmark, task, doc)


def _metric_of(benchmark: BenchmarkSettings, sample: Row) -> str:
    """The first of the benchmark's metrics that counts this question: MME's two each count their own."""
    for metric in benchmark.metrics:
        if metric.metric in sample:
            return metric.metric
    raise InputError(
        f"benchmark {benchmark.name}: a question has none of the metrics "
        f"{', '.join(metric.metric for metric in benchmark.metrics)}; it has {', '.join(sorted(sample))}"
    )


def score(benchmark: BenchmarkSettings, task: Task, sample: Row) -> float:
    """What the task's own code gives one answer, 0 to 1."""
    metric = _metric_of(benchmark, sample)
    value = sample[metric]
    if isinstance(value, int | float):
        return float(value)
    if "score" in value:
        return float(value["score"])
    if "rating" in value:  # TempCompass; -1 stands for a judge that failed
        return float(value["rating"] == 1)
    scope = task.aggregation()[metric].__globals__
    if "parsed_pred" in value:  # Video-MMMU
        return float(scope["evaluate_videommmu"]([value])[1]["acc"])
    if "mmbench_evaluator" in scope:
        row = pd.DataFrame([value])
        return float(scope["mmbench_evaluator"].eval_sub_data(row, {value["index"]: value["answer"]}, static_only=True))
    raise InputError(f"metric {metric} of benchmark {benchmark.name}: no score of a single question is known for it")


def scores(
    benchmark: BenchmarkSettings, tasks: Mapping[str, Task], results: Mapping[str, Row], samples: Samples
) -> list[Row]:
    """The benchmark's rows of scores.json: its metrics in the settings' order, then the main metric by category."""
    rows = []
    for metric in benchmark.metrics:
        names = [metric.task] if metric.task else list(tasks)
        values = [_value(benchmark, results, name, metric.metric) for name in names]
        counts = [_count(metric.metric, samples[name]) for name in names]
        # One task's number is passed on as it is, not through arithmetic.
        value = values[0] if len(values) == 1 else float(np.average(values, weights=counts))
        rows.append(_row(benchmark, metric.task, metric.metric, metric.category, value, metric.maximum, sum(counts)))
    listed = {row["category"] for row in rows}
    found = _categories(benchmark, tasks, samples)
    return rows + [row for row in found if len(found) > 1 and row["category"] not in listed]


def _count(metric: str, samples: Sequence[Row]) -> int:
    """The questions that a metric is over, shifted copies left out."""
    found = [sample for sample in samples if metric in sample]
    if metric == "gpt_eval_score":
        found = [sample for sample in found if int(sample[metric]["index"]) < COPIES_FROM]
    return len(found)


def _value(benchmark: BenchmarkSettings, results: Mapping[str, Row], task: str, metric: str) -> float:
    value = results[task].get(f"{metric},none")
    if not isinstance(value, int | float):
        reported = sorted(key.split(",")[0] for key, one in results[task].items() if isinstance(one, int | float))
        raise InputError(
            f"benchmark {benchmark.name}: task {task} reports no metric {metric}; it reports {', '.join(reported)}"
        )
    return float(value)


def _row(
    benchmark: BenchmarkSettings, task: str | None, metric: str, category: str, value: float, maximum: float, n: int
) -> Row:
    return {
        "benchmark": benchmark.name,
        "task": task,
        "metric": metric,
        "category": category,
        "value": value,
        "maximum": maximum,
        "n_questions": n,
    }


def _categories(benchmark: BenchmarkSettings, tasks: Mapping[str, Task], samples: Samples) -> list[Row]:
    """The main metric's own aggregation over each category's questions, weighted over tasks as the whole is."""
    groups: dict[str, dict[str, list[Row]]] = {}
    for name in tasks:
        for sample in samples[name]:
            groups.setdefault(category(benchmark, name, sample["doc"]), {}).setdefault(name, []).append(sample)
    rows = []
    for key, by_task in groups.items():
        metric = _metric_of(benchmark, next(iter(by_task.values()))[0])
        maximum = MME_CATEGORY_MAXIMUM if metric.startswith("mme_") else benchmark.metrics[0].maximum
        counts = {name: _count(metric, part) for name, part in by_task.items()}
        total = sum(counts.values())
        parts = [_aggregate(tasks[name], metric, part) * counts[name] for name, part in by_task.items()]
        rows.append(_row(benchmark, None, metric, key, sum(parts) / total, maximum, total))
    return rows


def _aggregate(task: Task, metric: str, samples: Sequence[Row]) -> float:
    """A task's own aggregation; what some of them print and write beside it is kept away."""
    function = task.aggregation()[metric]
    values = [sample[metric] for sample in samples]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        if "args" in function.__code__.co_varnames[: function.__code__.co_argcount]:
            return float(function(values, args=Namespace(output_path=folder)))
        return float(function(values))
