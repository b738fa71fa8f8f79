"""Questions a second: the project's class against lmms-eval's own wrappers, on the same tasks, on one core.

The tasks are the miniature's: lmms-eval's task code, on drawn pictures and clips, all of 112 x 112 pixels, since the
wrapper of Qwen2.5-VL scales everything to multiples of 28. Clips come twice: `short`, eight frames, two a second, of
which both sides show all; and `whole`, as long as they are drawn (4 to 40 s), where the wrapper decodes two frames a
second for each question and takes eight of them, not quite the eight that the frame store holds. What the wrapper does
otherwise stays: pictures go through a JPEG. Both compute in float32. tests/unit/evaluation/test_wrappers.py accounts
for every difference between the two, and shows that answers are equal without them; here the share of equal answers is
given.

The wrappers' default is one question at a time; that of LLaVA-1.5 can do no other, and no videos. With more, that of
Qwen2.5-VL shows questions of one batch the videos of its first question's task, so for videos it has no batches here.

    python benchmarks/evaluation.py [--quick]
"""

from __future__ import annotations

import io
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import harness
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from workflow_scripts.frames.decode import decode
from workflow_scripts.frames.store import Recipe, write_shard
from workflow_scripts.miniature.benchmarks import write_benchmarks
from workflow_scripts.settings import BenchmarkSettings, ModelSettings

SIDE, FRAMES, BATCH, MANY = 112, 8, 32, 10**6
MODELS = harness.ROOT / "resources" / "miniature"
SYSTEM = (
    "{%- if messages[0].role != 'system' -%}<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif -%}\n"
)
SUITES = {
    "images": ("mme", "mmstar", "mmbench", "pope"),
    "videos": ("videomme", "mvbench", "tempcompass", "video_mmmu"),
}
WORKERS = harness.ROOT / "benchmarks" / "workers"
WORKER, REAPER = WORKERS / "answering.py", WORKERS / "reaper.py"


def main() -> None:
    """Command line."""
    options = harness.arguments(__doc__)
    results = harness.Results("evaluation", options.quick, ("lmms-eval", "transformers", "torch"))
    peer = harness.peer_python("evaluation", ["decord==0.6.0"])
    if peer is None:
        raise RuntimeError("decord cannot be installed; the wrappers import it")
    decord = next((peer.parents[1] / "lib").glob("python3*")) / "site-packages"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        counts = write_benchmarks(24 if options.quick else 96, folder / "drawn")
        enlarge_pictures(folder / "drawn")
        qwen = folder / "qwen"
        shutil.copytree(MODELS / "qwen2.5-vl-7b", qwen)
        template = qwen / "chat_template.jinja"
        template.write_text(SYSTEM + template.read_text())  # as Qwen2.5-VL's own template has it
        model = settings("qwen2.5-vl", qwen, SIDE)
        common = flags(folder / "drawn", counts, "images", model)
        mine = ask([*common, "--who", "ours", "--batch", BATCH])
        for batch in (1, BATCH):
            theirs = ask([*common, "--who", "qwen2_5_vl", "--batch", batch, "--decord", decord])
            compare(results, "Qwen2.5-VL, images", mine, theirs, f"qwen2_5_vl, batch {batch}")
        for kind in ("short", "whole"):
            root, store = folder / kind, folder / f"{kind}.arrow"
            shutil.copytree(folder / "drawn", root)
            enlarge_clips(root, FRAMES if kind == "short" else None)
            storing = harness.measure(
                [sys.executable, REAPER, sys.executable, __file__, "--store", root, store], cores=1
            )
            common = flags(root, counts, "videos", model)
            mine = ask([*common, "--who", "ours", "--batch", BATCH, "--store", store])
            theirs = ask([*common, "--who", "qwen2_5_vl", "--batch", 1, "--decord", decord])
            compare(results, f"Qwen2.5-VL, {kind} clips", mine, theirs, "qwen2_5_vl, batch 1")
            case = f"{kind} clips into the frame store, once for all models"
            results.add(case, "processor time, start included", "s", storing.cpu_s)
        model = settings("llava-1.5", MODELS / "llava-1.5-7b", 64)
        common = flags(folder / "drawn", counts, "images", model)
        mine = ask([*common, "--who", "ours", "--batch", BATCH])
        theirs = ask([*common, "--who", "llava_hf", "--batch", 1, "--decord", decord])
        compare(results, "LLaVA-1.5, images", mine, theirs, "llava_hf, batch 1")
    results.notes |= {"our batch": BATCH, "frames a video": FRAMES}
    results.finish()


def flags(root: Path, counts: dict[str, Any], kind: str, model: ModelSettings) -> list[Any]:
    """What both sides are told."""
    asked = json.dumps([one.model_dump(mode="json") for one in benchmarks(counts, kind)])
    frames = FRAMES if kind == "videos" else 1
    return ["--root", root, "--frames", frames, "--benchmarks", asked, "--model", model.model_dump_json()]


def benchmarks(counts: dict[str, Any], kind: str) -> list[BenchmarkSettings]:
    """The benchmarks of a kind; nothing is scored, so the metric does not matter."""
    return [
        BenchmarkSettings.model_validate(
            {"name": name, "suite": kind.removesuffix("s"), "tasks": list(counts[name]["tasks"]), "dataset": "drawn"}
            | {"metrics": [{"metric": "none", "maximum": 1}], "questions": counts[name]["questions"]}
        )
        for name in SUITES[kind]
    ]


def settings(family: str, folder: Path, side: int) -> ModelSettings:
    """A miniature model at one size of picture."""
    return ModelSettings.model_validate(
        {"name": "m", "family": family, "source": str(folder), "size_b": 0.001, "precision": "float32"}
        | {"min_pixels": 1, "max_pixels": side**2, "video_max_pixels": side**2, "max_length": 4096}
    )


def enlarge_pictures(root: Path) -> None:
    """Give pictures a size that the wrapper of Qwen2.5-VL leaves as it is."""
    for path in (root / "data").glob("*.parquet"):
        table = pq.read_table(path)
        for place, field in enumerate(table.schema):
            if field.name == "image":
                cells = [{"bytes": enlarged(cell["bytes"]), "path": None} for cell in table["image"].to_pylist()]
                table = table.set_column(place, field, pa.array(cells, field.type))
            elif field.name == "video":  # see enlarge_clips
                names = [name.replace(".mkv", ".mp4") for name in table["video"].to_pylist()]
                table = table.set_column(place, field, pa.array(names, field.type))
        pq.write_table(table, path)


def enlarge_clips(root: Path, frames: int | None) -> None:
    """Give clips that size, and the wrapper a container that it knows; `frames` of each, two a second, or all."""
    for path in [*root.rglob("*.mp4"), *root.rglob("*.mkv")]:
        found = decode(path, [frames or MANY], SIDE**2)
        path.unlink()
        images = [np.asarray(resized(Image.fromarray(image))) for image in found.images]
        encode(path.with_suffix(".mp4"), images, 2 if frames else round(found.fps))


def resized(image: Image.Image) -> Image.Image:
    return image.resize((SIDE, SIDE), Image.Resampling.NEAREST)


def enlarged(data: bytes) -> bytes:
    buffer = io.BytesIO()
    resized(Image.open(io.BytesIO(data))).save(buffer, "PNG")
    return buffer.getvalue()


def encode(path: Path, images: Sequence[np.ndarray], fps: int) -> None:
    """Write a clip."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv420p"
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def ask(flags: Sequence[Any]) -> dict[str, Any]:
    """One worker's times and answers."""
    done = harness.measure([sys.executable, WORKER, *map(str, flags)], cores=1)
    said: dict[str, Any] = json.loads(next(line for line in done.output.splitlines() if line.startswith('{"wall_s"')))
    return said


def compare(results: harness.Results, case: str, mine: dict[str, Any], theirs: dict[str, Any], name: str) -> None:
    """Add questions a second, by processor and by wall time, and the share of answers that are the same."""
    n = len(mine["answers"])
    same = sum(a == b for a, b in zip(mine["answers"], theirs["answers"], strict=True)) / n
    case = f"{case}, {n} questions"
    for clock, label in (("cpu_s", "processor time"), ("wall_s", "wall time")):
        rates = n / mine[clock], n / theirs[clock]
        results.add(case, f"questions a second of {label}", "1/s", *rates, name, better="higher")
    results.add(case, f"same answers as {name}", "share", same)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--store"]:
        root, output = map(Path, sys.argv[2:])
        listed = sorted(str(path.relative_to(root)) for path in root.rglob("*.mp4"))
        write_shard(listed, Recipe(root, (FRAMES,), SIDE**2, 95), output, output.with_suffix(".csv"))
    else:
        main()
