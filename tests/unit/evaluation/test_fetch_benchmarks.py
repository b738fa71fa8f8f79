"""The command fetch_benchmarks, as a process of its own, against a hub on loopback with two small benchmarks."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from datasets import Dataset, Features, Image, Sequence, Value

from tests.commands import run
from tests.hub_server import COMMIT, FakeHub, serve
from workflow_scripts.evaluation import fetch_benchmarks
from workflow_scripts.settings import load_study, to_json

ROOT = Path(__file__).parents[3]
README = "---\nconfigs:\n- config_name: {name}\n  data_files:\n  - split: {split}\n    path: data/{split}-*\n---\n"


def parquet(rows: list[dict[str, object]], features: Features | None = None) -> bytes:
    buffer = io.BytesIO()
    Dataset.from_list(rows, features=features).to_parquet(buffer)
    return buffer.getvalue()


def mmstar() -> dict[str, bytes]:
    names = ("question", "answer", "category", "l2_category")
    features = Features({"index": Value("int64"), "image": Image(), **{name: Value("string") for name in names}})
    picture = io.BytesIO()
    import PIL.Image

    PIL.Image.new("RGB", (8, 8)).save(picture, "PNG")
    row = {"image": {"bytes": picture.getvalue(), "path": "x.png"}, "question": "Q?", "answer": "A"}
    rows = [{**row, "index": index, "category": "math", "l2_category": "algebra"} for index in range(3)]
    table = parquet(rows, features)
    return {"README.md": README.format(name="val", split="val").encode(), "data/val-0.parquet": table}


def videomme() -> dict[str, bytes]:
    names = (
        "video_id",
        "duration",
        "domain",
        "sub_category",
        "videoID",
        "question_id",
        "task_type",
        "question",
        "answer",
    )
    features = Features({**{name: Value("string") for name in names}, "options": Sequence(Value("string"))})
    rows = [{**dict.fromkeys(names, str(n)), "videoID": f"v{n}", "options": ["A. x", "B. y"]} for n in range(2)]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(2):
            archive.writestr(f"data/v{number}.mp4", b"video" * 100)
        archive.writestr("../escaped.mp4", b"x")
    return {
        "README.md": README.format(name="videomme", split="test").encode(),
        "data/test-0.parquet": parquet(rows, features),
        "videos_chunked_01.zip": packed.getvalue(),
        "subtitles/v0.srt": b"1",
    }


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    repositories = {("datasets", "Lin-Chen/MMStar"): mmstar(), ("datasets", "lmms-eval/Video-MME"): videomme()}
    with serve(FakeHub(repositories)) as served:
        yield served


def study(hub: FakeHub, folder: Path, revision: str | None = COMMIT, tasks: str | None = None) -> str:
    """The paper's study with these two benchmarks, as JSON."""
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["hub"]["endpoint"] = hub.endpoint
    suites = {"image": ["mmstar"], "video": ["videomme"]}
    config["benchmarks"] |= {"root": str(folder / "benchmarks"), "suites": suites, "tasks": tasks}
    registry = config["benchmarks"]["registry"]
    registry["mmstar"] |= {"questions": 3, "revision": revision}
    registry["videomme"] |= {"questions": 2, "revision": revision}
    return to_json(load_study(config))


def call(hub: FakeHub, folder: Path, *flags: str) -> tuple[int, str]:
    """Run the command as a process; its status and what it said."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-m", "workflow_scripts.evaluation.fetch_benchmarks", "--study", study(hub, folder), *flags],
        cwd=ROOT,
        env={**environment, "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_benchmarks_are_fetched_and_checked(hub: FakeHub, tmp_path: Path) -> None:
    hub.cuts["videos_chunked_01.zip"] = [700]
    code, said = call(hub, tmp_path)
    assert code == 0, said
    root = tmp_path / "benchmarks"
    assert (root / "videomme/data/v1.mp4").read_bytes() == b"video" * 100
    assert (root / "videomme/subtitles/v0.srt").read_bytes() == b"1"
    assert "refused: '../escaped.mp4'" in said
    assert not list(tmp_path.rglob("escaped.mp4"))
    assert not list(tmp_path.rglob("*.zip"))
    assert hub.requests("videos_chunked_01.zip") == ["", "bytes=700-"]
    hub.asked.clear()
    code, said = call(hub, tmp_path, "--check")
    assert (code, hub.asked) == (0, []), said
    assert "mmstar: 3 questions" in said
    assert "videomme: 2 questions, 2 videos" in said


def test_benchmarks_without_a_pin_are_refused(hub: FakeHub, tmp_path: Path) -> None:
    done = run(fetch_benchmarks.main, "--study", study(hub, tmp_path, revision=None))
    assert (done.returncode, hub.asked) == (2, [])
    assert "repository Lin-Chen/MMStar has no revision" in done.stderr


def test_benchmarks_of_the_studys_own_are_not_fetched(hub: FakeHub, tmp_path: Path) -> None:
    done = run(fetch_benchmarks.main, "--study", study(hub, tmp_path, tasks="tasks"))
    assert (done.returncode, hub.asked) == (0, [])
    assert "nothing to fetch" in done.stdout
