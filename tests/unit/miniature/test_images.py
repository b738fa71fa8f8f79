"""The miniature's conversations about stills: scenes of their own, in the layout of the real ones."""

from collections import Counter
from pathlib import Path

import pytest

from workflow_scripts.curation import draw_images
from workflow_scripts.curation.images import ImageStore, read_images
from workflow_scripts.miniature import images, lessons
from workflow_scripts.miniature.image_benchmarks import mme
from workflow_scripts.settings import ImagesSettings, MiniatureSettings

SETTINGS = MiniatureSettings(images=400)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    folder = tmp_path_factory.mktemp("stills")
    return folder, images.write_images(SETTINGS, folder)


def test_curation_reads_them_and_finds_the_broken_ones(drawn: tuple[Path, dict[str, int]], tmp_path: Path) -> None:
    folder, counts = drawn
    assert counts == {"images": 400, "broken": 4, "files": 2}
    settings = ImagesSettings(root=str(folder / "images"), files=None, conversations=396)
    paths = [tmp_path / name for name in ("images.parquet", "images.arrow", "q.csv")]
    assert draw_images.draw(settings, *paths) == 399  # one has no picture at all
    table = read_images(paths[0])
    assert len(table) == len(ImageStore(paths[1]).images) == 396


def test_answers_are_balanced_and_of_the_kinds_that_benchmarks_ask() -> None:
    rows = images.rows(SETTINGS)
    kinds = Counter(row["data_source"].split("_", 1)[1] for row in rows)
    assert set(kinds) == {"caption", "open_ended", "multiple_choice"}
    said = [turn["value"] for row in rows for turn in row["conversations"] if turn["from"] == "gpt"]
    yes, no = said.count("Yes."), said.count("No.")
    assert abs(yes - no) < 4 * (yes + no) ** 0.5 / 2
    letters = Counter(text[0] for text in said if text[1:2] == "." and text[0] in "ABCD")
    assert min(letters.values()) > 0.6 * max(letters.values())
    assert all(row["conversations"][0]["value"].startswith("<image>\n") for row in rows)


def test_no_scene_is_one_of_the_benchmarks_or_of_the_lessons() -> None:
    seeds = {int(row["id"]) for row in images.rows(SETTINGS)}
    assert len(seeds) == 400
    assert min(seeds) == images.FIRST_SEED > lessons.FIRST_SEED + 10_000_000
    stills = {row["image"]["bytes"] for row in images.rows(SETTINGS) if row["image"] is not None}
    asked = {row["image"]["bytes"] for table in mme(80, 0).tables for row in table.rows}  # type: ignore[index]
    assert not stills & asked
