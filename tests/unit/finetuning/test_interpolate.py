"""Weights between a base's and a run's, against the arithmetic on whole tensors."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from workflow_scripts.finetuning import interpolate
from workflow_scripts.finetuning.interpolate import interpolate_weights
from workflow_scripts.finetuning.spec import read_spec
from workflow_scripts.settings import InputError

Tensors = dict[str, torch.Tensor]


def tensors(seed: int, dtype: torch.dtype = torch.float32) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    shapes: dict[str, tuple[int, ...]] = {"a.weight": (33, 7), "b": (5,), "c.scale": (), "d": (4, 3, 2)}
    drawn = {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in shapes.items()}
    return {**drawn, "e.count": torch.arange(6)}


def sharded(folder: Path, held: Tensors, cut: int) -> Path:
    """Write them to two files with an index, the first `cut` names in the first."""
    folder.mkdir()
    (folder / "config.json").write_text(f'{{"name": "{folder.name}"}}')
    names, files = sorted(held), ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    place = {name: files[number >= cut] for number, name in enumerate(names)}
    for file in files:
        save_file({n: held[n] for n in names if place[n] == file}, folder / file, metadata={"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": place}))
    return folder


def whole(folder: Path, held: Tensors) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(f'{{"name": "{folder.name}"}}')
    save_file(held, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("piece", [1, 10, 1 << 24])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_weight_lies_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, dtype: torch.dtype
) -> None:
    """However the two are cut into files, and whatever the pieces."""
    monkeypatch.setattr(interpolate, "PIECE", piece)
    base, tuned = tensors(0, dtype), tensors(1, dtype)
    one, other = whole(tmp_path / "base", base), sharded(tmp_path / "tuned", tuned, 2)
    assert interpolate_weights(one, other, tmp_path / "out", 0.3) == 5
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == sorted(path.name for path in other.iterdir())
    weights = [tmp_path / "out" / name for name in files if name.endswith(".safetensors")]
    found = {name: value for path in weights for name, value in load_file(path).items()}
    assert found.keys() == tuned.keys()
    for name, value in tuned.items():
        expected = value
        if value.is_floating_point():
            expected = (0.7 * base[name].double() + 0.3 * value.double()).to(dtype)
        tolerance = 2e-2 if dtype == torch.bfloat16 else 1e-6
        torch.testing.assert_close(found[name], expected, rtol=tolerance, atol=tolerance)
        assert found[name].dtype == value.dtype
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == {"name": "tuned"}


def test_models_of_other_tensors_are_refused(tmp_path: Path) -> None:
    base = tensors(0)
    one = whole(tmp_path / "base", base)
    more = whole(tmp_path / "more", {**base, "z": torch.zeros(1)})
    with pytest.raises(InputError, match=r"tensor z is in .*more alone \(1 such\)"):
        interpolate_weights(one, more, tmp_path / "out", 0.5)
    other = whole(tmp_path / "other", {**base, "b": torch.zeros(6)})
    with pytest.raises(InputError, match=r"tensor b is \(5,\) in .*base and \(6,\) in .*other"):
        interpolate_weights(one, other, tmp_path / "out", 0.5)
    counted = whole(tmp_path / "counted", {**base, "e.count": torch.zeros(6, dtype=torch.int64)})
    with pytest.raises(InputError, match=r"tensor e.count holds whole numbers that fine-tuning changed"):
        interpolate_weights(one, counted, tmp_path / "out", 0.5)


LORA = {
    "method": "lora",
    "learning_rates": {"vision_tower": 0, "projector": 0, "language_model": 1e-2},
    "lora": {"rank": 4, "alpha": 8, "dropout": 0.0, "targets": ["q_proj", "v_proj"]},
    "epochs": 0.5,
}


def test_a_run_and_its_adapter_are_the_same_model(world: Any, run_train: Callable[..., Path], tmp_path: Path) -> None:
    """The scaled adapter's product of matrices is what was added to the base's weights."""
    run = run_train(**LORA)
    recipe = world.recipe(**LORA) | {"name": "half", "like": "small", "interpolation": 0.5}
    output = tmp_path / "half"
    interpolate.main(["--recipe", json.dumps(recipe), "--towards", str(run), "--output", str(output)])
    base = load_file(Path(world.model["source"]) / "model.safetensors")
    tuned, found = load_file(run / "model" / "model.safetensors"), load_file(output / "model" / "model.safetensors")
    moved = [name for name in base if not torch.equal(base[name], tuned[name])]
    assert moved
    for name in base:
        torch.testing.assert_close(found[name], (base[name] + tuned[name]) / 2, rtol=1e-5, atol=1e-6)
    adapter = load_file(output / "adapter" / "adapter_model.safetensors")
    layer = ".".join(moved[0].split(".")[-5:-1])
    down, up = (next(v for k, v in adapter.items() if f"lora_{side}" in k and layer in k) for side in "AB")
    torch.testing.assert_close(found[moved[0]], base[moved[0]] + 8 / 4 * up @ down, rtol=1e-5, atol=1e-6)

    spec = read_spec(output / "spec.yaml")
    assert spec.recipe.interpolation == 0.5
    assert spec.towards is not None
    assert spec.towards.path == str(run / "spec.yaml")
    assert spec.model_copy(update={"recipe": read_spec(run / "spec.yaml").recipe, "towards": None}) == read_spec(
        run / "spec.yaml"
    )
    assert "towards" not in yaml.safe_load((run / "spec.yaml").read_text())
    summary = json.loads((output / "summary.json").read_text())
    assert (summary["interpolation"], summary["tensors"], summary["gpus"]) == (0.5, len(base), 0)
    assert AutoModelForImageTextToText.from_pretrained(output / "model").config.model_type == "qwen2_5_vl"

    other = world.recipe(**LORA) | {"name": "half", "like": "another", "interpolation": 0.5}
    with pytest.raises(InputError, match="is of recipe small; expected another"):
        interpolate.main(["--recipe", json.dumps(other), "--towards", str(run), "--output", str(output)])
