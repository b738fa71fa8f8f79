"""Rule ``miniature.boxes``: questions about one object each of drawn stills, with the object's true box.

One row a still of two to four objects: ``question``; what its answer ``begins`` with, in the words of instruction data,
and ``answer``, the colour or pattern in it; ``bbox`` (left, top, width, height in pixels, as COCO has it); ``image``.
Seeds start at 50,000,000; no other scene of the project is drawn from them. Beside the output file:
``boxes/data/test-00000-of-00001.parquet``.

``python -m workflow_scripts.miniature.boxes --settings '{...}' --output results/<study>/miniature/boxes.json``
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from workflow_scripts.miniature.question import Question
from workflow_scripts.miniature.questions import image_questions
from workflow_scripts.miniature.render import object_box
from workflow_scripts.miniature.scene import SIDE, STYLES, Scene, Thing, draw_image_scene
from workflow_scripts.miniature.tables import image_cell
from workflow_scripts.settings import MiniatureSettings, cli
from workflow_scripts.settings.files import write_json, write_parquet

FIRST_SEED = 50_000_000
ABILITIES = ("color", "pattern")
SCHEMA = pa.schema(
    [
        ("question_id", pa.string()),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("question", pa.string()),
        ("begins", pa.string()),
        ("answer", pa.string()),
        ("bbox", pa.list_(pa.float32())),
    ]
)


def asked_about(scene: Scene) -> Iterator[tuple[Question, Thing]]:
    """The questions that name one object by its colour or pattern and ask for the other, with the object."""
    for question in image_questions(scene):
        if question.ability not in ABILITIES or question.is_yes_no:
            continue
        named = "pattern" if question.ability == "color" else "color"
        [thing] = [
            one
            for one in scene.things
            if getattr(one, question.ability) == question.answer and f" {getattr(one, named)} object" in question.text
        ]
        yield question, thing


def clipped_box(thing: Thing) -> list[float]:
    """Left, top, width and height of the part of an object that is in the picture."""
    left, top, right, bottom = object_box(thing)
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, SIDE), min(bottom, SIDE)
    return [left, top, right - left, bottom - top]


def rows(settings: MiniatureSettings) -> list[dict[str, Any]]:
    """``settings.boxes`` rows, one a still; colours and patterns are asked for in turn."""
    found: list[dict[str, Any]] = []
    taken: Counter[str] = Counter()
    seed = FIRST_SEED + settings.seed
    while len(found) < settings.boxes:
        scene = draw_image_scene(seed)
        seed += 1
        # Where the camera shakes, an object is not where its box is.
        if len(scene.things) < 2 or STYLES[scene.source].shake:
            continue
        choices = sorted(asked_about(scene), key=lambda pair: taken[pair[0].ability])
        if not choices:
            continue
        question, thing = choices[0]
        taken[question.ability] += 1
        begins, _, _ = question.claim.partition(" {}")
        found.append(
            {
                "question_id": f"{scene.seed}",
                "image": {**image_cell(scene), "path": f"{scene.seed}.png"},
                "question": question.text,
                "begins": begins,
                "answer": f" {question.answer}",
                "bbox": clipped_box(thing),
            }
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", type=cli.json_of(MiniatureSettings), required=True, help="section miniature")
    parser.add_argument("--output", type=Path, required=True)
    args = parser.parse_args()
    table = pa.Table.from_pylist(rows(args.settings), schema=SCHEMA)
    write_parquet(table, args.output.parent / "boxes" / "data" / "test-00000-of-00001.parquet")
    write_json({"questions": table.num_rows}, args.output)


if __name__ == "__main__":
    cli.run(main)
