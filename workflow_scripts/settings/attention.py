"""Which pictures attention is measured on, and over which layers."""

import re
import string

from pydantic import Field, field_validator

from .section import Section

SIDE = "side"
"""The field of a template that is no column: left or right, the half of the picture that the box's middle is in."""


class AttentionSettings(Section):
    """Questions about one object each, with its box, in Parquet files as the hub's datasets library writes them.

    `question`, `answer` and `begins` are templates: a field in braces is the row's column of that name, of a list its
    first entry; {side} is left or right, where the middle of the box lies.
    """

    root: str = Field("data/RefCOCO", description="Folder that holds the Parquet files.")
    repository: str = Field("lmms-lab/RefCOCO", description="Where they come from.")
    revision: str | None = Field(None, description="Commit of the repository. null: resources/pins.json's.")
    ready: str | None = Field(
        None, description="A file that exists once they are in place; the measurement waits. null: they are there."
    )
    pattern: str = Field(
        "data/testB-*.parquet", description="Which files of the repository hold the questions; all of them are fetched."
    )
    box: str = Field("bbox", description="Column of the object's box, four numbers in pixels of the picture.")
    box_corners: bool = Field(
        False, description="Whether a box is left, top, right, bottom. false: left, top, width, height, as COCO's are."
    )
    question: str = Field(
        "Is {answer} in the left or in the right half of the picture? Answer with one word.",
        description="The question, a template.",
    )
    answer: str = Field(
        "{side}", description="Its answer, a template: given, not generated; the attention is that of its tokens."
    )
    begins: str = Field(
        "", description="What the answer begins with, a template: said before it, and not counted as the answer."
    )
    questions: int = Field(500, ge=2, description="Questions to draw, each about a picture of its own.")
    seed: int = Field(0, ge=0, description="Seed of the draw.")
    layers: tuple[float, float] = Field(
        (0.0, 1.0),
        description="Layers of the language model whose attention is averaged: from which to which share of its depth.",
    )
    pictures: int = Field(2, ge=1, le=8, description="Questions whose attention is drawn, the first ones of the draw.")

    @field_validator("question", "answer", "begins")
    @classmethod
    def _template(cls, text: str) -> str:
        fields(text)
        return text

    @field_validator("layers")
    @classmethod
    def _depth(cls, layers: tuple[float, float]) -> tuple[float, float]:
        first, last = layers
        if not 0 <= first < last <= 1:
            raise ValueError(f"layers are {first:g} to {last:g}; expected a smaller and a larger number from 0 to 1")
        return layers


def fields(template: str) -> list[str]:
    """The names in braces. Raises ValueError where a template is none of plain names."""
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise ValueError(f"{template!r} is no template: {error}") from None
    if strange := [name for name in names if not re.fullmatch(r"\w+", name)]:
        raise ValueError(f"{template!r} holds {{{strange[0]}}}; expected names of columns in braces")
    return names


def layers_of(depth: int, layers: tuple[float, float]) -> range:
    """The layers, from 0, whose middle lies in a share of a model's depth; at least the nearest one."""
    found = [layer for layer in range(depth) if layers[0] <= (layer + 0.5) / depth <= layers[1]]
    if not found:
        middle = sum(layers) / 2 * depth
        found = [min(range(depth), key=lambda layer: abs(layer + 0.5 - middle))]
    return range(found[0], found[-1] + 1)
