"""Rule ``miniature.benchmarks``: writes eight small benchmarks that lmms-eval's own task code asks and scores.

Beside the output file, in ``benchmarks/``, a folder laid out as HF_HOME: ``tasks/<task>.yaml``, which include the
upstream task files and read ``data/<task>.parquet`` instead of the Hub; and the videos where the upstream tasks look
for them. The output file counts questions and videos.

``python -m workflow_scripts.miniature.benchmarks --settings '{...}' --output .../miniature/benchmarks.json``
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from workflow_scripts.miniature.encode import write_video
from workflow_scripts.miniature.image_benchmarks import mmbench, mme, mmstar, pope
from workflow_scripts.miniature.scene import Scene
from workflow_scripts.miniature.tables import Benchmark, Table
from workflow_scripts.miniature.video_benchmarks import mvbench, tempcompass, video_mmmu, videomme
from workflow_scripts.settings import MiniatureSettings, cli
from workflow_scripts.settings.files import atomic_path, write_json, write_yaml

# A benchmark's place here is the number that its scenes' seeds follow from.
BENCHMARKS: dict[str, Callable[[int, int], Benchmark]] = {
    "mme": mme,
    "mmstar": mmstar,
    "mmbench": mmbench,
    "pope": pope,
    "videomme": videomme,
    "mvbench": mvbench,
    "tempcompass": tempcompass,
    "video_mmmu": video_mmmu,
}


def upstream_tasks() -> Path:
    """The folder of lmms-eval's task files."""
    spec = importlib.util.find_spec("lmms_eval")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "tasks"


def draw(questions: int) -> list[Benchmark]:
    """The eight benchmarks, each with ``questions`` questions (MME an even number of them)."""
    return [make(questions, number) for number, make in enumerate(BENCHMARKS.values())]


def _write_table(table: Table, folder: Path) -> None:
    from datasets import Dataset, Image, disable_progress_bars

    disable_progress_bars()
    rows = Dataset.from_list(table.rows)
    if "image" in rows.column_names:
        rows = rows.cast_column("image", Image())
    (folder / "data").mkdir(parents=True, exist_ok=True)
    rows.to_parquet(str(folder / "data" / f"{table.task}.parquet"))
    config = {
        "include": str(upstream_tasks() / table.upstream),
        "task": table.task,
        "dataset_path": "parquet",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": {table.split: f"../data/{table.task}.parquet"}},
    }
    write_yaml(config, folder / "tasks" / f"{table.task}.yaml")


def _write_video(path: str, scene: Scene, folder: str) -> None:
    write_video(scene, Path(folder) / path, "libvpx-vp9" if path.endswith(".mkv") else "libx264")


def _counts(benchmark: Benchmark) -> dict[str, object]:
    return {
        "tasks": {table.task: len(table.rows) for table in benchmark.tables},
        "questions": sum(len(table.rows) for table in benchmark.tables),
        "videos": len(benchmark.videos),
    }


def write_benchmarks(questions: int, folder: Path, threads: int = 1) -> dict[str, dict[str, object]]:
    """Write the benchmarks as ``folder``, replacing what is there; returns counts by benchmark."""
    benchmarks = draw(questions)
    videos = [entry for benchmark in benchmarks for entry in benchmark.videos.items()]
    with atomic_path(folder) as partial:
        for benchmark in benchmarks:
            for table in benchmark.tables:
                _write_table(table, partial)
        paths, scenes = zip(*videos, strict=True)
        with cli.progress(len(videos), "videos") as advance, ProcessPoolExecutor(threads) as pool:
            for _ in pool.map(_write_video, paths, scenes, [str(partial)] * len(videos), chunksize=8):
                advance(1)
    return {benchmark.name: _counts(benchmark) for benchmark in benchmarks}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=cli.json_of(MiniatureSettings), required=True, help="section miniature")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    counts = write_benchmarks(args.settings.questions, args.output.parent / "benchmarks", args.threads)
    write_json(counts, args.output)


if __name__ == "__main__":
    cli.run(main)
