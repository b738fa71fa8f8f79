"""Tables of a made-up study in the form of stage analysis: plausible sizes, no claim about any model."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.analysis.deltas import COLUMNS as DELTA_COLUMNS
from workflow_scripts.analysis.scores import COLUMNS as SCORE_COLUMNS

Tables = Callable[..., list[str]]
BENCHMARKS: dict[str, dict[str, tuple[str, float, float, float, int]]] = {
    "image": {
        "mme": ("mme_perception_score", 800.0, 78, 25, 240),
        "mmstar": ("average", 1.0, 71, 27, 200),
        "mmbench": ("gpt_eval_score", 100.0, 80, 26, 200),
        "pope": ("pope_accuracy", 1.0, 86, 50, 240),
    },
    "video": {
        "videomme": ("videomme_perception_score", 100.0, 41, 29, 240),
        "mvbench": ("mvbench_accuracy", 100.0, 38, 27, 240),
        "tempcompass": ("avg_accuracy", 100.0, 47, 36, 240),
        "video_mmmu": ("mmmu_acc", 1.0, 36, 26, 210),
    },
}
FAMILIES = {
    "qwen2.5-vl-3b": ("qwen2.5-vl", 3.75),
    "qwen2.5-vl-7b": ("qwen2.5-vl", 8.29),
    "qwen2.5-vl-32b": ("qwen2.5-vl", 33.45),
    "qwen2.5-vl-72b": ("qwen2.5-vl", 73.41),
    "llava-next-video-7b": ("llava-next-video", 7.06),
    "llava-1.5-7b": ("llava-1.5", 7.06),
}
GAIN = {
    "uniform-8": 9,
    "uniform-16": 11.5,
    "uniform-32": 13,
    "uniform-64": 13.5,
    "hybrid-dinov2": 11,
    "hybrid-qwen2.5-vl-3b": 12.6,
}


def rows_of(models: Sequence[str], allocations: Sequence[str], seeds: Sequence[int]) -> tuple[list[Any], list[Any]]:
    rng = np.random.default_rng(7)
    scores, deltas = [], []
    for m, model in enumerate(models):
        family, size = FAMILIES[model]
        for suite, benchmarks in BENCHMARKS.items():
            frames = 1 if suite == "image" else 64
            about = {"model": model, "suite": suite, "eval_frames": frames}
            base_of: dict[str, float] = {}
            entries = [*benchmarks.items(), (suite, ("normalised_mean", 100.0, 0.0, 0.0, 880))]
            for name, (metric, maximum, base, blind, n) in entries:
                base_of[name] = (
                    float(np.mean(list(base_of.values()))) if name == suite else base + 2 * m + rng.normal(0, 1)
                )
                for kind, value in (("base", base_of[name]), ("blind", 31.0 if name == suite else blind)):
                    scores.append(
                        about
                        | {"recipe": "base", "family": family, "size_b": size, "allocation": "base", "seed": None}
                        | {"benchmark": name, "category": "all", "metric": metric, "value": value * maximum / 100}
                        | {"maximum": maximum, "n_questions": n, "blind": kind == "blind"}
                        | {"ci_low": (value - 5) * maximum / 100, "ci_high": (value + 5) * maximum / 100}
                    )
            for allocation in allocations:
                changes: dict[str, np.ndarray] = {}
                for name, (metric, maximum, _, _, n) in entries:
                    if name == suite:
                        change = np.mean(list(changes.values()), axis=0)
                    else:
                        mean = (
                            GAIN.get(allocation, 13.2)
                            if suite == "video"
                            else -0.25 * GAIN.get(allocation, 6) + 0.8 * m
                        )
                        change = mean + rng.normal(0, 1.4) + rng.normal(0, 0.7, len(seeds))
                    changes[name] = change
                    half = (1.5 if name == suite else 3.2) * rng.uniform(0.9, 1.1)
                    for seed, value in zip(seeds, change, strict=True):
                        scores.append(
                            about
                            | {
                                "recipe": "full",
                                "family": family,
                                "size_b": size,
                                "allocation": allocation,
                                "seed": seed,
                            }
                            | {"benchmark": name, "category": "all", "metric": metric, "maximum": maximum}
                            | {"value": (base_of[name] + value) * maximum / 100, "n_questions": n, "blind": False}
                            | {"ci_low": (base_of[name] + value - 5) * maximum / 100}
                            | {"ci_high": (base_of[name] + value + 5) * maximum / 100}
                        )
                    delta, unit = float(change.mean()), maximum / 100
                    deltas.append(
                        about
                        | {"recipe": "full", "allocation": allocation, "benchmark": name, "metric": metric}
                        | {"maximum": maximum, "base": base_of[name] * unit, "tuned": (base_of[name] + delta) * unit}
                        | {"delta": delta * unit, "ci_low": (delta - half) * unit, "ci_high": (delta + half) * unit}
                        | {"p_value": 0.001 if abs(delta) > half else 0.3, "n_questions": n, "n_seeds": len(seeds)}
                        | {"n_clusters": n, "se_questions": half * unit / 1.96, "mdd": 1.43 * half * unit}
                    )
    return scores, deltas


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    """Write scores.csv and deltas.csv and give the flags that name them."""

    def write(
        models: Sequence[str] = ("qwen2.5-vl-7b",),
        allocations: Sequence[str] = (*GAIN, "hybrid-qwen3-vl-8b"),
        seeds: Sequence[int] = (1,),
    ) -> list[str]:
        scores, deltas = rows_of(models, allocations, seeds)
        frame = pd.DataFrame(scores, columns=list(SCORE_COLUMNS)).astype({"seed": "Int64"})
        frame.to_csv(tmp_path / "scores.csv", index=False)
        pd.DataFrame(deltas, columns=list(DELTA_COLUMNS)).to_csv(tmp_path / "deltas.csv", index=False)
        return ["--scores", str(tmp_path / "scores.csv"), "--deltas", str(tmp_path / "deltas.csv")]

    return write
