"""Files of image conversations, brought from a hub: those that are drawn from, no others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.commands import Finished, run
from tests.hub_server import COMMIT, FakeHub, serve
from workflow_scripts.curation import fetch_images, plan_data
from workflow_scripts.curation.draw_images import choose_files
from workflow_scripts.hub import pins
from workflow_scripts.hub.pins import Pin, Pins
from workflow_scripts.settings import StudySettings, load_study, to_json

ROOT = Path(__file__).parents[3]
PARTS = {f"data/train-{number:05d}-of-00006.parquet": bytes([number]) * 1000 for number in range(6)}
BESIDE = {"README.md": b"read me", "llava_next_raw_format/images_0.tar.gz": b"x" * 5000}


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serve(FakeHub({("datasets", "o/images"): {**PARTS, **BESIDE}})) as served:
        yield served


def study(hub: FakeHub, folder: Path, **changes: Any) -> StudySettings:
    config: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["hub"]["endpoint"] = hub.endpoint
    config["images"] |= {"root": str(folder / "images"), "repository": "o/images", "files": 2, **changes}
    return load_study(config)


def call(settings: StudySettings, folder: Path, revision: str | None = COMMIT) -> Finished:
    pins.write(Pins(datasets={"o/images": Pin(revision=revision)}), folder / "pins.json")
    return run(fetch_images.main, "--study", to_json(settings), "--pins", str(folder / "pins.json"))


def test_only_the_files_that_are_drawn_from_are_fetched_and_once(hub: FakeHub, tmp_path: Path) -> None:
    settings = study(hub, tmp_path)
    done = call(settings, tmp_path)
    assert done.returncode == 0, done.stderr
    assert settings.images is not None
    root = tmp_path / "images"
    there = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.parquet")}
    assert there == {name: PARTS[name] for name in choose_files(list(PARTS), settings.images)}
    assert not (root / "README.md").exists()
    sent = hub.sent
    more = call(study(hub, tmp_path, files=3), tmp_path)
    assert more.returncode == 0, more.stderr
    assert len(list(root.rglob("*.parquet"))) == 3
    assert hub.sent - sent < 2000  # one more file, and no file again


def test_what_cannot_be_fetched_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    assert "images.files is 7; there are 6 files" in call(study(hub, tmp_path, files=7), tmp_path).stderr
    assert "repository o/images has no revision" in call(study(hub, tmp_path), tmp_path, revision=None).stderr
    assert "images is of 'made here'" in call(study(hub, tmp_path, repository="made here"), tmp_path).stderr


def test_the_plan_names_what_they_cost(hub: FakeHub, tmp_path: Path) -> None:
    lines = plan_data.plan(
        study(hub, tmp_path), Pins(datasets={"o/images": Pin(revision=COMMIT)}), plan_data.Hub(hub.endpoint)
    )
    found = [line for line in lines if "images" in line.what]
    assert [(line.files, line.network) for line in found] == [(2, 2000)]
