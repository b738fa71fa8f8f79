"""Rule ``miniature.world``: writes a small world of videos laid out exactly as LLaVA-Video-178K.

Beside the output file: ``dataset/<subset>/<annotation>.json`` and the videos under ``dataset/<subset>/<path>``; and,
apart from what training reads, ``truth.parquet``: subset, record_id, video, format, budget (the minimal sufficient
budget of the whole conversation), turn_budgets.

``python -m workflow_scripts.miniature.world --settings '{...}' --output results/<study>/miniature/world.json``
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from workflow_scripts.miniature.encode import write_video
from workflow_scripts.miniature.evidence import BUDGETS
from workflow_scripts.miniature.records import Format, conversations, video_exchanges
from workflow_scripts.miniature.scene import EVENTS, SOURCES, Scene, draw_video_scene
from workflow_scripts.settings import MiniatureSettings, cli
from workflow_scripts.settings.files import atomic_path, write_json, write_parquet

ANNOTATIONS = {
    "academic_v0_1": {
        "caption": "{d}_academic_v0_1_cap_processed.json",
        "open_ended": "{d}_academic_oe_v0_1_qa_processed.json",
        "multiple_choice": "{d}_academic_mc_v0_1_qa_processed.json",
    },
    "youtube_v0_1": {
        "caption": "{d}_youtube_v0_1_cap_processed.json",
        "open_ended": "{d}_youtube_oe_v0_1_qa_processed.json",
        "multiple_choice": "{d}_youtube_mc_v0_1_qa_processed.json",
    },
    "activitynetqa": {"open_ended": "{d}_activitynetqa_oe_qa_processed.json"},
    "nextqa": {
        "open_ended": "{d}_nextqa_oe_qa_processed.json",
        "multiple_choice": "{d}_nextqa_mc_qa_processed.json",
    },
    "perceptiontest": {"multiple_choice": "{d}_perceptiontest_mc_qa_processed.json"},
}
# source -> collection of subsets, path of a video inside the subset's folder
PATHS: dict[str, tuple[str, str]] = {
    "charades": ("academic_v0_1", "academic_source/Charades/{id}.mp4"),
    "activitynet": ("academic_v0_1", "academic_source/activitynet/v_{id}.mkv"),
    "youcook2": ("academic_v0_1", "academic_source/youcook2/{n}/{id}/split_0.mp4"),
    "nextqa-academic": ("academic_v0_1", "academic_source/NextQA/{n}/{id}.mp4"),
    "ego4d": ("academic_v0_1", "academic_source/ego4d/{id}.mp4"),
    "youtube": ("youtube_v0_1", "liwei_youtube_videos/videos/youtube_video_2024/ytb_{id}.mp4"),
    "hdvila": ("youtube_v0_1", "liwei_youtube_videos/videos/hdvila/{id}.mp4"),
    "nextqa": ("nextqa", "NextQA/NExTVideo/{n}/{id}.mp4"),
    "activitynetqa": ("activitynetqa", "ActivityNet-QA/activitynet/train/v1-3/train_val/v_{id}.mp4"),
    "perceptiontest": ("perceptiontest", "perception_test/videos/video_{id}.mp4"),
}


@dataclass(frozen=True)
class Video:
    """One video of the world and the formats of its records."""

    scene: Scene
    subset: str
    path: str
    codec: str
    kinds: tuple[Format, ...]


def plan(settings: MiniatureSettings) -> list[Video]:
    """The world's videos: sources, events and budgets in turn, so that each combination is about equally frequent."""
    videos = []
    for i in range(settings.videos):
        seed = settings.seed + i
        rng = random.Random(f"world-{seed}")
        source = SOURCES[i % len(SOURCES)]
        scene = draw_video_scene(
            seed, source, event=rng.choice(EVENTS), budget=rng.choice(BUDGETS), variable=rng.random() < 0.15
        )
        collection, template = PATHS[source]
        length = "0_30_s" if scene.timestamps_s[-1] < 30 else "30_60_s"
        path = template.format(id=f"{seed:07d}", n=1000 + seed % 7)
        kinds: tuple[Format, ...] = tuple(ANNOTATIONS[collection])  # type: ignore[arg-type]
        codec = "libvpx-vp9" if path.endswith(".mkv") else "libx264"
        videos.append(Video(scene, f"{length}_{collection}", path, codec, kinds))
    return videos


def _truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 3])


BREAKAGES: tuple[Callable[[Path], object], ...] = (
    _truncate,
    lambda path: path.write_bytes(b""),
    lambda path: path.write_text("This video is not available."),
    lambda path: path.unlink(),
)


def _write(video: Video, root: str) -> None:
    write_video(video.scene, Path(root) / video.subset / video.path, video.codec)


def write_world(settings: MiniatureSettings, folder: Path, threads: int) -> dict[str, int]:
    """Write ``dataset/`` and ``truth.parquet`` into ``folder``; the last ``settings.broken`` videos are damaged.

    Returns counts of what was written.
    """
    videos = plan(settings)
    annotations: dict[tuple[str, str], list[dict[str, object]]] = defaultdict(list)
    truth = []
    for video in videos:
        collection = video.subset.split("_s_", 1)[1]
        for kind in video.kinds:
            exchanges = video_exchanges(video.scene, kind)
            record_id = f"{video.scene.seed:07d}-{kind}"
            name = ANNOTATIONS[collection][kind].format(d=video.subset.split("_s_", 1)[0] + "_s")
            annotations[video.subset, name].append(
                {
                    "id": record_id,
                    "conversations": conversations(exchanges),
                    "data_source": video.subset,
                    "video": video.path,
                }
            )
            budgets = [exchange.budget for exchange in exchanges]
            truth.append((video.subset, record_id, video.path, kind, max(budgets), budgets))
    dataset = folder / "dataset"
    if dataset.exists():
        shutil.rmtree(dataset)
    with cli.progress(len(videos), "videos") as advance, ProcessPoolExecutor(threads) as pool:
        for _ in pool.map(_write, videos, [str(dataset)] * len(videos), chunksize=8):
            advance(1)
    for i, video in enumerate(videos[len(videos) - settings.broken :]):
        BREAKAGES[i % len(BREAKAGES)](dataset / video.subset / video.path)
    for (subset, name), records in annotations.items():
        with atomic_path(dataset / subset / name) as partial:
            partial.write_text(json.dumps(records, indent=1))
    columns = ["subset", "record_id", "video", "format", "budget", "turn_budgets"]
    write_parquet(pd.DataFrame(truth, columns=columns), folder / "truth.parquet")
    return {
        "videos": len(videos),
        "broken": settings.broken,
        "records": len(truth),
        "annotation_files": len(annotations),
        "subsets": len({video.subset for video in videos}),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=cli.json_of(MiniatureSettings), required=True, help="section miniature")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    write_json(write_world(args.settings, args.output.parent, args.threads), args.output)


if __name__ == "__main__":
    cli.run(main)
