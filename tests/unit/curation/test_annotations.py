"""Annotation files: streamed, checked record by record, multiple choice understood."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.curation import annotations
from workflow_scripts.curation.annotations import (
    MalformedRecord,
    MultipleChoice,
    Record,
    parse_multiple_choice,
    stream_array,
    validate,
)
from workflow_scripts.settings import InputError

FULL = "Please provide your answer by stating the letter followed by the full option."
LETTER = "Please respond with only the letter of the correct answer."


def record(**changes: Any) -> dict[str, Any]:
    turns = [
        {"from": "human", "value": "<image>\nWhat happens?"},
        {"from": "gpt", "value": "A ball rolls."},
        {"from": "human", "value": "And then?"},
        {"from": "gpt", "value": "It stops."},
    ]
    return {"id": "x1", "conversations": turns, "data_source": "0_30_s_nextqa", "video": "NextQA/1/2.mp4"} | changes


def choice(instruction: str, answer: str) -> list[dict[str, str]]:
    question = f"<image>\nWhat color is the hat?\nA. Black.\nB. Red.\nC. It is\nhidden.\nD. White\n{instruction}"
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_streaming_gives_what_json_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, indent: int | None, ascii_only: bool
) -> None:
    rng = random.Random(3)
    values: list[Any] = [record(id=str(i), note='é😀 "]},[' * rng.randrange(4)) for i in range(5)]
    values += [12345, -0.5, None, True, "text, ]", [], {}, [1, [2]], 678]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(values, indent=indent, ensure_ascii=ascii_only) + "\n", encoding="utf-8")
    monkeypatch.setattr(annotations, "CHUNK", chunk)
    found = list(stream_array(path))
    assert [value for value, _, _ in found] == values
    data = path.read_bytes()
    assert [json.loads(data[start : start + length]) for _, start, length in found] == values


@pytest.mark.parametrize("text", ["[]", " [ ] \n", "\ufeff[]"])
def test_an_empty_array(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    assert list(stream_array(tmp_path / "a.json")) == []


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "ends too early"),
        (b"{}", "found '{'"),
        (b'{"id": 1}\n{"id": 2}\n', "found '{'"),
        (b'[{"id": 1}, {"id": 2}', "ends too early"),
        (b'[{"id": 1}, {"id": ', "Expecting value"),
        (b'[{"id": 1} {"id": 2}]', "between two records"),
        (b"[1, 2],", "text after the array"),
        (b'[{"id": 1},]', "Expecting value"),
        (b'["\xff\xfe"]', "not UTF-8"),
        (b"version https://git-lfs.github.com/spec/v1\n", "found 'v'"),
    ],
)
def test_a_broken_file_is_named_with_the_place(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "broken.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        list(stream_array(path))
    assert str(path) in str(caught.value)
    assert complaint in str(caught.value)
    assert "at character" in str(caught.value)


def test_a_good_record_loses_its_placeholder() -> None:
    good = validate(record(), "open_ended")
    assert good == Record("x1", "NextQA/1/2.mp4", (("What happens?", "A ball rolls."), ("And then?", "It stops.")))
    assert validate(record(id=17), "caption").id == "17"
    at_the_end = [{"from": "human", "value": "What happens?\n<image>"}, {"from": "gpt", "value": "Rain."}]
    assert validate(record(conversations=at_the_end), "caption").turns == (("What happens?", "Rain."),)


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (None, "expected an object"),
        ([1], "expected an object"),
        (record(id=None), "id is missing"),
        (record(id=""), "id is ''"),
        (record(id=True), "id is"),
        (record(video=None), "video is missing"),
        (record(video=3), "video is"),
        (record(video="/etc/passwd"), "inside the subset's folder"),
        (record(video="a/../../x.mp4"), "inside the subset's folder"),
        (record(conversations=None), "not a list of pairs"),
        (record(conversations=[]), "not a list of pairs"),
        (record(conversations=record()["conversations"][:3]), "not a list of pairs"),
        (record(conversations=record()["conversations"][1:3]), "turn 0 is not"),
        (record(conversations=[{"from": "human", "value": 1}, {"from": "gpt", "value": "a"}]), "turn 0 is not"),
        (
            record(conversations=[{"from": "human", "value": "<image>\n"}, {"from": "gpt", "value": "a"}]),
            "turn 0 is empty",
        ),
        (record(conversations=[{"from": "human", "value": "q"}, {"from": "gpt", "value": " "}]), "turn 1 is empty"),
        (record(conversations=[{"from": "human", "value": "q"}, {"from": "gpt", "value": "<image>"}]), "placeholder"),
    ],
)
def test_a_malformed_record_says_what_is_wrong(raw: Any, complaint: str) -> None:
    with pytest.raises(MalformedRecord, match=complaint):
        validate(raw, "open_ended")


@pytest.mark.parametrize(
    ("instruction", "answer", "phrasing"),
    [(FULL, "A. Black.", "letter_and_option"), (LETTER, "A.", "letter"), (LETTER, "A", "letter"), ("", "A", "other")],
)
def test_both_phrasings_of_multiple_choice(instruction: str, answer: str, phrasing: str) -> None:
    good = validate(record(conversations=choice(instruction, answer)), "multiple_choice")
    parsed = parse_multiple_choice(*good.turns[0])
    if instruction:
        assert parsed is not None
        assert (parsed.stem, parsed.answer, parsed.phrasing) == ("What color is the hat?", 0, phrasing)


def test_an_option_may_wrap() -> None:
    parsed = parse_multiple_choice(choice(LETTER, "C.")[0]["value"], "C.")
    assert parsed is not None
    assert parsed.options == ("Black.", "Red.", "It is hidden.", "White")


def test_options_are_taken_apart() -> None:
    question = f"Which one?\nA. A dog (small).\nB. B. B. King\nC. 3.5 m\n{LETTER}"
    assert parse_multiple_choice(question, "B.") == MultipleChoice(
        "Which one?", ("A dog (small).", "B. B. King", "3.5 m"), 1, "letter"
    )


def test_phrasings_and_open_turns_mix_in_one_record() -> None:
    turns = choice(FULL, "B. Red.") + choice(LETTER, "D.") + record()["conversations"][2:]
    good = validate(record(conversations=turns), "multiple_choice")
    parsed = [parse_multiple_choice(*turn) for turn in good.turns]
    assert [turn and (turn.answer, turn.phrasing) for turn in parsed] == [(1, "letter_and_option"), (3, "letter"), None]


@pytest.mark.parametrize("answer", ["F. Green.", "Z", "Black", "", "AB"])
def test_an_answer_that_is_no_option(answer: str) -> None:
    question = choice(FULL, "A.")[0]["value"]
    with pytest.raises(MalformedRecord, match="names none of the 4 options"):
        parse_multiple_choice(question, answer)


def test_a_multiple_choice_record_without_options() -> None:
    with pytest.raises(MalformedRecord, match="no turn is a multiple-choice question"):
        validate(record(), "multiple_choice")
