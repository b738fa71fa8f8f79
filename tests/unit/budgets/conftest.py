"""A small manifest and a frame store written without the stage that decodes videos."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image

from workflow_scripts.frames.store import SCHEMA

BUDGETS = (8, 16, 32, 64)


def jpeg(level: int) -> bytes:
    """A grey frame, 16 x 16; a flat grey survives JPEG unchanged."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((16, 16, 3), level, np.uint8)).save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()


def stored_frames(n: int) -> list[int]:
    """What every admissible budget needs of n frames, written out anew."""
    return sorted({i * n // budget for budget in BUDGETS for i in range(budget)})


@pytest.fixture
def write_store(tmp_path: Path) -> Callable[..., Path]:
    """Write a shard from grey levels, one a frame of the clip, at 10 frames a second."""

    def write(clips: dict[str, list[int]], quarantine: str = "video,reason,detail\n", name: str = "shard-0") -> Path:
        path = tmp_path / f"{name}.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, SCHEMA) as writer:
            for video, levels in clips.items():
                index = stored_frames(len(levels))
                row = {
                    "video": video,
                    "n_frames": len(levels),
                    "duration_s": len(levels) / 10,
                    "fps": 10.0,
                    "frame_index": index,
                    "timestamp_s": [i / 10 for i in index],
                    "jpeg": [jpeg(levels[i]) for i in index],
                }
                writer.write_batch(pa.RecordBatch.from_pylist([row], schema=SCHEMA))
        (tmp_path / f"{name}.quarantine.csv").write_text(quarantine)
        return path

    return write


@pytest.fixture
def write_manifest(tmp_path: Path) -> Callable[[list[tuple[str, str, list[str]]]], Path]:
    """Write a manifest from (sample_id, video, human turns); every human turn is answered."""

    def write(samples: list[tuple[str, str, list[str]]]) -> Path:
        rows = [
            {
                "sample_id": sample,
                "video": video,
                "conversations": [
                    turn
                    for text in turns
                    for turn in ({"from": "human", "value": text}, {"from": "gpt", "value": "a secret"})
                ],
            }
            for sample, video, turns in samples
        ]
        path = tmp_path / "manifest.parquet"
        pd.DataFrame(rows).to_parquet(path)
        return path

    return write
