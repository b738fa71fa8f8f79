"""Readers of the image conversations that rule `images` drew: the table, and the store of their pictures.

`images.parquet`, a row a conversation with SCHEMA, in the order of drawing: the first k rows are the draw of k.
`images.arrow` beside it, an Arrow IPC file, a record batch a picture: its bytes as they were found (JPEG, PNG, ...),
memory-mapped, so that any picture is read in one access. The footer's metadata list the pictures (`images`, JSON).
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from PIL import Image, ImageOps

from workflow_scripts.settings import InputError, files

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("image", pa.string()),  # <file, relative to the root>#<its row>; the bytes are in the store, under image_id
        ("source", pa.string()),  # the data set's own name of where the record comes from
        ("conversations", pa.list_(pa.struct([("from", pa.string()), ("value", pa.string())]))),
        ("width", pa.int32()),  # in pixels, as shown
        ("height", pa.int32()),
        ("sha256", pa.string()),  # of the bytes
    ]
)
STORE = pa.schema([("image_id", pa.string()), ("bytes", pa.binary())])


def read_images(path: Path) -> pd.DataFrame:
    """The table, in the order of drawing. Raises InputError where the file is not one."""
    table: pd.DataFrame = files.read_parquet(path, SCHEMA.names)
    return table


def store_of(table: Path) -> Path:
    """The store of a table's pictures, beside it."""
    return table.parent / f"{table.name.removesuffix('.parquet')}.arrow"


def picture(data: bytes | memoryview) -> Image.Image:
    """A picture as it is shown, RGB: turned as its metadata say, what is transparent as it is stored.

    Raises what Pillow raises for bytes that are no picture.
    """
    with Image.open(io.BytesIO(data)) as opened:
        return ImageOps.exif_transpose(opened).convert("RGB")


class ImageStore:
    """Pictures by image_id. Safe to pickle and to fork: each process maps the file for itself."""

    def __init__(self, path: str | Path) -> None:
        """Map the file. Raises InputError where it is missing or no store of pictures."""
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"file {path} is missing; expected the store of pictures beside images.parquet")
        try:
            self._reader = pa.ipc.open_file(pa.memory_map(str(path)))
        except pa.ArrowInvalid as error:
            raise InputError(f"file {path} is not an Arrow file ({error}); expected a store of pictures") from None
        told = (self._reader.metadata or {}).get(b"images")
        if self._reader.schema.names != STORE.names or told is None:
            raise InputError(
                f"file {path} has columns {', '.join(self._reader.schema.names)}; expected a list of "
                f"images, and {', '.join(STORE.names)}"
            )
        self._places = {image_id: place for place, image_id in enumerate(json.loads(told))}

    @property
    def images(self) -> set[str]:
        """Ids of the stored pictures."""
        return set(self._places)

    def image(self, image_id: str) -> Image.Image:
        """A picture, RGB, decoded. Raises InputError where it is not stored."""
        place = self._places.get(image_id)
        if place is None:
            raise InputError(f"image {image_id} is not in {self.path}; expected one of its {len(self._places)}")
        return picture(memoryview(self._reader.get_batch(place).column("bytes")[0].as_buffer()))

    def __reduce__(self) -> tuple[Any, ...]:
        return ImageStore, (self.path,)
