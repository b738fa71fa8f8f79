"""Kernels that are not installed are refused where a run is described, and again where it starts."""

from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.finetuning.arguments import training_arguments
from workflow_scripts.finetuning.kernels import check_kernels
from workflow_scripts.finetuning.spec import read_spec
from workflow_scripts.settings import InputError, ModelSettings, RecipeSettings


@pytest.mark.parametrize(
    ("setting", "package"),
    [({"attention": "flash_attention_2"}, "flash-attn"), ({"fused_kernels": True}, "liger-kernel")],
)
def test_an_absent_package_is_named(world: Any, tmp_path: Path, setting: dict[str, Any], package: str) -> None:
    (key,) = setting
    with pytest.raises(InputError, match=rf"recipes.small.{key} is .*, but the package {package} is not installed"):
        world.spec(tmp_path, **setting)
    spec = read_spec(world.spec(tmp_path))
    started = spec.model_copy(update={"recipe": spec.recipe.model_copy(update=setting)})
    with pytest.raises(InputError, match=package):
        training_arguments(started, tmp_path, processes=1, workers=0)


def test_flash_attention_is_refused_in_float32(world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "flash_attn.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    recipe = RecipeSettings(name="r", attention="flash_attention_2")
    with pytest.raises(InputError, match=r"recipes.r.attention .*precision is float32; expected bfloat16"):
        check_kernels(recipe, ModelSettings(**world.model))
    check_kernels(recipe, ModelSettings(**{**world.model, "precision": "bfloat16"}))
