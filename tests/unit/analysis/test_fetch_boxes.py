"""Questions with boxes, brought from a hub: the files of the pattern, once, where the study measures attention."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.commands import Finished, run
from tests.hub_server import COMMIT, FakeHub, serve
from workflow_scripts.analysis import fetch_boxes
from workflow_scripts.curation import plan_data
from workflow_scripts.hub import pins
from workflow_scripts.hub.pins import Pin, Pins
from workflow_scripts.settings import StudySettings, load_study, to_json

ROOT = Path(__file__).parents[3]
FILES = {f"data/test{split}-00000-of-00001.parquet": split.encode() * 1000 for split in "AB"}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serve(FakeHub({("datasets", "o/boxes"): {**FILES, "README.md": b"read me"}})) as served:
        yield served


def study(hub: FakeHub, folder: Path, **changes: Any) -> StudySettings:
    config: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["hub"]["endpoint"] = hub.endpoint
    config["attention"] |= {"root": str(folder / "boxes"), "repository": "o/boxes", **changes}
    return load_study(config)


def call(settings: StudySettings, folder: Path, revision: str | None = COMMIT) -> Finished:
    pins.write(Pins(datasets={"o/boxes": Pin(revision=revision)}), folder / "pins.json")
    return run(fetch_boxes.main, "--study", to_json(settings), "--pins", str(folder / "pins.json"))


def test_the_files_of_the_pattern_are_fetched_and_once(hub: FakeHub, tmp_path: Path) -> None:
    done = call(study(hub, tmp_path), tmp_path)
    assert done.returncode == 0, done.stderr
    there = {path.relative_to(tmp_path / "boxes").as_posix() for path in (tmp_path / "boxes").rglob("*.parquet")}
    assert there == {"data/testB-00000-of-00001.parquet"}
    sent = hub.sent
    assert call(study(hub, tmp_path), tmp_path).returncode == 0
    assert hub.sent - sent < 500, "no file again"


def test_what_cannot_be_fetched_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    assert "attention.pattern is 'x-*'" in call(study(hub, tmp_path, pattern="x-*"), tmp_path).stderr
    assert "repository o/boxes has no revision" in call(study(hub, tmp_path), tmp_path, revision=None).stderr
    assert "attention.repository is 'made here'" in call(study(hub, tmp_path, repository="made here"), tmp_path).stderr
    settings = study(hub, tmp_path)
    without = tuple(one for one in settings.experiments if one.figure != "attention")
    done = call(settings.model_copy(update={"experiments": without}), tmp_path)
    assert "attention is not among the experiments" in done.stderr


def test_the_plan_counts_the_files_of_the_pattern(hub: FakeHub, tmp_path: Path) -> None:
    held = Pins(datasets={"o/boxes": Pin(revision=COMMIT)})
    [line] = [
        one
        for one in plan_data.plan(study(hub, tmp_path), held, plan_data.Hub(hub.endpoint))
        if one.what == "questions with boxes"
    ]
    assert (line.files, line.network) == (1, 1000)
