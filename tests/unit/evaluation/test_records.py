"""Rows of responses: which questions belong together."""

from types import SimpleNamespace
from typing import Any

import pytest

from workflow_scripts.evaluation.model import Shown
from workflow_scripts.evaluation.records import responses
from workflow_scripts.settings import BenchmarkSettings


@pytest.mark.parametrize(
    ("metric", "ids", "question_ids", "clusters"),
    [
        # MME: two questions an image, whose name is the id of both.
        ("mme_perception_score", ["p/1.png", "p/1.png"], ["p/1.png#1", "p/1.png#2"], ["p/1.png", "p/1.png"]),
        # Elsewhere questions of one id may be of several images, and those of several ids of one.
        ("average", ["7", "7", "8"], ["7#1", "7#2", "8#1"], ["image-0", "image-1", "image-2"]),
        ("average", ["a#1", "a#2"], ["a#1", "a#2"], ["image-0", "image-1"]),
        ("average", ["a", "b"], ["a", "b"], ["image-0", "image-1"]),
    ],
)
def test_only_the_pairs_of_mme_are_clusters_by_id(
    metric: str, ids: list[str], question_ids: list[str], clusters: list[str]
) -> None:
    benchmark = BenchmarkSettings(
        name="b",
        suite="image",
        tasks=("t",),
        metrics=({"metric": metric, "maximum": 1},),  # type: ignore[arg-type]
        dataset="o/n",
        questions=len(ids),
    )
    task: Any = SimpleNamespace(eval_docs_no_media=[{"question_id": one} for one in ids])
    samples = [
        {"doc_id": i, "arguments": ["Which?"], "filtered_resps": ["A"], "target": "A", metric: 1.0}
        for i in range(len(ids))
    ]
    shown = {("t", i): Shown(f"image-{i}", 1) for i in range(len(ids))}
    rows = responses(benchmark, {"t": task}, {"t": samples}, shown)
    assert list(rows["question_id"]) == question_ids
    assert list(rows["cluster"]) == clusters
