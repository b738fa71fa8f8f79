"""Rule `attention`: how much of what an answer looks at in a picture lies on the object that it is about.

    python -m workflow_scripts.analysis.attention --model '{"name": "qwen2.5-vl-7b", ...}' \\
        --settings '{"root": "data/RefCOCO"}' --output DIR

Each question is asked once, its answer given. The attention of the answer's tokens to the picture's tokens is averaged
over those tokens, over heads, and over the layers that the settings name, as weights, so that a head that hardly looks
at the picture hardly counts. A token's weight is spread evenly over the pixels that it shows.

Out: `shares.parquet`, a row a question and layer: question_id, layer (-1: the mean of the chosen ones), share (of the
attention to the picture, what lies in the object's box), even (the same if attention were spread evenly over the
picture's tokens), seen (attention to the picture, as a share of all attention); columns in SCHEMA. `pictures.npz`, of
the first questions: the picture uint8 [H, W, 3], the attention float32 [H, W] (1: as spread evenly), box and texts.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from workflow_scripts.analysis.boxes import Asked, Box, draw_questions
from workflow_scripts.settings import AttentionSettings, InputError, ModelSettings, cli
from workflow_scripts.settings.attention import layers_of
from workflow_scripts.settings.files import atomic_path, read_parquet, write_parquet

SHARES, PICTURES = "shares.parquet", "pictures.npz"
MEAN = -1
SCHEMA = pa.schema(
    [
        ("question_id", pa.string()),
        ("layer", pa.int32()),
        ("share", pa.float64()),
        ("even", pa.float64()),
        ("seen", pa.float64()),
    ]
)
Look = Callable[[Image.Image, str, str, str], Any]


def measure(asked: Sequence[Asked], look: Look, settings: AttentionSettings, output: Path) -> None:
    """Write both files. `look` gives vlm.observe.Seen of a picture, a question, its answer and beginning."""
    from workflow_scripts.vlm.observe import pixels

    rows: list[dict[str, Any]] = []
    pictures: dict[str, NDArray[Any]] = {}
    texts = []
    with cli.progress(len(asked), "pictures looked at") as advance:
        for number, one in enumerate(asked):
            seen = look(one.picture, one.question, one.answer, one.begins)
            chosen = layers_of(len(seen.weights), settings.layers)
            mean = seen.weights[chosen].mean(axis=0)
            for layer, weights in [(MEAN, mean), *enumerate(seen.weights)]:
                share, even = shares(weights, seen.boxes, one.box)
                rows.append(
                    {"question_id": one.question_id, "layer": layer, "share": share, "even": even}
                    | {"seen": float(weights.sum())}
                )
            if number < settings.pictures:
                width, height = one.picture.size
                drawn = pixels(mean, seen.boxes, width, height)
                pictures[f"picture_{number}"] = np.asarray(one.picture)
                pictures[f"attention_{number}"] = (drawn * drawn.size / drawn.sum()).astype(np.float32)
                pictures[f"box_{number}"] = np.array(one.box)
                texts.append(
                    {"question_id": one.question_id, "question": one.question, "answer": one.begins + one.answer}
                )
            advance()
    with atomic_path(output / PICTURES) as partial, partial.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, texts=np.array(json.dumps(texts)), **pictures)
    write_parquet(pa.Table.from_pandas(pd.DataFrame(rows), schema=SCHEMA, preserve_index=False), output / SHARES)


def shares(weights: NDArray[np.float64], boxes: NDArray[np.float64], box: Box) -> tuple[float, float]:
    """The share of the weights [tokens] that lies in a box, and that of weights spread evenly; both from 0 to 1.

    boxes [tokens, 4]: what each token shows; tokens without a place take no part.
    """
    from workflow_scripts.vlm.observe import inside

    part = inside(boxes, box)
    placed = ~np.isnan(part)
    return float((weights * part)[placed].sum() / weights[placed].sum()), float(part[placed].mean())


def read_shares(folder: Path) -> pd.DataFrame:
    """A row a question and layer; see the module. Raises InputError where the file is not one."""
    table: pd.DataFrame = read_parquet(folder / SHARES, SCHEMA.names)
    return table


def read_pictures(folder: Path) -> list[dict[str, Any]]:
    """The pictures of the first questions: picture, attention, box, question_id, question, answer."""
    path = folder / PICTURES
    if not path.is_file():
        raise InputError(f"file {path} is missing; expected the pictures of stage analysis, rule attention")
    with np.load(path, allow_pickle=False) as held:
        return [
            {"picture": held[f"picture_{at}"], "attention": held[f"attention_{at}"], "box": held[f"box_{at}"]} | told
            for at, told in enumerate(json.loads(str(held["texts"])))
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=cli.json_of(ModelSettings), required=True, help="the model, as JSON")
    parser.add_argument("--adapter", type=Path, help="folder of a LoRA adapter beside the model")
    parser.add_argument(
        "--settings", type=cli.json_of(AttentionSettings), required=True, help="section attention, as JSON"
    )
    parser.add_argument("--device", default="auto", help="auto, cuda or cpu")
    parser.add_argument("--threads", type=int, help="CPU threads; by default as many as torch takes")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where both files go")
    options = parser.parse_args()
    asked = draw_questions(options.settings)

    # Imported late, so that wrong files are told at once: torch and transformers take seconds.
    from workflow_scripts.vlm.device import use_device
    from workflow_scripts.vlm.load import load
    from workflow_scripts.vlm.observe import look

    device = use_device(options.device, options.threads)
    vlm = load(options.model, device=device, adapter=options.adapter, merge=False, spread=True)
    measure(asked, lambda *about: look(vlm, *about), options.settings, options.output)


if __name__ == "__main__":
    cli.run(main)
