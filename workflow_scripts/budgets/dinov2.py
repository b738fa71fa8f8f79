"""Rule `dinov2`: a sample gets as many frames as represent its video, by DINOv2 similarity (`similarity.py`).

    python -m workflow_scripts.budgets.dinov2 --manifest manifest.parquet --store frames/shard-0.arrow \\
        --dino '{"source": "facebook/dinov2-base"}' --admissible 8 16 32 64 --output hybrid-dinov2.parquet

Samples of one video get one budget: the instruction is not looked at. The evidence holds, for each budget, the least
and the mean similarity. A killed job, started again, goes on after its last whole part.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.budgets.allocation import write_allocation
from workflow_scripts.budgets.parts import fingerprint, in_parts, parts_folder, remove_parts
from workflow_scripts.budgets.samples import read_samples, split_by_frames
from workflow_scripts.frames.store import FrameStore
from workflow_scripts.predictors.choice import Decision
from workflow_scripts.predictors.similarity import likeness, smallest_budget
from workflow_scripts.settings import DinoSettings, InputError, cli

PART = 16  # videos decided between two writes, and held in memory: 64 frames each

Embed = Callable[[Sequence[NDArray[np.uint8]]], Sequence[NDArray[np.float32]]]


def decide_videos(
    store: FrameStore, videos: Sequence[str], embed: Embed, budgets: Sequence[int], threshold: float
) -> list[Decision]:
    """The budget of each video, of `budgets`; the frames looked at are those that any of them takes.

    `embed` turns clips uint8 [T, H, W, 3] into unit vectors float32 [T, E].
    """
    clips = [store.clip_of_all(video, sorted(budgets)) for video in videos]
    decisions = []
    for (_, taken), vectors in zip(clips, embed([clip.frames for clip, _ in clips]), strict=True):
        found = {budget: likeness(vectors, places) for budget, places in taken.items()}
        evidence = {
            "least_similarity": {str(budget): round(value.minimum, 6) for budget, value in found.items()},
            "mean_similarity": {str(budget): round(value.mean, 6) for budget, value in found.items()},
        }
        decisions.append(Decision(smallest_budget(found, threshold), evidence))
    return decisions


def candidates(admissible: Sequence[int], frames: int) -> list[int]:
    """The admissible budgets up to `frames`, the number of frames looked at.

    Raises InputError unless each divides `frames`: only then are its frames among those looked at.
    """
    budgets = sorted(budget for budget in admissible if budget <= frames)
    if frames not in budgets or any(frames % budget for budget in budgets):
        raise InputError(
            f"key frames is {frames} and the admissible budgets are {', '.join(map(str, sorted(admissible)))}; "
            "expected frames to be one of them and a multiple of all smaller ones"
        )
    return budgets


def predict(
    manifest: Path,
    shards: Sequence[Path],
    settings: DinoSettings,
    admissible: Sequence[int],
    output: Path,
    embed: Embed,
) -> None:
    """Write the allocation for every sample of the manifest."""
    budgets = candidates(admissible, settings.frames)
    samples = read_samples(manifest)
    store = FrameStore(shards)
    videos, decided = split_by_frames(samples["video"], store, shards, budgets)
    parts = parts_folder(
        output,
        {
            "dino": settings.model_dump(mode="json"),
            "weights": fingerprint(Path(settings.source)),
            "budgets": budgets,
            "videos": videos,
            "store": [fingerprint(shard) for shard in shards],
        },
    )
    done = in_parts(
        parts,
        videos,
        PART,
        lambda group: decide_videos(store, group, embed, budgets, settings.similarity_threshold),
        "videos compared",
    )
    decided |= dict(zip(videos, done, strict=True))
    write_allocation(
        output, samples["sample_id"].tolist(), [decided[video] for video in samples["video"]], admissible=admissible
    )
    remove_parts(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True, help="curation/manifest.parquet")
    parser.add_argument("--store", type=Path, nargs="+", required=True, help="shards of the frame store")
    parser.add_argument("--dino", type=cli.json_of(DinoSettings), required=True, help="section budgets.dinov2, as JSON")
    parser.add_argument("--admissible", type=int, nargs="+", required=True, help="admissible budgets, in frames")
    parser.add_argument("--device", default="auto", help="auto, cuda or cpu")
    parser.add_argument("--threads", type=int, help="CPU threads; by default as many as torch takes")
    parser.add_argument("--output", type=Path, required=True, help="budgets/hybrid-dinov2.parquet")
    options = parser.parse_args()
    candidates(options.admissible, options.dino.frames)

    # Imported late, so that a wrong flag is told at once: torch and transformers take seconds.
    from workflow_scripts.predictors.embedding import FrameEmbedder
    from workflow_scripts.vlm.device import use_device

    embedder = FrameEmbedder(options.dino, device=use_device(options.device, options.threads))
    predict(options.manifest, options.store, options.dino, options.admissible, options.output, embedder)


if __name__ == "__main__":
    cli.run(main)
