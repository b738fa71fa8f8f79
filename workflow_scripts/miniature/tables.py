"""What a miniature benchmark is made of: tables of rows, one an lmms-eval task, and videos."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from workflow_scripts.miniature.render import render
from workflow_scripts.miniature.scene import Scene

Row = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """The rows of one task, in the schema of the upstream dataset.

    ``upstream`` is the task file whose code scores them, relative to lmms_eval/tasks; ``split`` is the split it reads.
    """

    task: str
    upstream: str
    split: str
    rows: list[Row]


@dataclass(frozen=True)
class Benchmark:
    """One benchmark; ``videos`` by path relative to HF_HOME, where the upstream task looks for them."""

    name: str
    tables: tuple[Table, ...]
    videos: dict[str, Scene] = field(default_factory=dict)


def image_cell(scene: Scene) -> dict[str, object]:
    """A still as a cell of an image column: PNG bytes."""
    buffer = io.BytesIO()
    Image.fromarray(render(scene)).save(buffer, "PNG")
    return {"bytes": buffer.getvalue(), "path": None}
