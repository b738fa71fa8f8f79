"""Rule ``miniature.images``: conversations about drawn stills, laid out as LLaVA-NeXT-Data's Parquet files.

Questions are of the kinds that the image benchmarks ask, in the words of instruction data. Seeds start at 40,000,000;
no other scene of the project is drawn from them. Beside the output file: ``images/data/train-*.parquet``.

``python -m workflow_scripts.miniature.images --settings '{...}' --output results/<study>/miniature/images.json``
"""

from __future__ import annotations

import argparse
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from workflow_scripts.miniature.questions import image_questions
from workflow_scripts.miniature.records import Exchange, conversations, image_exchanges, multiple_choice, open_ended
from workflow_scripts.miniature.scene import Scene, draw_image_scene
from workflow_scripts.miniature.tables import image_cell
from workflow_scripts.settings import MiniatureSettings, cli
from workflow_scripts.settings.files import write_json, write_parquet

FIRST_SEED = 40_000_000
FILES = 2
MOST_TURNS = 4
BROKEN_EVERY = 100
TURN = pa.struct([("from", pa.string()), ("value", pa.string())])
SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("conversations", pa.list_(TURN)),
        ("data_source", pa.string()),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    ]
)
Cell = dict[str, Any]
BREAKAGES: tuple[Callable[[Cell], Cell | None], ...] = (
    lambda cell: {**cell, "bytes": cell["bytes"][: len(cell["bytes"]) // 3]},
    lambda cell: {**cell, "bytes": b""},
    lambda cell: {**cell, "bytes": b"This image is not available."},
    lambda cell: None,
)


def exchanges(scene: Scene) -> tuple[str, list[Exchange]]:
    """What is said about a still, and its kind: a caption, or one to ``MOST_TURNS`` questions of one format.

    Of the open-ended questions three in ten are asked as yes/no questions, as often answered yes as no.
    """
    rng = random.Random(f"image-conversation-{scene.seed}")
    kind = rng.choice(("caption", "open_ended", "open_ended", "multiple_choice", "multiple_choice"))
    if kind == "caption":
        return kind, image_exchanges(scene, "caption", 1)
    questions = image_questions(scene)
    turns = rng.randint(1, MOST_TURNS)
    if kind == "multiple_choice":
        questions = [question for question in questions if not question.is_yes_no][:turns]
        return kind, [multiple_choice(question, rng.random() < 0.5) for question in questions]
    questions = [
        question.as_yes_no(rng.random() < 0.5, rng) if question.check and rng.random() < 0.3 else question
        for question in questions
    ]
    return kind, [open_ended(question) for question in questions[:turns]]


def rows(settings: MiniatureSettings) -> list[dict[str, Any]]:
    """All records; every ``BROKEN_EVERY``-th is damaged, or has no picture at all."""
    found = []
    for number in range(settings.images):
        scene = draw_image_scene(FIRST_SEED + settings.seed + number)
        kind, said = exchanges(scene)
        cell: Cell | None = {**image_cell(scene), "path": f"{scene.seed}.png"}
        if cell is not None and number % BROKEN_EVERY == BROKEN_EVERY - 1:
            cell = BREAKAGES[number // BROKEN_EVERY % len(BREAKAGES)](cell)
        found.append(
            {
                "id": f"{scene.seed}",
                "conversations": conversations(said),
                "data_source": f"{scene.source}_{kind}",
                "image": cell,
            }
        )
    return found


def write_images(settings: MiniatureSettings, folder: Path) -> dict[str, int]:
    """Write ``images/`` into ``folder``, anew. Returns counts of what was written."""
    drawn = rows(settings)
    if (folder / "images").exists():
        shutil.rmtree(folder / "images")
    for number in range(FILES):
        table = pa.Table.from_pylist(drawn[number::FILES], schema=SCHEMA)
        write_parquet(table, folder / "images" / "data" / f"train-{number:05d}-of-{FILES:05d}.parquet")
    return {"images": len(drawn), "broken": len(drawn) // BROKEN_EVERY, "files": FILES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=cli.json_of(MiniatureSettings), required=True, help="section miniature")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    write_json(write_images(args.settings, args.output.parent), args.output)


if __name__ == "__main__":
    cli.run(main)
