"""Adapters of model families: a module each, named by its row in the registry, `settings/families.py`."""

from functools import cache
from importlib import import_module

from workflow_scripts.settings import InputError
from workflow_scripts.settings.families import FAMILIES
from workflow_scripts.vlm.families.base import Family, Part, Prepared


def get_family(name: str) -> Family:
    """Find a family's adapter by its name in the settings.

    Raises:
        InputError: no such family.
    """
    if name not in FAMILIES:
        raise InputError(f"model family is {name!r}; expected one of {', '.join(FAMILIES)}")
    return _adapter(FAMILIES[name].adapter)


@cache
def _adapter(place: str) -> Family:
    module, _, kind = place.partition(":")
    family: Family = getattr(import_module(f"{__name__}.{module}"), kind)()
    return family


__all__ = ["Family", "Part", "Prepared", "get_family"]
