"""Questions about one object each, with its box, drawn from the Parquet files that the section `attention` names.

Rows are ordered by a hash of the seed, their file and their place in it; of several about one picture, by its bytes,
the first is taken.
"""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageOps, UnidentifiedImageError

from workflow_scripts.settings import AttentionSettings, InputError
from workflow_scripts.settings.attention import SIDE, fields

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Asked:
    """One question. box: left, top, right, bottom of the object in pixels of the picture, RGB as it is shown.

    begins: what is said before the answer.
    """

    question_id: str
    picture: Image.Image
    question: str
    answer: str
    box: Box
    begins: str = ""


def draw_questions(settings: AttentionSettings) -> list[Asked]:
    """The questions, in the order of the draw: a smaller draw is the beginning of a larger one.

    Raises InputError where files or columns are missing, a picture or a box cannot be used, or there are too few.
    """
    root = Path(settings.root)
    paths = sorted(root.glob(settings.pattern))
    if not paths:
        raise InputError(
            f"attention.root is {settings.root}: no file {settings.pattern} (attention.pattern) is there; expected at "
            "least one: `snakemake --cores 1 fetch_boxes` brings them"
        )
    order: dict[bytes, tuple[bytes, int, int]] = {}
    for number, path in enumerate(paths):
        for row, content in enumerate(_pictures(path, settings)):
            name = path.relative_to(root).as_posix()
            place = hashlib.sha256(f"{settings.seed}/{name}/{row}".encode()).digest()
            order[content] = min(order.get(content, (b"\xff" * 33, 0, 0)), (place, number, row))
    if len(order) < settings.questions:
        raise InputError(
            f"attention.questions is {settings.questions}; {settings.root} has questions about {len(order)} pictures; "
            "expected at most as many"
        )
    chosen = sorted(order.values())[: settings.questions]
    found: dict[tuple[int, int], Asked] = {}
    for number, path in enumerate(paths):
        rows = sorted(row for _, file, row in chosen if file == number)
        if rows:
            table = pq.read_table(path, columns=_columns(settings)).take(rows)
            for row, values in zip(rows, table.to_pylist(), strict=True):
                found[number, row] = _asked(f"{path.relative_to(root).as_posix()}#{row}", path, values, settings)
    return [found[number, row] for _, number, row in chosen]


def _fields(settings: AttentionSettings) -> list[str]:
    return [name for template in (settings.question, settings.answer, settings.begins) for name in fields(template)]


def _columns(settings: AttentionSettings) -> list[str]:
    named = [name for name in _fields(settings) if name != SIDE]
    return list(dict.fromkeys(["image", settings.box, *named]))


def _pictures(path: Path, settings: AttentionSettings) -> list[bytes]:
    """A checksum of each row's picture."""
    try:
        opened = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"file {path} is not readable as Parquet: {error}") from None
    names = opened.schema_arrow.names
    if lacking := [name for name in _columns(settings) if name not in names]:
        raise InputError(
            f"file {path}: column {lacking[0]} is missing, which section attention names; it has {', '.join(names)}"
        )
    return [
        hashlib.sha256((cell or {}).get("bytes") or b"").digest()
        for batch in opened.iter_batches(batch_size=256, columns=["image"])
        for cell in batch.column("image").to_pylist()
    ]


def _asked(question_id: str, path: Path, values: Mapping[str, Any], settings: AttentionSettings) -> Asked:
    where = f"file {path}, row {question_id.rpartition('#')[2]}"
    try:
        with Image.open(io.BytesIO((values["image"] or {}).get("bytes") or b"")) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"{where}: column image is no picture ({error}); expected the bytes of one") from None
    box = _box(values[settings.box], picture, settings, where)
    told = {name: _text(value) for name, value in values.items() if name not in ("image", settings.box)}
    told[SIDE] = "left" if (box[0] + box[2]) / 2 < picture.width / 2 else "right"
    question, answer, begins = (
        template.format(**told) for template in (settings.question, settings.answer, settings.begins)
    )
    return Asked(question_id, picture, question, answer, box, begins)


def _box(value: Sequence[float] | None, picture: Image.Image, settings: AttentionSettings, where: str) -> Box:
    """The part of the box that is in the picture."""
    if value is None or len(value) != 4:
        raise InputError(f"{where}: column {settings.box} is {value}; expected four numbers")
    left, top, right, bottom = map(float, value)
    if not settings.box_corners:
        right, bottom = left + right, top + bottom
    kept = max(left, 0.0), max(top, 0.0), min(right, float(picture.width)), min(bottom, float(picture.height))
    if not (kept[0] < kept[2] and kept[1] < kept[3]):
        raise InputError(
            f"{where}: column {settings.box} is {list(value)}, in a picture of {picture.width} x {picture.height}; "
            "expected a box in the picture, by attention.box_corners"
        )
    return kept


def _text(value: Any) -> str:
    """A cell as text; of a list its first entry."""
    return _text(value[0]) if isinstance(value, list) and value else str(value)
