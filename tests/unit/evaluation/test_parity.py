"""The same recorded answers, scored by lmms-eval's run of its own tasks and by ours: every number is equal.

Rows are in the upstream schemas and hold what makes scoring hard: MME's pairs of both kinds, MMBench's shifted copies
and questions of two options, POPE's answers with a full stop, TempCompass's unparsed answers, Video-MMMU's ten options
and open questions, empty answers everywhere.
"""

import io
import zlib
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from datasets import Dataset
from datasets import Image as ImageColumn
from PIL import Image

from tests.unit.evaluation.conftest import World
from workflow_scripts.analysis.evaluations import read_evaluation
from workflow_scripts.evaluation.evaluate import write
from workflow_scripts.evaluation.model import Answerer
from workflow_scripts.evaluation.scores import read_responses, read_scores
from workflow_scripts.evaluation.tasks import load_tasks
from workflow_scripts.miniature.benchmarks import upstream_tasks
from workflow_scripts.settings import BenchmarkSettings
from workflow_scripts.vlm.media import Clip

Row = dict[str, Any]
LETTERS = "ABCD"
SAID = [
    "", " ", "Yes", "no", "YES.", "No, there is none.", "y", "Not at all", "A", "b", "(B)", "B.", "C) a dog", "D: d",
    "The answer is C", "Answer: A or B", "E", "a cat", "None of them.", "I think that it is D, since A is wrong.", "J",
    "Yes, and no.", "3.14", "The result is 3.14.", "So the value is 1,200", "falling", "Option A", "Sentence B: a dog.",
]  # fmt: skip


def picture(number: int) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (number % 256, number // 256, 7)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def mme() -> list[Row]:
    kinds = ("existence", "count", "OCR", "code_reasoning", "numerical_calculation")
    return [
        {"question_id": f"{kind}/{n}.png", "image": picture(n), "question": f"{kind} {n} {answer}?", "answer": answer}
        | {"category": kind}
        for kind in kinds
        for n in range(7)
        for answer in ("Yes", "No")
    ]


def mmstar() -> list[Row]:
    levels = {"recognition": "fine-grained perception", "localization": "fine-grained perception", "geometry": "math"}
    return [
        {"index": n, "question": f"Which {n}?", "image": picture(n), "answer": LETTERS[n % 4], "category": levels[low]}
        | {"l2_category": low, "meta_info": {"source": "s", "split": "val", "image_path": "p"}}
        for n, low in enumerate(np.repeat(list(levels), [9, 5, 14]).tolist())
    ]


def mmbench() -> list[Row]:
    rows = []
    for n in range(24):
        options = ["a cat", "a dog", "a horse", "falling"][: 2 + n % 3]
        for shift in range(n % len(options) + 1):
            shifted = options[shift:] + options[:shift]
            cells = {letter: shifted[i] if i < len(options) else "nan" for i, letter in enumerate(LETTERS)}
            rows.append(
                {"index": n + shift * 1_000_000, "question": f"Which {n}?", "hint": "nan" if n % 2 else "A hint."}
                | {"answer": LETTERS[shifted.index(options[0])], **cells, "category": f"c{n % 3}"}
                | {"image": picture(n), "source": "s", "L2-category": "l", "comment": "nan", "split": "dev"}
            )
    return rows


def pope() -> list[Row]:
    return [
        {"id": str(n), "question_id": str(n), "question": f"Is it {n}?", "answer": ("yes", "no")[n % 2]}
        | {"image_source": f"i{n // 3}", "image": picture(n // 3), "category": ("random", "popular")[n % 5 > 2]}
        for n in range(60)
    ]


def videomme() -> list[Row]:
    return [
        {"video_id": f"{n:03}", "duration": ("short", "medium", "long")[n % 3], "domain": "Knowledge"}
        | {"sub_category": "Humanity & History", "url": "u", "videoID": f"v{n // 3}", "question_id": f"{n:03}-1"}
        | {"task_type": ("OCR Problems", "Counting Problem")[n % 2], "question": f"Which {n}?"}
        | {"options": [f"{letter}. {letter.lower()}" for letter in LETTERS], "answer": LETTERS[n % 4]}
        for n in range(30)
    ]


def mvbench(offset: int) -> list[Row]:
    return [
        {"video": f"v{n}.mp4", "question": f"Which {n}?", "candidates": ["up", "down", "falling", "left"][: 2 + n % 3]}
        | {"answer": ("up", "down")[n % 2]}
        for n in range(offset, offset + 17)
    ]


def tempcompass(kind: str) -> list[Row]:
    asked = {
        "multi_choice": ("Which?\nA. falling\nB. rising\nC. still", "A. falling"),
        "yes_no": ("Does it fall?", "yes"),
        "caption_matching": ("Which fits?\nSentence A: a cat.\nSentence B: a dog.", "Sentence B: a dog."),
    }
    question, answer = asked[kind]
    return [
        {"video_id": f"t{n}", "question": question.replace("?", f" {n}?", 1), "answer": answer}
        | {"dim": ("direction", "order", "speed")[n % 3]}
        for n in range(28)
    ]


def video_mmmu(track: str) -> list[Row]:
    rows = []
    for n in range(20):
        open_ended = track == "adaptation" and n % 3 == 0
        count = 10 if n % 2 else 4
        options = [f"{letter}. choice {letter}" if n % 4 else f"choice {letter}" for letter in "ABCDEFGHIJ"[:count]]
        answer = ("3.14", "1200", "falling")[n % 9 // 3] if open_ended else "ABCDEFGHIJ"[n % count]
        subject = ("Art_Theory", "Physics", "Public_Health")[n % 3]
        rows.append(
            {"id": f"validation_{subject}_{n}", "question": f"Which {n} for {track}?", "answer": answer}
            | {"question_type": "open" if open_ended else "multiple-choice", "link_selected": "l"}
            | {"options": [] if open_ended else options}
        )
    return rows


# (benchmark, suite): its tasks (upstream's file, split, rows) and its metrics (name, maximum).
TEMPCOMPASS = {"multi_choice": "tempcompass_mc", "yes_no": "tempcompass_yes_no"}
TABLES: dict[tuple[str, str], tuple[dict[str, tuple[str, str, list[Row]]], list[tuple[str, float]]]] = {
    ("mme", "image"): (
        {"mme": ("mme/mme.yaml", "test", mme())},
        [("mme_perception_score", 600), ("mme_cognition_score", 400)],
    ),
    ("mmstar", "image"): (
        {"mmstar": ("mmstar/mmstar.yaml", "val", mmstar())},
        [("average", 1), ("fine-grained perception", 1), ("math", 1)],
    ),
    ("mmbench", "image"): (
        {"mmbench_en_dev_static": ("mmbench/mmbench_en_dev_static.yaml", "dev", mmbench())},
        [("gpt_eval_score", 100)],
    ),
    ("pope", "image"): (
        {"pope": ("pope/pope.yaml", "test", pope())},
        [(f"pope_{part}", 1) for part in ("accuracy", "precision", "recall", "f1_score", "yes_ratio")],
    ),
    ("videomme", "video"): (
        {"videomme": ("videomme/videomme.yaml", "test", videomme())},
        [("videomme_perception_score", 100)],
    ),
    ("mvbench", "video"): (
        {
            f"mvbench_{part}": (f"mvbench/mvbench_{part}.yaml", "train", mvbench(20 * i))
            for i, part in enumerate(("action_count", "state_change", "character_order"))
        },
        [("mvbench_accuracy", 100)],
    ),
    ("tempcompass", "video"): (
        {
            f"tempcompass_{kind}": (
                f"tempcompass/{TEMPCOMPASS.get(kind, f'tempcompass_{kind}')}.yaml", "test", tempcompass(kind)
            )
            for kind in ("multi_choice", "yes_no", "caption_matching")
        },
        [("avg_accuracy", 100)],
    ),
    ("video_mmmu", "video"): (
        {
            f"video_mmmu_{track}": (f"videommmu/{track}.yaml", "test", video_mmmu(track))
            for track in ("perception", "comprehension", "adaptation")
        },
        [("mmmu_acc", 1)],
    ),
}  # fmt: skip
SUITES = {"image": 1, "video": 8}


def said(task: str, doc_id: int) -> str:
    """The recorded answer to a question: any of those above."""
    return SAID[zlib.crc32(f"{task} {doc_id}".encode()) % len(SAID)]


def benchmark(name: str, suite: str) -> BenchmarkSettings:
    tables, metrics = TABLES[name, suite]
    entries: list[Row] = [{"metric": metric, "maximum": maximum} for metric, maximum in metrics]
    if name in ("mme", "mmstar"):
        entries = [entry | ({} if i == 0 else {"category": entry["metric"]}) for i, entry in enumerate(entries)]
    if len(tables) > 1:
        entries += [entries[0] | {"task": f"parity_{task}", "category": task} for task in tables]
    return BenchmarkSettings.model_validate(
        {"name": name, "suite": suite, "tasks": [f"parity_{task}" for task in tables], "metrics": entries}
        | {"dataset": "rows", "questions": sum(len(rows) for _, _, rows in tables.values())}
    )


@pytest.fixture(scope="module")
def folder(world: World) -> Path:
    """The tables and their task files; of the videos only the names, where upstream looks for them."""
    place = world.root / "parity"
    place.mkdir()
    for tables, _ in TABLES.values():
        for task, (upstream, split, rows) in tables.items():
            table = Dataset.from_list(rows)
            if "image" in table.column_names:
                table = table.cast_column("image", ImageColumn())
            table.to_parquet(str(place / f"{task}.parquet"))
            config = {"include": str(upstream_tasks() / upstream), "task": f"parity_{task}", "dataset_name": None}
            config |= {"dataset_path": "parquet"}
            config |= {"dataset_kwargs": {"data_files": {split: str(place / f"{task}.parquet")}}}
            (place / f"{task}.yaml").write_text(yaml.safe_dump(config))
    names = {f"videomme/data/{row['videoID']}.mp4" for row in videomme()}
    names |= {f"tempcompass/videos/t{n}.mp4" for n in range(28)}
    for track in ("perception", "comprehension", "adaptation"):
        for row in video_mmmu(track):
            place_of = {"Art_Theory": "Art", "Physics": "Science", "Public_Health": "Medicine"}
            names.add(f"video_mmmu/{place_of[row['id'].split('_', 1)[1].rpartition('_')[0]]}/{row['id']}.mp4")
    for name in names:
        (world.root / name).parent.mkdir(parents=True, exist_ok=True)
        (world.root / name).touch()
    return place


def upstream_run(names: list[str], folder: Path, output: Path, say: Callable[[str, int], str]) -> Row:
    """lmms-eval's run: its task manager, its evaluator, a model that says what was recorded."""
    from lmms_eval.api.model import lmms
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.tasks import TaskManager

    class Recorded(lmms):
        is_simple = True

        def generate_until(self, requests: Any) -> list[str]:
            return [say(task, doc_id) for _, _, _, doc_id, task, _ in (one.args for one in requests)]

        def loglikelihood(self, requests: Any) -> Any: ...

        def generate_until_multi_round(self, requests: Any) -> Any: ...

    results: Row = simple_evaluate(
        model=Recorded(),
        tasks=names,
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        bootstrap_iters=0,
        cli_args=Namespace(output_path=str(output), process_with_media=False),
    )
    return results["results"]  # type: ignore[no-any-return]


class Frames:
    """A store with nothing in it."""

    def checksum(self, video: str, frames: int, last: bool = False) -> tuple[str, int]:
        return video, frames

    def clip(self, video: str, frames: int, last: bool = False) -> Clip:
        return Clip(np.zeros((frames, 8, 8, 3), np.uint8), np.arange(frames) / 2, frames / 2)


def our_run(
    suite: str, folder: Path, output: Path, say: Callable[[str, int], str], monkeypatch: pytest.MonkeyPatch
) -> tuple[Row, Any]:
    settings = [benchmark(*key) for key in TABLES if key[1] == suite]
    tasks = load_tasks(settings, folder)

    class Told(Answerer):
        def _answer(self, batch: Any) -> dict[str, str]:
            return {one.key: say(one.request.task, one.request.doc_id) for one in batch}

    store: Any = Frames()
    model = Told(
        lambda: pytest.fail("no model is needed"), [one for own in tasks.values() for one in own.values()], store, 8
    )
    head = {"model": {"name": "m", "family": "qwen2.5-vl", "size_b": 1.0}, "suite": suite, "frames": SUITES[suite]}
    write(output, model, settings, tasks, head | {"blind": False, "versions": {}})
    return read_scores(output), read_responses(output)


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("kind", ["mixed", "mostly right", "all empty"])
def test_every_score_is_that_of_upstreams_own_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suite: str, kind: str
) -> None:
    rows = {f"parity_{task}": rows for tables, _ in TABLES.values() for task, (_, _, rows) in tables.items()}

    def say(task: str, doc_id: int) -> str:
        if kind == "all empty":
            return ""
        if kind == "mostly right" and zlib.crc32(f"{doc_id} {task}".encode()) % 4:
            doc = rows[task][doc_id]
            if "candidates" in doc:
                return LETTERS[doc["candidates"].index(doc["answer"])]
            return str(doc["answer"]).lower() if "pope" in task else str(doc["answer"])
        return said(task, doc_id)

    # Upstream's judge, which nobody answers, gives up after its retries.
    monkeypatch.setattr("requests.post", lambda *_, **__: (_ for _ in ()).throw(ConnectionError()))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    names = [f"parity_{task}" for (_, of), (tables, _) in TABLES.items() if of == suite for task in tables]
    upstream = upstream_run(names, folder, tmp_path, say)
    output = tmp_path / "base" / "m" / suite / f"frames-{SUITES[suite]}"
    scores, responses = our_run(suite, folder, output, say, monkeypatch)

    compared = 0
    for row in scores["rows"]:
        tables, metrics = TABLES[row["benchmark"], suite]
        own = row["task"] or (f"parity_{next(iter(tables))}" if len(tables) == 1 else None)
        if own is None or row["metric"] not in dict(metrics):
            continue
        if row["category"] == "all" or row["task"] or row["category"] == row["metric"]:
            assert row["value"] == upstream[own][f"{row['metric']},none"], (own, row["metric"])
            compared += 1
    assert compared == sum(len(metrics) + (len(tables) if len(tables) > 1 else 0) - (len(tables) > 1)
                           for (_, of), (tables, metrics) in TABLES.items() if of == suite)  # fmt: skip
    for task, part in responses.groupby("task"):
        assert list(part["response"]) == [say(str(task), i) for i in range(len(rows[str(task)]))]
    # The analysis computes each of these numbers again from the responses, and refuses where one differs.
    read_evaluation(output)


def test_control_characters_end_upstreams_submission_and_not_ours(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say(task: str, doc_id: int) -> str:
        return "A\x00\x0b\x1b[31m\u2028" if doc_id % 2 else "B"

    with pytest.raises(Exception, match="cannot be used in worksheets"):
        upstream_run(["parity_mmbench_en_dev_static"], folder, tmp_path / "upstream", say)
    _, responses = our_run("image", folder, tmp_path / "base" / "m" / "image" / "frames-1", say, monkeypatch)
    assert set(responses["response"]) == {"A\x00\x0b\x1b[31m\u2028", "B"}
