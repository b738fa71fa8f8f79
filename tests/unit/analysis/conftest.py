"""Simulated evaluations, written as stage evaluation writes them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

Write = Callable[..., Path]
PLACES = {
    "base": "evaluation/base/small/{suite}/frames-{frames}",
    "blind": "evaluation/blind/small/{suite}/frames-{frames}",
    "tuned": "evaluation/tuned/{recipe}/small/{allocation}/seed-{seed}/{suite}/frames-{frames}",
}


@pytest.fixture
def mean_benchmark() -> Callable[..., pd.DataFrame]:
    """Questions of a benchmark scored by a plain mean, with given scores and clusters."""

    def make(scores: np.ndarray, clusters: list[str] | None = None, name: str = "videomme") -> pd.DataFrame:
        n = len(scores)
        return pd.DataFrame(
            {
                "benchmark": name,
                "task": name,
                "question_id": [f"q{i}" for i in range(n)],
                "cluster": clusters or [f"c{i}" for i in range(n)],
                "category": [f"k{i % 3}" for i in range(n)],
                "ability": [f"k{i % 3}" for i in range(n)],
                "prompt": "",
                "response": np.where(scores > 0.5, "A", "B"),
                "answer": "A",
                "score": scores.astype(float),
                "frames": 8,
            }
        )

    return make


@pytest.fixture
def write_evaluation(tmp_path: Path) -> Write:
    """Write one evaluation folder: responses, and scores.json with the rows given as (benchmark, task, metric, value,
    maximum) and, where it is not `all`, category. `shown` goes into scores.json: temporal_positions, total_pixels."""

    def write(
        kind: str,
        responses: pd.DataFrame,
        rows: list[tuple[object, ...]],
        suite: str = "video",
        frames: int = 8,
        allocation: str = "uniform-8",
        seed: int = 1,
        recipe: str = "full",
        place: str | None = None,
        **shown: object,
    ) -> Path:
        place = place or PLACES[kind].format(
            suite=suite, frames=frames, recipe=recipe, allocation=allocation, seed=seed
        )
        folder = tmp_path / place
        folder.mkdir(parents=True)
        responses.to_parquet(folder / "responses.parquet")
        keys = ("benchmark", "task", "metric", "value", "maximum", "category")
        scores: dict[str, Any] = {
            "model": {"name": "small", "family": "qwen2.5-vl", "size_b": 7.0},
            "suite": suite,
            "frames": frames,
            "blind": kind == "blind",
            **shown,
            "rows": [{"category": "all"} | dict(zip(keys, row, strict=False)) for row in rows],
        }
        (folder / "scores.json").write_text(json.dumps(scores))
        return folder

    return write
