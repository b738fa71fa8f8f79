"""What an evaluation leaves behind: scores.json and responses.parquet, and how to read them.

`scores.json`: {model (ModelSettings), suite, frames, blind, rows, versions, commits, seconds}; rows hold {benchmark,
task, metric, category, value, maximum, n_questions}, the main metric of each benchmark first; task null is all of its
tasks. commits holds the commit of each benchmark's data, null where it is unknown or they are files of a task's own.
`responses.parquet`: a row a question, columns in `RESPONSE_COLUMNS`; `cluster` is the question's image or video,
`category` the benchmark's finest category, `ability` the one above it where the benchmark has two levels (MMStar,
MMBench), else the same.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from workflow_scripts.settings import InputError
from workflow_scripts.settings.files import read_parquet, write_json, write_parquet

SCORE_KEYS = ("model", "suite", "frames", "blind", "rows")
RESPONSE_COLUMNS = (
    "benchmark", "task", "question_id", "cluster", "category", "ability", "prompt", "response", "answer", "score",
    "frames",
)  # fmt: skip


def write_scores(folder: Path, scores: dict[str, Any], responses: pd.DataFrame) -> None:
    """Write both files, scores.json last: where it is, the evaluation is whole. ``scores`` holds SCORE_KEYS."""
    (folder / "scores.json").unlink(missing_ok=True)
    write_parquet(responses[list(RESPONSE_COLUMNS)], folder / "responses.parquet")
    write_json(scores, folder / "scores.json")


def read_scores(folder: Path) -> dict[str, Any]:
    """Read an evaluation's scores.json. Raises InputError where it is missing, broken or lacks a key."""
    path = folder / "scores.json"
    if not path.is_file():
        raise InputError(f"file {path} is missing; expected the scores of an evaluation")
    try:
        scores: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(f"file {path} is not JSON: {error}") from None
    lacking = [key for key in SCORE_KEYS if key not in scores]
    if lacking:
        raise InputError(f"file {path}: key {lacking[0]} is missing; expected {', '.join(SCORE_KEYS)}")
    return scores


def read_responses(folder: Path) -> pd.DataFrame:
    """Read an evaluation's responses.parquet. Raises InputError where it is missing, broken or lacks a column."""
    frame: pd.DataFrame = read_parquet(folder / "responses.parquet", list(RESPONSE_COLUMNS))
    return frame
