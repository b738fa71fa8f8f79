"""Rule `interpolate`: weights on the way from a base model to a run's, without training.

    python -m workflow_scripts.finetuning.interpolate --recipe '{"name": "full-half", "like": "full", ...}' \\
        --towards results/<study>/finetuning/full/.../seed-1 --output results/<study>/finetuning/full-half/.../seed-1

Every weight becomes base + w (tuned - base), computed in float32 and rounded to the run's precision; w is the recipe's
interpolation. Of a LoRA run the adapter is kept too, scaled by w: that is the same model. Writes what a run leaves:
`spec.yaml`, `model/`, `adapter/` for LoRA, and `summary.json` last.

Weights pass by in pieces of `PIECE` values, so that memory does not grow with the model. Base and run must hold tensors
of the same names and shapes; of whole numbers, the same values.
"""

import argparse
import json
import shutil
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from workflow_scripts.content.checksums import file_sha256
from workflow_scripts.finetuning import checkpoints
from workflow_scripts.finetuning.spec import (
    CheckedFile,
    Weights,
    find_weights,
    read_spec,
    weight_files,
    weight_folder,
)
from workflow_scripts.settings import InputError, RecipeSettings
from workflow_scripts.settings.cli import json_of, progress, run
from workflow_scripts.settings.files import atomic_path, write_json, write_yaml

PIECE = 1 << 24
ADAPTER = "adapter_model.safetensors"


class Tensors:
    """The tensors of a folder's safetensors files, read a piece at a time."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        """Raises InputError where the folder holds no whole set of weights."""
        names = weight_files(folder, f"folder {folder}")
        self.files = [folder / name for name in names if name.endswith(".safetensors")]
        self._open = {path: stack.enter_context(safe_open(path, framework="pt")) for path in self.files}
        self.place = {name: path for path, opened in self._open.items() for name in opened.offset_keys()}

    def pieces(self, name: str) -> Iterator[Tensor]:
        """A tensor in runs of rows, in order; a scalar whole."""
        piece = self._open[self.place[name]].get_slice(name)
        shape = piece.get_shape()
        if not shape:
            yield self._open[self.place[name]].get_tensor(name)
            return
        width = max(1, torch.Size(shape[1:]).numel())
        rows = max(1, PIECE // width)
        for start in range(0, shape[0], rows):
            yield piece[start : start + rows]

    def shape(self, name: str) -> tuple[int, ...]:
        """Of one tensor."""
        return tuple(self._open[self.place[name]].get_slice(name).get_shape())


def between(base: Tensor, tuned: Tensor, weight: float, where: str) -> Tensor:
    """base + weight (tuned - base) in tuned's precision. Raises InputError for whole numbers that differ."""
    if not tuned.is_floating_point():
        if not torch.equal(base, tuned):
            raise InputError(f"{where} holds whole numbers that fine-tuning changed; expected the base's")
        return tuned
    return torch.lerp(base.float(), tuned.float(), weight).to(tuned.dtype)


def interpolate_weights(base: Path, tuned: Path, output: Path, weight: float) -> int:
    """Write the folder `tuned` to `output`, with weights between those of both. Returns the number of tensors.

    Raises InputError where the two do not hold the same tensors.
    """
    with ExitStack() as stack:
        first, last = Tensors(base, stack), Tensors(tuned, stack)
        if odd := sorted(first.place.keys() ^ last.place.keys()):
            held = base if odd[0] in first.place else tuned
            raise InputError(f"tensor {odd[0]} is in {held} alone ({len(odd)} such); expected the same in base and run")
        for name in sorted(last.place):
            if first.shape(name) != last.shape(name):
                raise InputError(
                    f"tensor {name} is {first.shape(name)} in {base} and {last.shape(name)} in {tuned}; expected the "
                    "same shape"
                )
        weights = {path.name for path in last.files}
        shutil.copytree(tuned, output, ignore=lambda _, names: [name for name in names if name in weights])
        with progress(len(last.place), "tensors") as advance:
            for path in last.files:
                for _ in _write_like(path, output / path.name, first, last, weight):
                    advance()
    return len(last.place)


def _write_like(path: Path, target: Path, base: Tensors, tuned: Tensors, weight: float) -> Iterator[str]:
    """Write a safetensors file laid out as `path`: its header (length, then JSON with places), then each tensor."""
    with path.open("rb") as source:
        length = source.read(8)
        header = source.read(struct.unpack("<Q", length)[0])
    places = {name: entry for name, entry in json.loads(header).items() if name != "__metadata__"}
    with target.open("wb") as sink:
        sink.write(length + header)
        for name in sorted(places, key=lambda name: places[name]["data_offsets"]):
            for one, other in zip(base.pieces(name), tuned.pieces(name), strict=True):
                moved = between(one, other, weight, f"tensor {name}")
                sink.write(moved.reshape(-1).view(torch.uint8).numpy())
            yield name


def scale_adapter(adapter: Path, output: Path, weight: float) -> None:
    """Write a LoRA adapter whose product of matrices is `weight` times as large: its second ones are scaled."""
    shutil.copytree(adapter, output, ignore=shutil.ignore_patterns(ADAPTER))
    tensors = load_file(adapter / ADAPTER)
    if not any(".lora_B." in name for name in tensors):
        raise InputError(f"file {adapter / ADAPTER} holds no lora_B; expected a LoRA adapter")
    save_file(
        {name: value * weight if ".lora_B." in name else value for name, value in tensors.items()},
        output / ADAPTER,
        metadata={"format": "pt"},
    )


def interpolate(recipe: RecipeSettings, towards: Path, output: Path) -> None:
    """Write a run between the base and the run in the folder `towards`.

    Raises InputError where that run is of another recipe than the one this is like, or the base changed since.
    """
    began = time.perf_counter()
    spec = read_spec(towards / "spec.yaml")
    if recipe.interpolation is None or spec.recipe.name != recipe.like:
        raise InputError(
            f"file {towards / 'spec.yaml'} is of recipe {spec.recipe.name}; expected {recipe.like}, which "
            f"{recipe.name} is like"
        )
    if _tensor_files(find_weights(spec.model)) != _tensor_files(spec.weights):
        raise InputError(
            f"model {spec.model.name}: the weights in {spec.model.source} are not those that the run started from"
        )
    source = CheckedFile(path=str(towards / "spec.yaml"), sha256=file_sha256(towards / "spec.yaml"))
    own = spec.model_copy(update={"recipe": recipe, "towards": source})
    with atomic_path(output / "model") as partial:
        tensors = interpolate_weights(weight_folder(spec.model), towards / "model", partial, recipe.interpolation)
    if recipe.method == "lora":
        with atomic_path(output / "adapter") as partial:
            scale_adapter(towards / "adapter", partial, recipe.interpolation)
    write_yaml(own.model_dump(mode="json"), output / "spec.yaml")
    summary: dict[str, Any] = {
        "interpolation": recipe.interpolation,
        "towards": str(towards),
        # so that whoever reads this summary sees that the run was trained anew
        "towards_sha256": file_sha256(towards / "summary.json"),
        "tensors": tensors,
        "hours": round((time.perf_counter() - began) / 3600, 4),
        "gpus": 0,
        "nodes": 1,
        "gpu_hours": 0.0,
        "result_bytes": sum(checkpoints.size(output / name) for name in ("model", "adapter")),
        "versions": spec.versions,
    }
    write_json(summary, output / "summary.json")


def _tensor_files(weights: Weights) -> tuple[str | None, dict[str, str]]:
    """What says which tensors they are."""
    return weights.commit, {name: sum_ for name, sum_ in weights.sha256.items() if name.endswith(".safetensors")}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", type=json_of(RecipeSettings), required=True, help="RecipeSettings as JSON")
    parser.add_argument("--towards", type=Path, required=True, help="folder of the run that ends the way")
    parser.add_argument("--output", type=Path, required=True, help="the new run's folder")
    options = parser.parse_args(arguments)
    interpolate(options.recipe, options.towards, options.output)


if __name__ == "__main__":
    run(main)
