"""Answers outlive the process that generated them: none is lost, none is asked for twice, none is another model's."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from tests.unit.evaluation.conftest import FRAMES, World, well_said
from workflow_scripts.evaluation.answers import Answers
from workflow_scripts.evaluation.evaluate import main, write
from workflow_scripts.evaluation.scores import read_responses, read_scores
from workflow_scripts.frames.store import FrameStore, Recipe, write_shard
from workflow_scripts.settings import BenchmarkSettings, ModelSettings

HEAD = {"model": {"name": "m"}, "suite": "", "frames": 1, "blind": False, "versions": {}}


def test_what_one_process_adds_another_finds(tmp_path: Path) -> None:
    said = {"a": "B\x00\x1b[2J\u2028\n", "b": "", "c": "\ud83d", "d": "é 漢"}
    first = Answers(tmp_path, {"weights": "1"})
    first.add(said)
    again = Answers(tmp_path, {"weights": "1"})
    assert {key: again.get(key) for key in said} == said
    assert again.get("e") is None
    assert Answers(tmp_path, {"weights": "2"}).get("a") is None
    assert json.loads((first.folder / "identity.json").read_text()) == {"weights": "1"}


def test_two_writers_do_not_disturb_each_other(tmp_path: Path) -> None:
    one, two = Answers(tmp_path, {}), Answers(tmp_path, {})
    for number in range(50):
        one.add({f"one-{number}": "x" * number})
        two.add({f"two-{number}": "y" * number, "both": f"two-{number}"})
    found = Answers(tmp_path, {})
    assert all(found.get(f"one-{n}") == "x" * n and found.get(f"two-{n}") == "y" * n for n in range(50))
    assert len(list(found.folder.glob("*.jsonl"))) == 2


@pytest.mark.parametrize("end", [b"", b'{"key": "d", "ans', b'{"key": "d"}\n', b"\x00" * 64 + b"\n", b"[1]\nnull\n"])
def test_a_line_that_was_cut_short_does_not_count(tmp_path: Path, end: bytes) -> None:
    kept = Answers(tmp_path, {})
    kept.add({"a": "A", "b": "B"})
    [file] = kept.folder.glob("*.jsonl")
    file.write_bytes(file.read_bytes() + end)
    again = Answers(tmp_path, {})
    assert [again.get(key) for key in "abd"] == ["A", "B", None]
    again.add({"d": "D"})
    assert Answers(tmp_path, {}).get("d") == "D"


@pytest.fixture
def evaluated(world: World, answerer: Callable[..., Any], tmp_path: Path) -> Callable[..., int]:
    """Evaluates benchmarks with answers kept in one place; returns how many questions were asked of the model."""

    def run(
        suite: str,
        benchmarks: list[BenchmarkSettings],
        *,
        identity: object = "m",
        say: Any = well_said,
        output: str = "out",
        store: FrameStore | None = None,
        **options: Any,
    ) -> int:
        model = answerer(suite, say, answers=Answers(tmp_path / "answers", {"weights": identity}), **options)
        model.store = store or model.store
        write(tmp_path / output, model, benchmarks, world.tasks, HEAD)
        assert read_scores(tmp_path / output)["generated"] == model.generated
        return int(model.generated)

    return run


def count(benchmarks: list[BenchmarkSettings]) -> int:
    return sum(one.questions for one in benchmarks)


def test_a_further_benchmark_asks_only_its_own_questions(world: World, evaluated: Callable[..., int]) -> None:
    whole = world.of("image")
    assert evaluated("image", whole[:3]) == count(whole[:3])
    assert evaluated("image", whole) == count(whole[3:])
    assert evaluated("image", whole[1:2]) == 0


def test_another_metric_asks_nothing_and_loads_no_model(
    world: World, evaluated: Callable[..., int], answerer: Callable[..., Any], tmp_path: Path
) -> None:
    pope = world.settings["pope"]
    evaluated("image", [pope])
    first = read_responses(tmp_path / "out")
    changed = pope.model_copy(update={"metrics": pope.metrics[::-1]})
    model = answerer("image", well_said, answers=Answers(tmp_path / "answers", {"weights": "m"}))
    model.load = lambda: pytest.fail("the model was loaded")
    write(tmp_path / "again", model, [changed], world.tasks, HEAD)
    assert [row["metric"] for row in read_scores(tmp_path / "again")["rows"][:4]] == [
        metric.metric for metric in changed.metrics
    ]
    pd.testing.assert_frame_equal(read_responses(tmp_path / "again"), first)


def test_other_weights_frames_or_greyness_are_other_questions(world: World, evaluated: Callable[..., int]) -> None:
    videos = world.of("video")
    n = count(videos)
    assert evaluated("video", videos) == n
    assert evaluated("video", videos) == 0
    assert evaluated("video", videos, identity="trained again") == n
    assert evaluated("video", videos, blind=True) == n
    named = world.settings["video_mmmu"]
    assert evaluated("video", videos, last_frame=named.tasks) == named.questions


def test_the_same_videos_in_another_store_are_other_media(
    world: World, evaluated: Callable[..., int], tmp_path: Path
) -> None:
    one = [world.settings["videomme"]]
    evaluated("video", one)
    videos = sorted(FrameStore(world.store).videos)
    for quality, expected in ((95, 0), (50, one[0].questions)):
        recipe = Recipe(world.root, (FRAMES,), 4096, quality, last_frame=True)
        write_shard(videos, recipe, tmp_path / "s.arrow", tmp_path / "q.csv")
        assert evaluated("video", one, store=FrameStore(tmp_path / "s.arrow")) == expected


def test_a_question_that_a_benchmark_asks_twice_is_generated_once(
    world: World, answerer: Callable[..., Any], tmp_path: Path
) -> None:
    model = answerer("image", well_said)
    asked = SimpleNamespace(args=("Which?", {}, None, 0, "mini_mmstar", "val"))
    other = SimpleNamespace(args=("Which?", {}, None, 1, "mini_mmstar", "val"))
    assert len(model.generate_until([asked, other, asked])) == 3
    assert model.generated == 2
    assert set(model.shown) == {("mini_mmstar", 0), ("mini_mmstar", 1)}


class Stopped(BaseException):
    """Not an Exception: nothing catches it on its way."""


def test_an_interrupted_suite_goes_on_where_it_was(world: World, evaluated: Callable[..., int], tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []

    def say(task: str, doc: dict[str, Any]) -> str:
        if len(asked) == 40:
            raise Stopped
        asked.append((task, str(sorted(doc.items(), key=str))))
        return well_said(task, doc)

    whole = world.of("image")
    with pytest.raises(Stopped):
        evaluated("image", whole, say=say, batch_size=8)
    assert not (tmp_path / "out" / "scores.json").exists()
    kept = len(asked) // 8 * 8
    before = asked[:kept]
    asked.clear()
    asked.append(("", ""))  # never 40 again

    def rest(task: str, doc: dict[str, Any]) -> str:
        asked.append((task, str(sorted(doc.items(), key=str))))
        return well_said(task, doc)

    assert evaluated("image", whole, say=rest, batch_size=8) == count(whole) - kept
    assert not set(before) & set(asked)
    assert evaluated("image", whole, say=rest, output="fresh", identity="fresh") == count(whole)
    pd.testing.assert_frame_equal(read_responses(tmp_path / "out"), read_responses(tmp_path / "fresh"))


def lines(answers: Path) -> Iterator[dict[str, str]]:
    """Everything that was kept, by any process, half lines left out."""
    for file in answers.glob("*/*.jsonl"):
        for line in file.read_bytes().split(b"\n")[:-1]:
            yield json.loads(line)


@pytest.mark.slow
def test_a_suite_killed_by_the_machine_goes_on_where_it_was(
    world: World,
    tiny: ModelSettings,
    command: Callable[..., list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers, output = tmp_path / "answers", tmp_path / "base" / "tiny" / "image" / "frames-1"
    arguments = command(tiny, "image", output, "--batch-size", "1", "--answers", str(answers))
    call = [sys.executable, "-m", "workflow_scripts.evaluation.evaluate", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(call, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while len(list(lines(answers))) < 10 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = list(lines(answers))
    assert 10 <= len(before) < count(world.of("image"))
    assert not (output / "scores.json").exists()

    monkeypatch.setattr(sys, "argv", ["evaluate", *arguments])
    main()
    after = list(lines(answers))
    assert len({entry["key"] for entry in after}) == len(after) == count(world.of("image"))
    assert f"questions ({len(before)} answered before)" in capsys.readouterr().err
    assert read_scores(output)["generated"] == len(after) - len(before)

    fresh = tmp_path / "fresh" / "tiny" / "image" / "frames-1"
    monkeypatch.setattr(sys, "argv", ["evaluate", *command(tiny, "image", fresh, "--batch-size", "16")])
    main()
    pd.testing.assert_frame_equal(read_responses(output), read_responses(fresh))
    assert {row["value"] for row in read_scores(output)["rows"]} == {row["value"] for row in read_scores(fresh)["rows"]}
