"""A world of plain-coloured clips, small enough that a run takes seconds: the question is which colour it is."""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from workflow_scripts.curation.images import SCHEMA as IMAGES
from workflow_scripts.curation.images import STORE
from workflow_scripts.finetuning import spec as spec_rule
from workflow_scripts.frames.store import SCHEMA
from workflow_scripts.miniature.architectures import build

COLORS = {"red": (220, 20, 20), "green": (20, 200, 40), "blue": (20, 40, 220), "white": (240, 240, 240)}
MINIATURE = Path(__file__).parents[3] / "resources" / "miniature"
SHIPPED = {
    "qwen2.5-vl": "qwen2.5-vl-3b",
    "qwen3-vl": "predictor-qwen3-vl-8b",
    "llava-next-video": "llava-next-video-7b",
    "llava-1.5": "llava-1.5-7b",
}
CORPUS = [
    "Which color is the screen? Is the screen red or blue or green or white?",
    *(f"The screen is {color}." for color in COLORS),
    "yes no",
] * 8


def jpeg(color: str, size: int = 64) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((size, size, 3), COLORS[color], dtype=np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def write_shard(path: Path, videos: dict[str, str], quarantined: Sequence[str], frames: int = 16) -> None:
    """A shard of the frame store: `videos` maps a name to its colour; every clip has `frames` frames in 8 s."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, SCHEMA) as writer:
        for video, color in videos.items():
            row = {
                "video": video,
                "n_frames": frames,
                "duration_s": 8.0,
                "fps": frames / 8.0,
                "frame_index": list(range(frames)),
                "timestamp_s": [8.0 * index / frames for index in range(frames)],
                "jpeg": [jpeg(color)] * frames,
            }
            writer.write_batch(pa.RecordBatch.from_pylist([row], schema=SCHEMA))
    lines = ["video,reason,detail", *(f"{video},undecodable,broken on purpose" for video in quarantined)]
    path.with_name("shard-0.quarantine.csv").write_text("\n".join(lines) + "\n")


@dataclass(frozen=True)
class World:
    """A base model, a manifest of 22 samples, budgets of 2, 4 and 64 frames, and a store of clips of 16 frames.

    Beside them 7 image conversations; the specification of a recipe that needs some names them.
    """

    folder: Path
    model: dict[str, Any]
    manifest: Path
    budgets: Path
    store: Path
    quarantined_sample: str
    samples: int
    images: Path

    def recipe(self, **changes: Any) -> dict[str, Any]:
        rates = {"vision_tower": 1e-4, "projector": 1e-3, "language_model": 1e-3}
        return {
            "name": "small",
            "learning_rates": rates,
            "epochs": 1,
            "batch_size": 4,
            "micro_batch_size": 2,
            "weight_decay": 0.01,
            "deepspeed": None,
            "activation_checkpointing": False,
            **changes,
        }

    def shipped(self, family: str) -> dict[str, Any]:
        """Settings of the repository's miniature of a family, in float32."""
        base = {**self.model, "name": SHIPPED[family], "family": family, "source": str(MINIATURE / SHIPPED[family])}
        return {**base, "video_pool_stride": 2 if family == "llava-1.5" else 1}

    def spec(self, output: Path, model: dict[str, Any] | None = None, seed: int = 0, **changes: Any) -> Path:
        """Run the rule `spec` and give its output."""
        arguments = ["--study", "test", "--recipe", json.dumps(self.recipe(**changes))]
        arguments += ["--model", json.dumps(model or self.model), "--allocation", "mixed", "--seed", str(seed)]
        arguments += ["--manifest", str(self.manifest), "--budgets", str(self.budgets), "--store", str(self.store)]
        if changes.keys() & {"replay", "gradient_projection"}:
            arguments += ["--images", str(self.images)]
        spec_rule.main([*arguments, "--output", str(output / "spec.yaml")])
        return output / "spec.yaml"

    def arguments(self, spec: Path, checkpoints: Path, output: Path, *more: str) -> list[str]:
        """Arguments of the rule `train`."""
        files = ["--spec", str(spec), "--store", str(self.store), "--checkpoints", str(checkpoints)]
        return [*files, "--threads", "1", "--output", str(output), *more]


def write_images(folder: Path, colors: Sequence[str]) -> Path:
    """A table of image conversations and its store: `still/<number>`, the question which colour the picture is."""
    rows = list[dict[str, Any]]()
    ids = [f"still/{number}" for number in range(len(colors))]
    with (
        pa.OSFile(str(folder / "images.arrow"), "wb") as file,
        pa.ipc.new_file(file, STORE, metadata={"images": json.dumps(ids)}) as writer,
    ):
        for number, (image_id, color) in enumerate(zip(ids, colors, strict=True)):
            picture = {"image_id": image_id, "bytes": jpeg(color)}
            writer.write_batch(pa.RecordBatch.from_pylist([picture], schema=STORE))
            turns = [{"from": "human", "value": "Which color is it?"}, {"from": "gpt", "value": f"{color}."}]
            facts = {"image": f"data/0.parquet#{number}", "source": "still", "width": 64, "height": 64, "sha256": ""}
            rows.append({"image_id": image_id, "conversations": turns, **facts})
    pq.write_table(pa.Table.from_pylist(rows, schema=IMAGES), folder / "images.parquet")
    return folder / "images.parquet"


def write_manifest(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    turn = pa.struct([("from", pa.string()), ("value", pa.string())])
    pq.write_table(
        pa.table(
            {
                "sample_id": [row["sample_id"] for row in rows],
                "video": [row["video"] for row in rows],
                "conversations": pa.array([row["conversations"] for row in rows], pa.list_(turn)),
            }
        ),
        path,
    )


def write_budgets(path: Path, budgets: dict[str, int]) -> None:
    pq.write_table(
        pa.table(
            {
                "sample_id": pa.array(list(budgets), pa.string()),
                "budget": pa.array(list(budgets.values()), pa.int32()),
                "evidence": pa.array(["{}"] * len(budgets), pa.string()),
            }
        ),
        path,
    )


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("world")
    build("qwen2.5-vl-7b", CORPUS, folder / "base", seed=0)
    names = list(COLORS)
    videos = {f"plain/{number}.mp4": names[number % len(names)] for number in range(21)}
    rows = []
    for number, (video, color) in enumerate([*videos.items(), ("plain/broken.mkv", "red")]):
        turns = [{"from": "human", "value": "Which color is the screen?"}, {"from": "gpt", "value": f"{color}."}]
        turns += [{"from": "human", "value": f"Is it {color}?"}, {"from": "gpt", "value": "yes"}] * (number % 3)
        rows.append({"sample_id": f"plain/{number:02d}", "video": video, "conversations": turns})
    write_manifest(folder / "manifest.parquet", rows)
    write_budgets(
        folder / "mixed.parquet", {row["sample_id"]: (2, 4, 64)[number % 3] for number, row in enumerate(rows)}
    )
    write_shard(folder / "frames" / "shard-0.arrow", videos, ["plain/broken.mkv"])
    model = {
        "name": "qwen2.5-vl-7b",
        "family": "qwen2.5-vl",
        "source": str(folder / "base"),
        "size_b": 0.001,
        "min_pixels": 4096,
        "max_pixels": 4096,
        "video_max_pixels": 4096,
        "precision": "float32",
        "max_length": 2048,
    }
    return World(
        folder=folder,
        model=model,
        manifest=folder / "manifest.parquet",
        budgets=folder / "mixed.parquet",
        store=folder / "frames" / "shard-0.arrow",
        quarantined_sample="plain/21",
        samples=21,
        images=write_images(folder, (names * 2)[:7]),
    )


@pytest.fixture
def run_train(world: World, tmp_path: Path) -> Callable[..., Path]:
    """Run the rules `spec` and `train` in this process; gives the run's folder."""
    from workflow_scripts.finetuning import train

    def run(name: str = "run", *more: str, **changes: Any) -> Path:
        output = tmp_path / name
        spec = world.spec(output, **changes)
        train.main(world.arguments(spec, tmp_path / "checkpoints", output, *more))
        return output

    return run
