"""Rule `images`: draw conversations about images, and keep their pictures.

In: the section `images`, and the Parquet files it names: columns `id`, `conversations`, `data_source` and `image`, a
structure of `bytes` and `path`, as the hub's datasets library writes them. Out: `images.parquet` and `images.arrow` as
in workflow_scripts/curation/images.py, and `images.quarantine.csv`: image, reason, detail of what would have been drawn
but cannot be used.

Records are ordered by a hash of the seed and their content, so that a smaller draw lies inside a larger one of the same
files, wherever in them the records stand. A record without a picture is about text alone and not drawn.

    python -m workflow_scripts.curation.draw_images --settings '{"root": ...}' --output images.parquet \\
        --store images.arrow --quarantine images.quarantine.csv
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, UnidentifiedImageError

from workflow_scripts.curation.annotations import MalformedRecord, validate
from workflow_scripts.curation.images import SCHEMA, STORE, picture
from workflow_scripts.curation.quarantine import write_quarantine
from workflow_scripts.curation.sampling import hasher, key
from workflow_scripts.settings import ImagesSettings, InputError, cli, files

COLUMNS = {"id", "conversations", "data_source", "image"}
RESERVE = 0.05
NARROWEST = 200
"""Qwen's processors refuse a picture whose longer side is this many times the shorter, or more."""


@dataclass(frozen=True, order=True)
class Record:
    """Where a record stands, ordered as it is drawn."""

    order: bytes
    file: int
    row: int


def choose_files(names: Sequence[str], settings: ImagesSettings) -> list[str]:
    """The files to draw from, of all that there are. Raises InputError where there are too few."""
    wanted = len(names) if settings.files is None else settings.files
    if not names or len(names) < wanted:
        raise InputError(
            f"images.files is {settings.files}; there are {len(names)} files {settings.pattern} (images.pattern) for "
            f"{settings.root}; expected that many, and at least one: `snakemake --cores 1 fetch_images` brings them"
        )
    return sorted(sorted(names, key=lambda name: key(settings.seed, "image-file", name))[:wanted])


def survey(paths: Sequence[Path], seed: int) -> list[Record]:
    """All records with a picture, in their order; of several with the same content the first. Decodes nothing."""
    hashed, found, seen = hasher(seed, "image"), list[Record](), set[bytes]()
    with cli.progress(len(paths), "files surveyed") as advance:
        for number, path in enumerate(paths):
            row = 0
            for batch in _open(path).iter_batches(columns=["id", "conversations", "data_source", "image.path"]):
                pictured = batch.column("image").is_valid().to_pylist()
                for there, content in zip(pictured, _contents(batch), strict=True):
                    order = hashed(content)
                    if there and order not in seen:
                        seen.add(order)
                        found.append(Record(order, number, row))
                    row += 1
            advance()
    return sorted(found)


def _open(path: Path) -> pq.ParquetFile:
    try:
        opened = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"file {path} is not readable as Parquet: {error}") from None
    if lacking := COLUMNS - set(opened.schema_arrow.names):
        raise InputError(
            f"file {path}: column {', '.join(sorted(lacking))} is missing; it has "
            f"{', '.join(opened.schema_arrow.names)}"
        )
    kind = opened.schema_arrow.field("image").type
    if not pa.types.is_struct(kind) or {field.name for field in kind} < {"bytes", "path"}:
        raise InputError(f"file {path}: column image is {kind}; expected a structure of bytes and path")
    return opened


def _contents(batch: pa.RecordBatch) -> Iterator[bytes]:
    """What makes each record another one than the others."""
    columns = [batch.column(name).to_pylist() for name in ("data_source", "id", "conversations")]
    for source, identifier, turns in zip(*columns, strict=True):
        yield json.dumps([source, identifier, [[turn["from"], turn["value"]] for turn in turns or ()]]).encode()


def read_record(raw: dict[str, Any], image: str, order: bytes) -> tuple[dict[str, Any], bytes] | tuple[str, str]:
    """A row of the table and the picture's bytes, or reason and detail of why the record cannot be used."""
    try:
        record = validate({"id": raw["id"], "conversations": raw["conversations"], "video": image}, "open_ended")
    except MalformedRecord as error:
        return "malformed-record", str(error)
    data = (raw["image"] or {}).get("bytes")
    if not data:
        return "empty", f"no bytes in image {(raw['image'] or {}).get('path')!r}; expected them inside the file"
    try:
        width, height = picture(data).size
    except UnidentifiedImageError:
        return "undecodable", f"{len(data)} bytes that are no picture Pillow knows"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return "undecodable", f"{type(error).__name__}: {error}"
    if max(width, height) >= NARROWEST * min(width, height):
        return "too-narrow", f"{width} x {height}; expected sides within a factor of {NARROWEST}"
    source = raw["data_source"] or ""
    row = {
        "image_id": f"{source}/{record.id}-{order.hex()[:8]}".removeprefix("/"),
        "image": image,
        "source": source,
        "conversations": [
            {"from": speaker, "value": text}
            for turn in record.turns
            for speaker, text in zip(("human", "gpt"), turn, strict=True)
        ],
        "width": width,
        "height": height,
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    return row, data


class _Draw:
    """What was read so far: rows by their record, pictures in a file without a name, gone with the process."""

    def __init__(self, names: Sequence[str], paths: Sequence[Path], pictures: Any) -> None:
        self.names, self.paths = names, paths
        self.rows: dict[Record, dict[str, Any]] = {}
        self.rejected: dict[Record, tuple[str, str, str]] = {}
        self.places: dict[Record, tuple[int, int]] = {}
        self._pictures = pictures

    def read(self, wanted: Sequence[Record]) -> None:
        """Read records, each row group once."""
        by_file: dict[int, list[Record]] = {}
        for record in wanted:
            by_file.setdefault(record.file, []).append(record)
        with cli.progress(len(wanted), "pictures read") as advance:
            for number, records in sorted(by_file.items()):
                opened, first = _open(self.paths[number]), 0
                for group in range(opened.num_row_groups):
                    rows = opened.metadata.row_group(group).num_rows
                    here = sorted((r for r in records if first <= r.row < first + rows), key=lambda r: r.row)
                    if here:
                        table = opened.read_row_group(group, columns=sorted(COLUMNS))
                        for record in here:
                            self._take(record, table.slice(record.row - first, 1).to_pylist()[0])
                            advance()
                    first += rows

    def _take(self, record: Record, raw: dict[str, Any]) -> None:
        image = f"{self.names[record.file]}#{record.row}"
        outcome = read_record(raw, image, record.order)
        if isinstance(outcome[0], str):
            self.rejected[record] = (image, *outcome)  # type: ignore[assignment]
            return
        row, data = outcome
        assert isinstance(row, dict)
        self.rows[record] = row
        self.places[record] = (self._pictures.tell(), len(data))
        self._pictures.write(data)

    def data(self, record: Record) -> bytes:
        """A picture's bytes."""
        start, length = self.places[record]
        self._pictures.seek(start)
        read: bytes = self._pictures.read(length)
        return read


def draw(settings: ImagesSettings, output: Path, store: Path, quarantine: Path) -> int:
    """Write table, store and quarantine. Returns how many records there were to draw from.

    Raises InputError where fewer can be used than are asked for.
    """
    root = Path(settings.root)
    there = sorted(path.relative_to(root).as_posix() for path in root.glob(settings.pattern) if path.is_file())
    names = choose_files(there, settings)
    paths = [root / name for name in names]
    records, count = survey(paths, settings.seed), settings.conversations
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=output.parent) as pictures:
        drawn, begin, end = _Draw(names, paths, pictures), 0, min(len(records), count + int(count * RESERVE) + 1)
        while begin < end:
            drawn.read(records[begin:end])
            begin, end = end, min(len(records), end + max(count - len(drawn.rows), 0))
        chosen = [record for record in records[:end] if record in drawn.rows][:count]
        if len(chosen) < count:
            raise InputError(
                f"images.conversations is {count}; {len(names)} files in {root} hold {len(chosen)} that can be used; "
                "expected no more, or more images.files"
            )
        until = chosen[-1]
        ids = [drawn.rows[record]["image_id"] for record in chosen]
        with (
            files.atomic_path(store) as partial,
            pa.OSFile(str(partial), "wb") as sink,
            pa.ipc.new_file(sink, STORE, metadata={"images": json.dumps(ids)}) as writer,
        ):
            for record, image_id in zip(chosen, ids, strict=True):
                row = {"image_id": image_id, "bytes": drawn.data(record)}
                writer.write_batch(pa.RecordBatch.from_pylist([row], schema=STORE))
    write_quarantine((row for record, row in sorted(drawn.rejected.items()) if record < until), quarantine, "image")
    files.write_parquet(pa.Table.from_pylist([drawn.rows[record] for record in chosen], schema=SCHEMA), output)
    return len(records)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kind: Any = ImagesSettings | None
    parser.add_argument("--settings", type=cli.json_of(kind), required=True, help="section images")
    parser.add_argument("--output", type=Path, required=True, help="images.parquet")
    parser.add_argument("--store", type=Path, required=True, help="images.arrow")
    parser.add_argument("--quarantine", type=Path, required=True, help="images.quarantine.csv")
    arguments = parser.parse_args()
    settings = arguments.settings
    if settings is None:
        raise InputError("images is null; expected where conversations about images come from, {} for LLaVA-NeXT-Data")
    records = draw(settings, arguments.output, arguments.store, arguments.quarantine)
    print(f"{settings.conversations} of {records} conversations drawn")


if __name__ == "__main__":
    cli.run(main)
