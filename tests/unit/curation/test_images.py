"""Image conversations: drawn from Parquet files as the hub has them, their pictures kept beside."""

import csv
import hashlib
import io
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageFile

from workflow_scripts.curation import draw_images
from workflow_scripts.curation.images import ImageStore, read_images
from workflow_scripts.settings import ImagesSettings, InputError

Rows = list[dict[str, Any]]
TURNS = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "A colour."}]


def encoded(number: int, kind: str = "PNG", size: tuple[int, int] = (8, 6), **more: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (number % 256, 0, 0)).save(buffer, kind, **more)
    return buffer.getvalue()


def row(number: int, **changes: Any) -> dict[str, Any]:
    cell = {"bytes": encoded(number), "path": f"{number}.png"}
    return {"id": f"r{number}", "conversations": TURNS, "data_source": "made", "image": cell, **changes}


def write(folder: Path, files: list[Rows], group: int = 7) -> ImagesSettings:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    turn = pa.struct([("from", pa.string()), ("value", pa.string())])
    cell = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema(
        [("id", pa.string()), ("conversations", pa.list_(turn)), ("data_source", pa.string()), ("image", cell)]
    )
    for number, rows in enumerate(files):
        table = pa.Table.from_pylist(rows, schema=schema)
        pq.write_table(table, folder / "data" / f"train-{number:05d}.parquet", row_group_size=group)
    return ImagesSettings(root=str(folder), files=None, conversations=10)


@pytest.fixture(autouse=True)
def _strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow as it is by itself: packages that other tests import let it pass over truncated pictures."""
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)


@pytest.fixture
def draw(tmp_path: Path) -> Callable[..., tuple[Any, ImageStore, list[list[str]]]]:
    """Run the rule; gives table, store and quarantine."""

    def run(settings: ImagesSettings, name: str = "out", **changes: Any) -> tuple[Any, ImageStore, list[list[str]]]:
        paths = [tmp_path / name / file for file in ("images.parquet", "images.arrow", "images.quarantine.csv")]
        draw_images.draw(settings.model_copy(update=changes), *paths)
        with paths[2].open(newline="") as handle:
            return read_images(paths[0]), ImageStore(paths[1]), list(csv.reader(handle))

    return run


def test_a_row_says_what_the_record_and_its_picture_are(tmp_path: Path, draw: Any) -> None:
    """Against the bytes and turns that were written."""
    settings = write(tmp_path / "in", [[row(n) for n in range(20)], [row(n) for n in range(20, 30)]])
    table, store, quarantine = draw(settings)
    assert len(table) == 10
    assert quarantine == [["image", "reason", "detail"]]
    assert store.images == set(table["image_id"])
    for one in table.to_dict("records"):
        number = int(one["image_id"].split("/r")[1].split("-")[0])
        assert one["image"] == f"data/train-0000{number // 20}.parquet#{number % 20}"
        assert (one["source"], one["width"], one["height"]) == ("made", 8, 6)
        assert one["sha256"] == hashlib.sha256(encoded(number)).hexdigest()
        assert [dict(turn) for turn in one["conversations"]] == [
            {"from": "human", "value": "What is it?"},
            {"from": "gpt", "value": "A colour."},
        ]
        assert np.asarray(pickle.loads(pickle.dumps(store)).image(one["image_id"]))[0, 0].tolist() == [number, 0, 0]


def test_a_smaller_draw_lies_inside_a_larger_one_wherever_records_stand(tmp_path: Path, draw: Any) -> None:
    """The larger draw is of the same records, cut into other files and in another order."""
    rows = [row(n) for n in range(40)]
    small, _, _ = draw(write(tmp_path / "a", [rows[:25], rows[25:]]), "small", conversations=8)
    large, _, _ = draw(write(tmp_path / "b", [rows[::-3], rows[1::3][::-1], rows[2::3] + rows[::3]]), "large",
                       conversations=30)  # fmt: skip
    assert list(large["image_id"][:8]) == list(small["image_id"])
    other, _, _ = draw(write(tmp_path / "a", [rows[:25], rows[25:]]), "other", conversations=8, seed=1)
    assert set(other["image_id"]) != set(small["image_id"])


def test_what_cannot_be_used_is_named_and_replaced(tmp_path: Path, draw: Any) -> None:
    cell = {"bytes": encoded(1), "path": "x.png"}
    broken: dict[str, list[dict[str, Any]]] = {
        "undecodable": [{**cell, "bytes": b"no picture"}, {**cell, "bytes": encoded(2, size=(64, 64))[:60]}],
        "empty": [{**cell, "bytes": b""}, {**cell, "bytes": None}],
        "too-narrow": [{**cell, "bytes": encoded(3, size=(400, 2))}],
    }
    wrong = [row(90 + n, image=image) for n, image in enumerate(image for all_ in broken.values() for image in all_)]
    wrong.append(row(98, conversations=TURNS[:1]))
    silent = [row(99, image=None)]
    good = [row(n) for n in range(12)]
    table, _, quarantine = draw(write(tmp_path / "in", [wrong + good + silent]), conversations=12)
    assert sorted(int(name.split("/r")[1].split("-")[0]) for name in table["image_id"]) == list(range(12))
    assert {line[0] for line in quarantine[1:]} <= {f"data/train-00000.parquet#{n}" for n in range(len(wrong))}
    everything = {reason: len(images) for reason, images in broken.items()} | {"malformed-record": 1}
    found = {reason: [line[1] for line in quarantine[1:]].count(reason) for reason in everything}
    assert all(found[reason] <= count for reason, count in everything.items())
    assert sum(found.values()) == len(quarantine) - 1 > 0
    with pytest.raises(InputError, match=r"images.conversations is 13; 1 files in .* hold 12"):
        draw(write(tmp_path / "in", [wrong + good + silent]), conversations=13)


def test_pictures_are_shown_upright_in_rgb(tmp_path: Path, draw: Any) -> None:
    """A palette with a transparent colour, and a JPEG that its metadata turn by a quarter."""
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 200, 30])
    flat = io.BytesIO()
    palette.save(flat, "PNG", transparency=0)
    turned = Image.new("RGB", (6, 4)).getexif()
    turned[0x0112] = 6
    images = [flat.getvalue(), encoded(5, "JPEG", (6, 4), exif=turned)]
    rows = [row(n, image={"bytes": data, "path": None}) for n, data in enumerate(images)]
    table, store, _ = draw(write(tmp_path / "in", [rows]), conversations=2)
    sizes = {one["image_id"].split("/")[1][:2]: (one["width"], one["height"]) for one in table.to_dict("records")}
    assert sizes == {"r0": (4, 4), "r1": (4, 6)}
    shown = {name.split("/")[1][:2]: store.image(name) for name in store.images}
    assert shown["r0"].mode == shown["r1"].mode == "RGB"
    assert shown["r0"].getpixel((0, 0)) == (10, 200, 30)
    assert shown["r1"].size == (4, 6)


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, draw: Any) -> None:
    settings = write(tmp_path / "in", [[row(n) for n in range(12)] + [row(50, image={"bytes": b"?", "path": "?"})]])
    for name in ("one", "two"):
        draw(settings, name)
    for file in ("images.parquet", "images.arrow", "images.quarantine.csv"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_files_are_chosen_by_their_names_and_a_larger_choice_holds_a_smaller() -> None:
    names = [f"data/train-{n:05d}.parquet" for n in range(50)]
    chosen = [set(draw_images.choose_files(names[::-1], ImagesSettings(files=n))) for n in (3, 9, 50)]
    assert chosen[0] < chosen[1] < chosen[2] == set(names)
    with pytest.raises(InputError, match=r"images.files is 3; there are 2 files data/train-\*.parquet"):
        draw_images.choose_files(names[:2], ImagesSettings(files=3))


def test_bad_input_is_refused_by_name(tmp_path: Path, draw: Any) -> None:
    settings = write(tmp_path / "in", [[row(1)]])
    path = tmp_path / "in" / "data" / "train-00000.parquet"
    pq.write_table(pa.table({"id": ["a"], "image": ["b"]}), path)
    with pytest.raises(InputError, match="conversations, data_source is missing"):
        draw(settings)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"train-00000.parquet is not readable as Parquet"):
        draw(settings)
    (tmp_path / "store.arrow").write_bytes(b"nothing")
    with pytest.raises(InputError, match="not an Arrow file"):
        ImageStore(tmp_path / "store.arrow")


def test_the_command_writes_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = write(tmp_path / "in", [[row(n) for n in range(12)]])
    flags = ["--settings", json.dumps(settings.model_dump()), "--output", str(tmp_path / "i.parquet")]
    flags += ["--store", str(tmp_path / "i.arrow"), "--quarantine", str(tmp_path / "i.csv")]
    monkeypatch.setattr("sys.argv", ["draw_images", *flags])
    draw_images.main()
    assert ImageStore(tmp_path / "i.arrow").images == set(read_images(tmp_path / "i.parquet")["image_id"])
    with pytest.raises(InputError, match="is not in"):
        ImageStore(tmp_path / "i.arrow").image("other")
