"""The pinned description of LLaVA-Video-178K: subsets, annotation files, formats, folder spellings, sources.

In: `resources/llava_video_178k.yaml`. Out: a validated, immutable `Registry`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from workflow_scripts.settings import InputError

Format = Literal["caption", "open_ended", "multiple_choice"]
FORMATS: tuple[Format, ...] = ("caption", "open_ended", "multiple_choice")
PATH = Path(__file__).parents[2] / "resources" / "llava_video_178k.yaml"


class Subset(BaseModel):
    """One folder of the data set."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    duration: str = Field(description="duration bin of every video in the subset, by the data set's own naming")
    folders: tuple[str, ...] = Field(min_length=1, description="accepted spellings of the folder")
    archives: int | None = Field(description="number of video archives; null where not known")
    annotations: dict[Format, tuple[str, ...]] = Field(description="accepted names of the annotation file, by format")


class Source(BaseModel):
    """One origin of videos, told by the path."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    corpus: str | None = Field(description="corpus of the data set's paper, where the path tells")
    prefixes: tuple[str, ...] = Field(min_length=1, description="starts of the record's `video`")
    examples: tuple[str, ...] = Field(min_length=1, description="paths that belong here")


class Registry(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    dataset: str
    subsets: dict[str, Subset]
    sources: dict[str, Source]

    def subset(self, name: str) -> str:
        """Canonical name of a subset given by either spelling; InputError where there is none."""
        for subset, entry in self.subsets.items():
            if name == subset or name in entry.folders:
                return subset
        raise InputError(f"subset {name!r} is unknown; expected one of {', '.join(self.subsets)}")


@cache
def registry() -> Registry:
    """The registry shipped with the workflow."""
    return Registry.model_validate(yaml.safe_load(PATH.read_text(encoding="utf-8")))
