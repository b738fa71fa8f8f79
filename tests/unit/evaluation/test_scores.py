"""Scores: a perfect model has the maximum, a constant one chance, and every number is lmms-eval's."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.evaluation.conftest import World, well_said
from workflow_scripts.analysis.evaluations import read_evaluation
from workflow_scripts.evaluation.evaluate import check_upstream, write
from workflow_scripts.evaluation.scores import read_responses, read_scores
from workflow_scripts.settings import ModelSettings

MODEL = ModelSettings(name="m", family="qwen2.5-vl", source="nowhere", size_b=1.0)


def run(world: World, model: Any, suite: str, folder: Path) -> dict[str, Any]:
    """Evaluate a suite into a folder that analysis can place; returns scores.json."""
    output = folder / "base" / "m" / suite / f"frames-{8 if suite == 'video' else 1}"
    head = {"model": MODEL.model_dump(mode="json"), "suite": suite, "frames": 8, "blind": False, "versions": {}}
    write(output, model, world.of(suite), world.tasks, head)
    # Analysis computes each score again from the responses, by its own formulas, and raises where they differ.
    read_evaluation(output)
    return read_scores(output) | {"output": output}


def mains(scores: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """Each benchmark's main metric and its maximum."""
    found: dict[str, tuple[float, float]] = {}
    for row in scores["rows"]:
        found.setdefault(row["benchmark"], (row["value"], row["maximum"]))
    return found


@pytest.mark.parametrize("suite", ["image", "video"])
def test_a_perfect_model_has_the_maximum(
    world: World, answerer: Callable[..., Any], tmp_path: Path, suite: str
) -> None:
    scores = run(world, answerer(suite, well_said), suite, tmp_path)
    assert {name: value / maximum for name, (value, maximum) in mains(scores).items()} == {
        one.name: 1.0 for one in world.of(suite)
    }
    assert all(row["value"] == row["maximum"] for row in scores["rows"])
    responses = read_responses(scores["output"])
    assert (responses["score"] == 1).all()
    assert (responses["frames"] == (8 if suite == "video" else 1)).all()
    assert not responses.duplicated(["benchmark", "question_id"]).any()


# MME counts a pair only where both answers are right: one word for all earns half of the accuracy and no pair.
CHANCE = {
    "Yes": {"mme": 0.25, "pope": 0.5},
    "A": {"mmstar": 0.25, "mmbench": 0.25, "videomme": 0.25, "mvbench": 0.29, "tempcompass": 0.25, "video_mmmu": 0.25},
}


@pytest.mark.parametrize("answer", ["Yes", "A"])
@pytest.mark.parametrize("suite", ["image", "video"])
def test_a_constant_answer_has_chance(
    world: World, answerer: Callable[..., Any], tmp_path: Path, suite: str, answer: str
) -> None:
    scores = run(world, answerer(suite, lambda task, doc: answer), suite, tmp_path)
    for name, (value, maximum) in mains(scores).items():
        if name in CHANCE[answer]:
            assert value / maximum == pytest.approx(CHANCE[answer][name], abs=0.09), name


JUNK = ["", "maybe", "Yes.", "(B)", "B\x01", "C) \u2028 perhaps", "no, no", "A.", "the answer is D", "\udcff"[:0] + "é"]


@pytest.mark.parametrize("suite", ["image", "video"])
def test_every_number_is_lmms_evals(world: World, answerer: Callable[..., Any], tmp_path: Path, suite: str) -> None:
    """Answers of all kinds; TempCompass's unparsed ones would wait minutes for a judge."""

    def say(task: str, doc: dict[str, Any]) -> str:
        number = sum(map(ord, task + json.dumps(doc, sort_keys=True, default=str)))
        return well_said(task, doc) if number % 3 == 0 else JUNK[number % len(JUNK)]

    started = time.monotonic()
    scores = run(world, answerer(suite, say), suite, tmp_path)
    assert time.monotonic() - started < 60
    [file] = (scores["output"] / "lmms_eval" / "m").glob("*_results.json")
    upstream = json.loads(file.read_text())["results"]
    for row in scores["rows"]:
        settings = world.settings[row["benchmark"]]
        if row["task"] or len(settings.tasks) > 1 or row["category"] != "all":
            continue
        assert row["value"] == upstream[settings.tasks[0]][f"{row['metric']},none"]
    for row in scores["rows"]:
        if row["task"]:
            assert row["value"] == upstream[row["task"]][f"{row['metric']},none"]
    responses = read_responses(scores["output"])
    by_name = {task: one for own in world.tasks.values() for task, one in own.items()}
    for task, rows in responses.groupby("task"):
        assert list(rows["response"]) == [say(str(task), doc) for doc in by_name[str(task)].eval_docs_no_media]


def test_an_unparsed_answer_counts_as_wrong_and_says_so(
    world: World, answerer: Callable[..., Any], tmp_path: Path
) -> None:
    scores = run(world, answerer("video", lambda task, doc: "perhaps"), "video", tmp_path)
    assert mains(scores)["tempcompass"] == (0.0, 100.0)
    [file] = (scores["output"] / "lmms_eval" / "m").glob("*_samples_mini_tempcompass_yes_no.jsonl")
    sample = json.loads(file.read_text().split("\n")[0])
    assert "no judge is called" in sample["avg_accuracy"]["chatgpt_response"]


def test_lmms_evals_swallowed_save_errors_are_noticed(
    world: World, answerer: Callable[..., Any], tmp_path: Path
) -> None:
    output = run(world, answerer("image", well_said), "image", tmp_path)["output"]
    folder = output / "lmms_eval"
    counts = {task: 24 for one in world.of("image") for task in one.tasks}
    check_upstream(folder, counts)
    [samples] = folder.rglob("*_samples_mini_pope.jsonl")
    samples.write_text("\n".join(samples.read_text().split("\n")[1:]))
    with pytest.raises(RuntimeError, match="saved 23 samples of task mini_pope"):
        check_upstream(folder, counts)
    [results] = (folder / "m").glob("*_results.json")
    results.unlink()
    with pytest.raises(RuntimeError, match="expected one"):
        check_upstream(folder, counts)
