"""The benchmarks in miniature: upstream's wordings, balanced answers, held-out scenes, schemas."""

import importlib
import os
import random
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.miniature import wording
from workflow_scripts.miniature.benchmarks import BENCHMARKS, draw, upstream_tasks
from workflow_scripts.miniature.question import Question
from workflow_scripts.miniature.tables import Benchmark, Row

QUESTION = Question(
    "color", "What color is the striped object?", "red", ("blue", "red", "cyan", "green"), 1,
    "Is the striped object {}?", "The striped object is {}.",
)  # fmt: skip
STYLE_OF = {
    "mini_mme": "mme",
    "mini_mmstar": "mmstar",
    "mini_mmbench": "mmbench",
    "mini_pope": "pope",
    "mini_videomme": "videomme",
    "mini_mvbench": "mvbench",
    "mini_tempcompass": "tempcompass",
    "mini_video_mmmu": "videommmu",
}
SCHEMAS = {
    "mini_mme": {"question_id", "image", "question", "answer", "category"},
    "mini_mmstar": {"index", "question", "image", "answer", "category", "l2_category", "meta_info"},
    "mini_mmbench": {
        *("index", "question", "hint", "answer", "A", "B", "C", "D", "category", "image", "source", "L2-category"),
        *("comment", "split"),
    },
    "mini_pope": {"id", "question_id", "question", "answer", "image_source", "image", "category"},
    "mini_videomme": {
        *("video_id", "duration", "domain", "sub_category", "url", "videoID", "question_id", "task_type", "question"),
        *("options", "answer"),
    },
    "mini_mvbench": {"video", "question", "candidates", "answer"},
    "mini_tempcompass": {"video_id", "question", "answer", "dim"},
    "mini_video_mmmu": {"id", "question", "options", "answer", "question_type", "link_selected"},
}


@pytest.fixture(scope="module")
def drawn() -> dict[str, Benchmark]:
    return {benchmark.name: benchmark for benchmark in draw(240)}


@dataclass(frozen=True)
class Asked:
    """A question as its row gives it back."""

    text: str
    answer: str
    options: tuple[str, ...]
    claim: str = ""


def asked_of(task: str, row: Row) -> tuple[Asked, str]:
    """The question and the style that a row was made of."""
    text = row["question"]
    yes_no = ("yes", "no")
    if task == "mini_mme":
        return Asked(text.removesuffix(" Please answer yes or no."), row["answer"].lower(), yes_no), "mme"
    if task in ("mini_pope", "mini_tempcompass_yes_no"):
        return Asked(text, row["answer"].lower(), yes_no), task.removeprefix("mini_")
    if task == "mini_mmstar":
        text, _, listed = text.partition("\nOptions: ")
        options = tuple(part.split(": ")[1] for part in listed.split(", "))
        return Asked(text, options["ABCD".index(row["answer"])], options), "mmstar"
    if task == "mini_mmbench":
        options = tuple(row[letter] for letter in "ABCD")
        return Asked(text, row[row["answer"]], options), "mmbench"
    if task == "mini_videomme":
        options = tuple(option[3:] for option in row["options"])
        return Asked(text, options["ABCD".index(row["answer"])], options), "videomme"
    if task.startswith("mini_mvbench"):
        return Asked(text, row["answer"], tuple(row["candidates"])), "mvbench"
    if task == "mini_tempcompass_multi_choice":
        text, *lines = text.split("\n")
        return Asked(text, row["answer"][3:], tuple(line[3:] for line in lines)), "tempcompass_multi_choice"
    if task == "mini_tempcompass_caption_matching":
        captions = tuple(line.split(": ")[1] for line in text.split("\n")[1:])
        return Asked("", row["answer"].split(": ")[1], captions, "{}"), "tempcompass_caption_matching"
    options = tuple(row["options"])
    track = task.rsplit("_", 1)[1]
    return Asked(text, options["ABCD".index(row["answer"])], options), f"videommmu_{track}"


def prompt_of(asked: Asked, style: str) -> str:
    """The wording's prompt of a question whose options stay in their order."""
    return wording.STYLES[style].prompt(asked.text, asked.options)


def tables(drawn: dict[str, Benchmark]) -> list[tuple[str, list[Row]]]:
    return [(table.task, table.rows) for benchmark in drawn.values() for table in benchmark.tables]


def test_there_are_enough_questions_of_held_out_scenes(drawn: dict[str, Benchmark]) -> None:
    assert list(drawn) == list(BENCHMARKS)
    seeds: set[int] = set()
    for number, benchmark in enumerate(drawn.values()):
        assert sum(len(table.rows) for table in benchmark.tables) == 240
        own = {scene.seed for scene in benchmark.videos.values()}
        assert all(10_000_000 + number * 100_000 <= seed < 10_100_000 + number * 100_000 for seed in own)
        seeds |= own
    assert seeds
    assert all(10_000_000 <= seed < 20_000_000 for seed in seeds)


def test_rows_have_the_schemas_of_the_real_benchmarks(drawn: dict[str, Benchmark]) -> None:
    for task, rows in tables(drawn):
        [schema] = [columns for prefix, columns in SCHEMAS.items() if task.startswith(prefix)]
        assert all(set(row) == schema for row in rows), task


def test_letters_and_yes_and_no_are_balanced(drawn: dict[str, Benchmark]) -> None:
    for task, rows in tables(drawn):
        answers: Counter[int] = Counter()
        for row in rows:
            asked, _ = asked_of(task, row)
            answers[asked.options.index(asked.answer)] += 1
        n = len(asked.options)
        assert len(answers) == n, task
        assert max(answers.values()) - min(answers.values()) <= 1, (task, answers)


def test_no_value_is_likelier_than_another(drawn: dict[str, Benchmark]) -> None:
    """What a model could earn that knows each kind of question's commonest answer: near one in as many as it has."""
    for task, rows in tables(drawn):
        if "caption" in task:
            continue
        values: dict[str, Counter[str]] = {}
        for row in rows:
            asked, _ = asked_of(task, row)
            kind = " ".join(word for word in asked.text.split() if word not in VALUES)
            values.setdefault(kind, Counter())[asked.answer] += 1
        for kind, counts in values.items():
            total = sum(counts.values())
            if total >= 24:
                assert max(counts.values()) / total <= 1.6 / len(counts), (task, kind, counts)
                assert len(counts) >= (2 if set(counts) <= {"yes", "no"} else 4), (task, kind, counts)


VALUES = {
    *("red", "green", "blue", "yellow", "purple", "cyan", "solid", "striped", "checked", "dotted", "framed"),
    *("left?", "right?", "top", "bottom", "up?", "down?", "first?", "last?"),
}


def test_mme_asks_each_picture_once_with_yes_and_once_with_no(drawn: dict[str, Benchmark]) -> None:
    [table] = drawn["mme"].tables
    pairs: dict[str, list[str]] = {}
    for row in table.rows:
        pairs.setdefault(row["question_id"], []).append(row["answer"])
    assert {tuple(sorted(answers)) for answers in pairs.values()} == {("No", "Yes")}


def test_every_budget_is_needed_by_some_video_question(drawn: dict[str, Benchmark]) -> None:
    for name in ("videomme", "mvbench", "tempcompass", "video_mmmu"):
        sources = Counter(scene.source for scene in drawn[name].videos.values())
        assert len(sources) == 10
    durations = Counter(row["duration"] for row in drawn["videomme"].tables[0].rows)
    assert set(durations) == {"short", "medium", "long"}


def test_drawing_again_gives_the_same(drawn: dict[str, Benchmark]) -> None:
    again = {benchmark.name: benchmark for benchmark in draw(240)}
    assert again == drawn


def test_odd_numbers_are_served() -> None:
    for benchmark in draw(26):
        assert sum(len(table.rows) for table in benchmark.tables) == 26


@pytest.mark.parametrize("style", wording.STYLES)
def test_an_item_is_scored_by_its_answer(style: str) -> None:
    question = QUESTION.as_yes_no(True, random.Random(0)) if wording.STYLES[style].form == "yes_no" else QUESTION
    item = wording.item(question, style)
    assert (item.prompt, item.answer) == wording.render(question, style)
    if wording.STYLES[style].form == "yes_no":
        assert item.answer == "Yes"
        return
    for position in range(2 if style == "tempcompass_caption_matching" else 4):
        placed = wording.item(question, style, position)
        assert placed.answer == "ABCD"[position]
        assert "red" in placed.options[position]
        assert [option for option in placed.options if "red" not in option] == [
            option for option in item.options if "red" not in option
        ]


def test_a_style_that_does_not_suit_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be asked"):
        wording.item(QUESTION, "pope")
    assert "tempcompass_caption_matching" not in wording.styles(replace(QUESTION, claim=""), "video")


@pytest.mark.slow
def test_the_wordings_are_upstreams(drawn: dict[str, Benchmark], tmp_path: Path, monkeypatch: Any) -> None:
    """Upstream's doc_to_text of every row, with the task file's default settings, is the wording's prompt."""
    monkeypatch.setenv("HF_HOME", os.environ.get("HF_HOME", str(tmp_path)))
    load = importlib.import_module("lmms_eval.utils").load_yaml_config
    for benchmark in drawn.values():
        for table in benchmark.tables:
            config = load(str(upstream_tasks() / table.upstream), mode="full")
            settings = config["lmms_eval_specific_kwargs"]["default"]
            for row in table.rows:
                asked, style = asked_of(table.task, row)
                assert config["doc_to_text"](row, settings) == prompt_of(asked, style), table.task
