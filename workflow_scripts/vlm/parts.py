"""The three parts of every model that a recipe can train at its own rate."""

from torch.nn import Parameter

from workflow_scripts.settings import InputError
from workflow_scripts.vlm.families import Part
from workflow_scripts.vlm.load import VLM


def parts(vlm: VLM) -> dict[Part, list[tuple[str, Parameter]]]:
    """Split all parameters of a model into vision tower, projector and language model.

    Names are matched by whole dotted components anywhere, so that wrapped (PEFT, DeepSpeed) models split the same way.

    Raises:
        InputError: a parameter belongs to no part.
    """
    found: dict[Part, list[tuple[str, Parameter]]] = {"vision_tower": [], "projector": [], "language_model": []}
    for name, parameter in vlm.model.named_parameters():
        found[part_of(vlm, name)].append((name, parameter))
    return found


def part_of(vlm: VLM, name: str) -> Part:
    """Say which part a parameter belongs to; the first matching row of the family's table counts.

    Raises:
        InputError: none matches.
    """
    dotted = f".{name}."
    for piece, part in vlm.family.part_names.items():
        if f".{piece}." in dotted:
            return part
    raise InputError(f"model {vlm.settings.name}: parameter {name} belongs to no part of family {vlm.settings.family}")
