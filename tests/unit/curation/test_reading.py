"""The fast way of reading an annotation file against the standard library and `validate`."""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.curation import population
from workflow_scripts.curation.annotations import MalformedRecord, Record, read_file, validate
from workflow_scripts.curation.population import Population, read_annotations, read_chosen
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
    found = list(read_file(path, data, format_))
    assert len(found) == len(values)
    kinds = set()
    for value, one in zip(values, found, strict=True):
        assert json.loads(data[one.start : one.start + one.length]) == value
        expected: Record | MalformedRecord
        try:
            expected = validate(value, format_)
        except MalformedRecord as error:
            expected = error
        assert repr(one.record) == repr(expected)
        kinds.add(type(one.record))
    assert kinds == {Record, MalformedRecord}


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
    found = list(read_file(path, data, "caption"))
    assert [isinstance(one.record, Record) for one in found] == [True, True, False]
    assert all(json.loads(data[one.start : one.start + one.length])["id"] == "é" for one in found[:2])


@pytest.mark.parametrize("content", [b"", b"{}", b'[{"id": 1}', b'[{"id": 1} {"id": 2}]', b"[1, 2],", b"[1,]", b"\xff"])
def test_a_broken_file_is_refused_whole(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="expected a JSON array of records"):
        list(read_file(path, content, "caption"))


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
