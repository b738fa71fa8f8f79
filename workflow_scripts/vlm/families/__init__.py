"""Registry of model families: a new one is a module beside this file and a row here."""

from workflow_scripts.settings import InputError
from workflow_scripts.vlm.families.base import Family, Part, Prepared, TemporalPositions
from workflow_scripts.vlm.families.llava_1_5 import Llava15
from workflow_scripts.vlm.families.llava_next_video import LlavaNextVideo
from workflow_scripts.vlm.families.qwen2_5_vl import Qwen25VL
from workflow_scripts.vlm.families.qwen3_vl import Qwen3VL

FAMILIES: dict[str, Family] = {family.name: family for family in (Qwen25VL(), LlavaNextVideo(), Llava15(), Qwen3VL())}


def get_family(name: str) -> Family:
    """Find a family by its name in the settings.

    Raises:
        InputError: no such family.
    """
    if name not in FAMILIES:
        raise InputError(f"model family is {name!r}; expected one of {', '.join(FAMILIES)}")
    return FAMILIES[name]


__all__ = ["FAMILIES", "Family", "Part", "Prepared", "TemporalPositions", "get_family"]
