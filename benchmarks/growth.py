"""Time per video for 1,000, 5,000 and 20,000 small videos, from the annotations to the frame store.

The commands are those of the workflow, on one core, with shards of the paper's size (20,000 videos: 16 for probing and
64 for frames). Times are of the processor, a video, with those of the commands' start and of their workers; the peer's
column holds those of the smallest set, so that a ratio near 1 means flat, and above 1 that the larger set is cheaper a
video. Also: files that a study of this size leaves, and jobs of the paper's plan up to the frames.
"""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av
import harness
import numpy as np

SIZES, QUICK = (1_000, 5_000, 20_000), (100, 300, 1_000)
PROBED, STORED = 1_250, 312  # videos of a shard
SUBSET = "0_30_s_academic_v0_1"
VIDEO = "academic_source/Charades/{:05d}.mp4"
REAPER = Path(__file__).parent / "workers" / "reaper.py"
DIFFERENT = 40  # videos that are encoded; the others are copies that differ in a box without meaning
CHOICES = "<image>\nWhich?\nA. One.\nB. Two.\nPlease respond with only the letter of the correct answer."


def make(root: Path, count: int) -> None:
    """A data set of small videos, no two with the same bytes."""
    folder = root / SUBSET
    (folder / VIDEO).parent.mkdir(parents=True)
    originals = [_encode(folder / f"original-{number}.mp4", number) for number in range(DIFFERENT)]
    for number in range(count):
        free = (16).to_bytes(4, "big") + b"free" + number.to_bytes(8, "big")
        (folder / VIDEO.format(number)).write_bytes(originals[number % DIFFERENT] + free)
    for kind, question, answer in (("cap", "<image>\nDescribe.", "A ball."), ("oe", "<image>\nWhat?", "A ball."),
                                   ("mc", CHOICES, "B.")):  # fmt: skip
        name = f"0_30_s_academic_{kind}_v0_1_qa" if kind != "cap" else "0_30_s_academic_v0_1_cap"
        talk = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
        records = [{"id": f"{kind}{n}", "conversations": talk, "video": VIDEO.format(n)} for n in range(count)]
        (folder / f"{name}_processed.json").write_text(json.dumps(records), encoding="utf-8")


def _encode(path: Path, seed: int) -> bytes:
    """Two seconds of moving patches, 128x96, a key frame a second."""
    field = np.random.default_rng(seed).integers(0, 255, (3, 4, 3), np.uint8).repeat(32, 0).repeat(32, 1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.codec_context.gop_size = 25
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(np.roll(field, number, axis=1), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    path.unlink()
    return data


def run(root: Path, folder: Path, count: int) -> dict[str, float]:
    """Processor time in milliseconds a video, by step, and the number of files."""
    curation, frames = folder / "curation", folder / "frames"
    index, malformed, listed = curation / "index.parquet", curation / "malformed.csv", curation / "inventory.json"
    shortlist, manifest = curation / "shortlist.parquet", curation / "manifest.parquet"
    drawing = ["--index", index, "--videos", count, "--reserve", 0]
    spent: dict[str, float] = {}

    def step(name: str, module: str, *flags: object) -> None:
        command = [sys.executable, REAPER, sys.executable, "-m", f"workflow_scripts.{module}", *map(str, flags)]
        spent[name] = spent.get(name, 0.0) + harness.measure(command, cores=1).cpu_s * 1000 / count

    step("inventory and shortlist", "curation.inventory", "--dataset", root, "--subsets", SUBSET, "--output", listed,
         "--index", index, "--malformed", malformed)  # fmt: skip
    step("inventory and shortlist", "curation.shortlist", *drawing, "--output", shortlist)
    probes = [curation / "probes" / f"shard-{shard}.parquet" for shard in range(math.ceil(count / PROBED))]
    for shard, path in enumerate(probes):
        step("probe", "curation.probe", "--shortlist", shortlist, "--dataset", root, "--shard", shard, "--shards",
             len(probes), "--output", path)  # fmt: skip
    step("manifest", "curation.manifest", *drawing, "--inventory", listed, "--malformed", malformed, "--dataset", root,
         "--probes", *probes, "--output", manifest, "--quarantine", curation / "quarantine.csv", "--statistics",
         curation / "statistics.csv")  # fmt: skip
    shards = math.ceil(count / STORED)
    for shard in range(shards):
        step("frames", "frames.store", "--videos", manifest, "--root", root, "--shard", shard, "--shards", shards,
             "--budgets", 8, 16, 32, 64, "--max-pixels", 448 * 448, "--output", frames / f"shard-{shard}.arrow",
             "--quarantine", frames / f"shard-{shard}.quarantine.csv")  # fmt: skip
    return spent | {"files": sum(path.is_file() for path in folder.rglob("*"))}


def jobs() -> int:
    """Jobs of the paper's plan from the annotations to the frames of its training videos."""
    with tempfile.TemporaryDirectory() as folder:
        targets = [f"results/paper/frames/shard-{shard}.arrow" for shard in range(64)]
        planned = subprocess.run(
            [Path(sys.executable).parent / "snakemake", "--snakefile", harness.ROOT / "Snakefile", "--configfile",
             harness.ROOT / "config.yaml", "--directory", folder, "--dry-run", "--quiet", "rules", "--", *targets],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    return int(re.findall(r"^total +(\d+)", planned.stdout + planned.stderr, re.M)[-1])


def main() -> None:
    """Command line."""
    arguments = harness.arguments(
        __doc__, ("--sizes", {"type": int, "nargs": "+", "metavar": "N", "help": "numbers of videos, rising"})
    )
    sizes = arguments.sizes or (QUICK if arguments.quick else SIZES)
    results = harness.Results("growth", arguments.quick, ("av", "pyarrow", "msgspec", "snakemake"))
    first: dict[str, float] = {}
    for count in sizes:
        with tempfile.TemporaryDirectory() as temporary:
            make(Path(temporary) / "data", count)
            found = run(Path(temporary) / "data", Path(temporary) / "results", count)
        first = first or found
        for name, value in found.items():
            flat = (first[name], f"{sizes[0]:,} videos") if name != "files" and found is not first else (None, None)
            unit = "files" if name == "files" else "ms of processor a video"
            results.add(f"{count:,} videos", name, unit, value, *flat)
    results.add("the paper's 20,000 videos", "jobs up to the frames", "jobs", jobs())
    results.finish()


if __name__ == "__main__":
    main()
