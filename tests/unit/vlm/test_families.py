"""A new family is one file and one row."""

import copy
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from workflow_scripts.settings import InputError, ModelSettings, load_study
from workflow_scripts.settings.context import visual_tokens as planned_tokens
from workflow_scripts.settings.families import FAMILIES
from workflow_scripts.settings.paper import PAPER
from workflow_scripts.vlm import families
from workflow_scripts.vlm.conversation import Example
from workflow_scripts.vlm.encode import collate, encode, visual_tokens
from workflow_scripts.vlm.generate import generate
from workflow_scripts.vlm.load import load
from workflow_scripts.vlm.parts import parts

from .conftest import DIALOGUE, clip, examples

FILE = '''
"""Another-VL: Qwen2.5-VL that is told the time of its first frame."""

from dataclasses import replace

from workflow_scripts.vlm.families.qwen2_5_vl import Qwen25VL


class AnotherVL(Qwen25VL):
    def prepare_clip(self, vlm, clip):
        start = "<|vision_start|>"
        return replace(super().prepare_clip(vlm, clip), substitutions={start: f"{clip.timestamps_s[0]:.0f} s {start}"})
'''


def test_a_family_is_one_file_and_one_row(
    settings_of: Callable[[str], ModelSettings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "another_vl.py").write_text(FILE)
    monkeypatch.setattr(families, "__path__", [*families.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, f"{families.__name__}.another_vl", raising=False)
    monkeypatch.setitem(FAMILIES, "another-vl", replace(FAMILIES["qwen2.5-vl"], adapter="another_vl:AnotherVL"))

    config = copy.deepcopy(PAPER)
    config["models"]["another-vl-1b"] = {
        **settings_of("qwen2.5-vl").model_dump(exclude={"name"}),
        "family": "another-vl",
    }
    config["experiments"] = [
        {**entry, "models": ["another-vl-1b"]} for entry in config["experiments"] if entry["figure"] == "frames"
    ]
    settings = load_study(config).models["another-vl-1b"]

    vlm = load(settings)
    assert type(vlm.family).__name__ == "AnotherVL"
    encoded = encode(vlm, Example(DIALOGUE[:2], clip(8)), supervise=True)
    assert "0 s <|vision_start|>" in vlm.tokenizer.decode(encoded["input_ids"])
    assert visual_tokens(encoded) == planned_tokens(settings, 8, 4096)
    with torch.no_grad():
        loss = vlm.model(**collate(vlm, [encode(vlm, example, supervise=True) for example in examples()])).loss
    assert torch.isfinite(loss)
    assert len(generate(vlm, [Example(DIALOGUE[:1], clip(8))], max_new_tokens=2)) == 1
    assert all(parts(vlm).values())


def test_without_its_row_a_family_is_refused(settings_of: Callable[[str], ModelSettings]) -> None:
    with pytest.raises(ValueError, match=f"is 'another-vl'; expected one of {', '.join(map(repr, FAMILIES))}"):
        ModelSettings(**{**settings_of("qwen2.5-vl").model_dump(), "family": "another-vl"})
    with pytest.raises(InputError, match=f"is 'another-vl'; expected one of {', '.join(FAMILIES)}"):
        families.get_family("another-vl")


def test_every_row_has_its_adapter() -> None:
    for name in FAMILIES:
        assert families.get_family(name).placeholders
