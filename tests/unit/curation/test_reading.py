"""The fast way of reading an annotation file against the standard library and `validate`."""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.curation import population
from workflow_scripts.curation.annotations import MalformedRecord, validate
from workflow_scripts.curation.population import Population, read_annotations, read_chosen
from workflow_scripts.curation.reading import LONGEST_RUN, Memory, read_file
from workflow_scripts.curation.registry import FORMATS, Format
from workflow_scripts.curation.sampling import key
from workflow_scripts.settings import InputError

PIECES = [
    "<image>", "<image>\n", "<video>", "<ima<image>ge>", "< image>", "What?", "A.", "A. ", "A. cat", "(A) cat",
    "B. dog", "C) é", "D. 😀", "\n", "\n", "\n", " ", "\t", "\r\n", "\x0b", "\u2028", "b. x", "AB. x", "A: cat", "Z",
    "(B", "B.\nno", "Answer with only the letter", "the letter followed by the full option", '"', "\\", "\u00a0", "",
]  # fmt: skip
ANSWERS = [
    "A",
    "A.",
    "B. dog",
    "(A) cat",
    "E. x",
    "B",
    "C: é",
    "Sure.",
    "",
    " ",
    "<image>",
    "a < b",
    "AB",
    "A\n",
    "[A]",
]


def read(path: Path, data: bytes | memoryview, format_: Format) -> list[tuple[str, str, str, int, int, str]]:
    """Id, video, first question, start, length and fault of each element; a malformed one is a run of its own."""
    found = []
    for run in read_file(path, data, format_):
        assert run.fault is None or len(run.ids) == 1
        found += [(*one, str(run.fault or "")) for one in zip(*run[:5], strict=True)]
    return found


def expected(value: Any, format_: Format, video: str) -> tuple[str, str, str, str]:
    """Id, video, first question and fault, as `validate` has them. video: where it finds a fault."""
    try:
        record = validate(value, format_)
    except MalformedRecord as error:
        return "", video, "", str(error)
    return record.id, record.video, record.turns[0][0], ""


def turns(rng: random.Random) -> Any:
    number = rng.choice([1, 1, 1, 2, 3])
    result: list[Any] = []
    for _ in range(number):
        question = "".join(rng.choice(PIECES) for _ in range(rng.randrange(9)))
        if rng.random() < 0.6:
            question = f"<image>\nWhich?\nA. {question}\nB. two\nC. three\nPlease give the letter."
        result.append({"from": "human", "value": question})
        result.append({"from": "gpt", "value": rng.choice(ANSWERS)})
    return result


def element(rng: random.Random) -> Any:
    """A record, good or with something wrong with it."""
    record: dict[str, Any] = {
        "id": rng.choice(["a", "b", 7]),
        "conversations": turns(rng),
        "data_source": "s",
        "video": f"x/{rng.randrange(9)}.mp4",
    }
    if rng.random() < 0.5:
        return record
    wrong: list[Any] = [None, True, 3, 1.5, "", [], {}, "/a", "a/../b", "a..b", "a\x00", "\ud800", [1], "human", 10**30]
    match rng.randrange(6):
        case 0:
            return rng.choice([None, 5, -1.5, "text, ]", [record], {}, True])
        case 1:
            record.pop(rng.choice(list(record)))
        case 2:
            record[rng.choice(list(record))] = rng.choice(wrong)
        case 3:
            rng.choice(record["conversations"])[rng.choice(["from", "value"])] = rng.choice(wrong)
        case 4:
            record["conversations"].pop()
        case 5:
            record |= {"more": {"id": "q", "nested": [{"id": 1}, "}, {"]}, "NaN": "x"}
            record = dict(rng.sample(list(record.items()), len(record)))
    return record


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("indent", [None, 4])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_it_accepts_what_validate_accepts(
    tmp_path: Path, format_: Format, indent: int | None, ascii_only: bool
) -> None:
    rng = random.Random(f"{format_} {indent} {ascii_only}")
    values = [element(rng) for _ in range(1500)]
    text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
    data = text.encode("utf-8", "replace")
    values = json.loads(data)  # what replacing half surrogates made of them
    path = tmp_path / "a.json"
    path.write_bytes(data)
    found = read(path, data, format_)
    assert len(found) == len(values)
    good = 0
    for value, (identifier, video, question, start, length, fault) in zip(values, found, strict=True):
        assert json.loads(data[start : start + length]) == value
        named = value.get("video") if isinstance(value, dict) else None
        assert (identifier, video, question, fault) == expected(value, format_, named if isinstance(named, str) else "")
        good += not fault
    assert 0 < good < len(found)


def line(question: str = '"<image>\\nWhat?"', answer: str = '"A cat."', more: str = "") -> str:
    """A record as JSON text."""
    turns = f'[{{"from": "human", "value": {question}}}, {{"from": "gpt", "value": {answer}}}]'
    return f'{{"id": "i", "conversations": {turns}, "data_source": "s", "video": "a/b.mp4"{more}}}'


ODD = [
    line(answer=r'"\u003cimage>"'),
    line(answer=r'"\u003Cvideo\u003e \ud83d\ude00"'),
    line(answer='" \u00a0\u3000"'),
    line(answer=r'"\u2003\n"'),
    line(answer='"“Yes”"'),
    line(answer=r'"\"Yes\""'),
    line(answer='"1 < 2"'),
    line(answer="12"),
    line(answer="null"),
    line(question='"What <image> is it?"'),
    line(question=r'"\u003cimage\u003e\nWhat?"'),
    line(question='"<image>\\n"'),
    line(question='"What?<image>"'),
    line(question='"No placeholder"'),
    line(more=', "id": 1.0'),
    line(more=', "id": -0'),
    line(more=', "id": ""'),
    line(more=', "video": "/a"'),
    line(more=', "video": "a/../b"'),
    line(more=', "video": "a\\nb"'),
    line(more=', "video": "\\n"'),
    line(more=', "video": "a\\u0000"'),
    line(more=', "conversations": []'),
    line().replace('"human"', '"gpt"'),
    line().replace('"from": "human", "value": "<image>\\nWhat?"', '"value": "<image>\\nWhat?", "from": "human"'),
    "12.5",
    "[]",
]


@pytest.mark.parametrize("odd", ODD)
def test_one_odd_record_in_a_run_of_plain_ones(tmp_path: Path, odd: str) -> None:
    path = tmp_path / "a.json"
    for place in (0, LONGEST_RUN // 3, LONGEST_RUN - 1, LONGEST_RUN):
        lines = [line(answer=f'"Cat {number}."') for number in range(LONGEST_RUN + 2)]
        lines[place] = odd
        data = f"[{', '.join(lines)}]".encode()
        path.write_bytes(data)
        for number, found in enumerate(read(path, data, "caption")):
            *_, start, length, fault = found
            assert data[start : start + length].decode() == lines[number]
            assert (*found[:3], fault) == expected(json.loads(lines[number]), "caption", found[1])
        assert number == LONGEST_RUN + 1


@pytest.mark.parametrize(
    ("options", "answer"),
    [("A. x", "A."), ("A. x\nC. y", "A."), ("B. x\nC. y", "B."), ("A. \nB. y", "B."), ("A. x\nB. y", "C."),
     ("A. x\nB. y", "AB"), ("A. x\nB. y\nA. z", "A"), ("(A) x\n(B) y", "(B) y"), ("a. x\nb. y", "a."), ("", "A."),
     ("A. x\nB. ", "A")],
)  # fmt: skip
def test_one_odd_choice_in_a_run_of_plain_ones(tmp_path: Path, options: str, answer: str) -> None:
    plain = line(json.dumps("<image>\nWhich?\nA. cat\nB. dog\nOnly the letter."), '"B."')
    lines = [plain, line(json.dumps(f"<image>\nWhich?\n{options}"), json.dumps(answer)), plain]
    data = f"[{', '.join(lines)}]".encode()
    path = tmp_path / "a.json"
    path.write_bytes(data)
    for text, found in zip(lines, read(path, data, "multiple_choice"), strict=True):
        assert (*found[:3], found[5]) == expected(json.loads(text), "multiple_choice", found[1])


def test_bytes_of_the_file_before_are_no_part_of_the_next(tmp_path: Path) -> None:
    memory, long, short = Memory(), tmp_path / "long.json", tmp_path / "short.json"
    long.write_text(f"[{', '.join([line()] * 5)}]")
    short.write_text(f"[{line()}")
    assert len(read(long, memory.load(long), "caption")) == 5
    assert bytes(memory.load(short)) == short.read_bytes()
    with pytest.raises(InputError, match="the file ends too early"):
        read(short, memory.load(short), "caption")


def test_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(f"[{line()}]".encode().replace(b"cat", b"c\xe9t"))
    with pytest.raises(InputError, match="not UTF-8"):
        read(path, path.read_bytes(), "caption")


def test_a_file_that_only_the_standard_library_reads(tmp_path: Path) -> None:
    """Not a number is no JSON, but is written by Python."""
    good = {
        "id": "é",
        "video": "a.mp4",
        "conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}],
    }
    path = tmp_path / "a.json"
    path.write_text("\ufeff" + json.dumps([good | {"score": float("nan")}, good, 3], ensure_ascii=False), "utf-8")
    data = path.read_bytes()
    found = read(path, data, "caption")
    assert [fault == "" for *_, fault in found] == [True, True, False]
    assert all(json.loads(data[start : start + length])["id"] == "é" for *_, start, length, _ in found[:2])


@pytest.mark.parametrize("content", [b"", b"{}", b'[{"id": 1}', b'[{"id": 1} {"id": 2}]', b"[1, 2],", b"[1,]", b"\xff"])
def test_a_broken_file_is_refused_whole(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="expected a JSON array of records"):
        read(path, content, "caption")


def test_which_record_stands_for_a_video(tmp_path: Path) -> None:
    """The one with the smallest hash, found by comparing all; counts of the others; malformed ones with their place."""
    rng = random.Random(4)
    raw = []
    for index in range(400):
        talk = [{"from": "human", "value": f"<image>\nq{index}"}, {"from": "gpt", "value": "a" if index % 50 else ""}]
        raw.append({"id": str(index % 90), "video": f"NextQA/{rng.randrange(60)}.mp4", "conversations": talk})
    folder = tmp_path / "0_30_s_nextqa"
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps(raw, indent=1))
    found = read_annotations(tmp_path, "0_30_s_nextqa/a.json", "0_30_s_nextqa", "open_ended", 3)
    assert (found.records, found.sha256) == (400, hashlib.sha256((folder / "a.json").read_bytes()).hexdigest())
    assert [row[2].split(":")[0] for row in found.malformed] == [
        f"0_30_s_nextqa/a.json record {index}" for index in range(0, 400, 50)
    ]
    best: dict[str, list[Any]] = {}
    for index, value in enumerate(raw):
        if index % 50:
            best.setdefault(f"0_30_s_nextqa/{value['video']}", []).append(
                (key(3, "record", value["id"], value["video"], f"q{index}"), f"q{index}")
            )
    whole = Population.of(found.index)
    assert {path: min(records)[1] for path, records in best.items()} == {
        path: record.turns[0][0]
        for path, record in read_chosen(
            found.index, tmp_path, [("open_ended", video) for video in whole.videos.values()]
        ).items()
    }
    assert found.index["records"].to_pylist() == [len(best[path]) for path in found.index["video"].to_pylist()]
    assert whole.records == {("nextqa", "open_ended", "0_30_s", "0_30_s_nextqa"): 392}


def test_annotations_that_changed_are_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "0_30_s_nextqa"
    folder.mkdir()
    talk = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    raw = [{"id": "1", "video": f"NextQA/{name}.mp4", "conversations": talk} for name in "ab"]
    (folder / "a.json").write_text(json.dumps(raw))
    found = read_annotations(tmp_path, "0_30_s_nextqa/a.json", "0_30_s_nextqa", "caption", 0)
    chosen = [("caption", video) for video in population.Population.of(found.index).videos.values()]
    for changed in (raw[::-1], raw[:1], [{"longer": "than before"}, *raw]):
        (folder / "a.json").write_text(json.dumps(changed))
        with pytest.raises(InputError, match="run inventory again"):
            read_chosen(found.index, tmp_path, chosen)  # type: ignore[arg-type]
