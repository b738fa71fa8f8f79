"""Rule `spec`: the whole run, resolved and checked, as `spec.yaml`.

    python -m workflow_scripts.finetuning.spec --study paper --recipe '{"name": "full", ...}' --model '{"name": ...}' \\
        --allocation uniform-8 --seed 0 --manifest manifest.parquet --budgets uniform-8.parquet \\
        --store frames/shard-*.arrow --output spec.yaml

All that can be known to be wrong before a model is loaded is refused here. The file's checksum keys the run's
checkpoints, so whatever changes the run changes the file.
"""

import argparse
import hashlib
import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, SerializerFunctionWrapHandler, ValidationError, model_serializer

from workflow_scripts.content.cache import cached_snapshot
from workflow_scripts.content.checksums import file_sha256, loaded_files
from workflow_scripts.curation.images import ImageStore, read_images, store_of
from workflow_scripts.finetuning.kernels import check_kernels, kernel_packages
from workflow_scripts.finetuning.samples import quarantined_videos, read_samples, split_quarantined
from workflow_scripts.frames.store import FrameStore
from workflow_scripts.settings import InputError, ModelSettings, RecipeSettings, Section
from workflow_scripts.settings.cli import json_of, run
from workflow_scripts.settings.files import write_yaml

PACKAGES = ("torch", "torchvision", "transformers", "accelerate", "peft", "deepspeed", "tokenizers", "numpy", "pillow")


class CheckedFile(Section):
    """A file the run reads, with its content's checksum."""

    path: str = Field(description="Path as given.")
    sha256: str = Field(description="Checksum of the content.")


class StoreFile(Section):
    """A shard of the frame store. Its content is not read for a checksum: a store may hold hundreds of gigabytes."""

    path: str = Field(description="Path as given.")
    bytes: int = Field(description="Size of the file.")
    videos: int = Field(description="Number of videos in it.")
    videos_sha256: str = Field(description="Checksum of the sorted list of its videos.")


class Weights(Section):
    """The weights the run starts from."""

    commit: str | None = Field(description="Commit of the hub's repository; null for a local folder.")
    sha256: dict[str, str] = Field(
        description="Checksums of a local folder's weights, settings, tokenizer and template; empty for a commit."
    )


class RunSpec(Section):
    """One run: recipe x model x allocation x seed on given data."""

    study: str = Field(description="Name of the study.")
    recipe: RecipeSettings = Field(description="How the run trains.")
    model: ModelSettings = Field(description="The base model.")
    weights: Weights = Field(description="The base model's weights.")
    allocation: str = Field(description="The rule that gave each sample its budget.")
    seed: int = Field(description="Seed of data order, adapters and dropout.")
    manifest: CheckedFile = Field(description="The samples.")
    budgets: CheckedFile = Field(description="The allocation.")
    frames: tuple[StoreFile, ...] = Field(description="The frame store.")
    images: CheckedFile | None = Field(
        None, description="Image conversations, with checksums of their pictures. Left out where there are none."
    )
    towards: CheckedFile | None = Field(
        None,
        description="Specification of the run towards whose weights the base's were moved. Left out where it trained.",
    )
    samples: int = Field(description="Samples the run learns from.")
    left_out: dict[str, int] = Field(description="Samples left out, by quarantined video.")
    steps: int = Field(description="Optimizer steps.")
    versions: dict[str, str] = Field(description="Versions of the packages that compute.")

    @model_serializer(mode="wrap")
    def _without_what_is_not_there(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = dump(self)
        return {key: value for key, value in dumped.items() if value is not None or key not in ("images", "towards")}


def resolve(
    *,
    study: str,
    recipe: RecipeSettings,
    model: ModelSettings,
    allocation: str,
    seed: int,
    manifest: Path,
    budgets: Path,
    store: Sequence[Path],
    images: Path | None = None,
) -> RunSpec:
    """The run's specification.

    Raises InputError for missing weights or kernels, and for data that does not fit together or the recipe.
    """
    if recipe.needs_images != (images is not None):
        raise InputError(
            f"--images is {images}; expected {'a table' if recipe.needs_images else 'none'} for recipe {recipe.name}"
        )
    check_kernels(recipe, model)
    weights = find_weights(model)
    samples, left_out = split_quarantined(
        read_samples(manifest, budgets), FrameStore(store).videos, quarantined_videos(store)
    )
    return RunSpec(
        study=study,
        recipe=recipe,
        model=model,
        weights=weights,
        allocation=allocation,
        seed=seed,
        manifest=CheckedFile(path=str(manifest), sha256=file_sha256(manifest)),
        budgets=CheckedFile(path=str(budgets), sha256=file_sha256(budgets)),
        frames=tuple(_describe_shard(shard) for shard in store),
        images=None if images is None else _describe_images(images),
        samples=len(samples),
        left_out=left_out,
        steps=optimizer_steps(len(samples), recipe),
        versions=installed_versions(recipe),
    )


def read_spec(path: Path) -> RunSpec:
    """The specification in a file; InputError if it is none."""
    if not path.is_file():
        raise InputError(f"file {path} is missing; expected a run's spec.yaml")
    try:
        return RunSpec.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (ValidationError, yaml.YAMLError) as error:
        raise InputError(f"file {path} is not a run's specification: {' '.join(str(error).split())}") from None


def check_unchanged(spec: RunSpec, store: Sequence[Path]) -> None:
    """Raise InputError if what the specification was resolved from is not what is there now."""
    for file in (spec.manifest, spec.budgets, *([spec.images] if spec.images is not None else [])):
        if file_sha256(Path(file.path)) != file.sha256:
            raise InputError(f"file {file.path} changed since spec.yaml was written; write spec.yaml again")
    if [shard.path for shard in spec.frames] != [str(shard) for shard in store]:
        raise InputError(
            f"--store names {', '.join(map(str, store))}; expected the shards of spec.yaml, "
            f"{', '.join(shard.path for shard in spec.frames)}"
        )
    for shard in spec.frames:
        if _describe_shard(Path(shard.path)) != shard:
            raise InputError(f"file {shard.path} changed since spec.yaml was written; write spec.yaml again")
    if find_weights(spec.model) != spec.weights:
        raise InputError(f"model {spec.model.name}: the weights in {spec.model.source} are not those of spec.yaml")
    for package, version in installed_versions(spec.recipe).items():
        if spec.versions.get(package) != version:
            raise InputError(
                f"{package} is {version} here; expected {spec.versions.get(package)}, the version in spec.yaml"
            )


def find_weights(model: ModelSettings) -> Weights:
    """The model's weights on this machine; nothing is downloaded.

    Raises InputError if the local folder, or the hub's snapshot in the local cache, lacks config.json or safetensors.
    """
    local = Path(model.source)
    if local.is_dir():
        files = weight_files(local, f"model {model.name}: folder {local}")
        files += [path.name for path in loaded_files(local) if path.suffix != ".safetensors" and path.name not in files]
        return Weights(commit=None, sha256={name: file_sha256(local / name) for name in files})
    where = f"model {model.name}: source {model.source}"
    if local.is_absolute() or model.source.count("/") != 1:
        raise InputError(
            f"{where} is not a folder on this machine; expected a folder with config.json and safetensors: "
            "snakemake --cores 1 fetch_models brings a study's models"
        )
    snapshot = cached_snapshot(model.source, model.revision)
    if snapshot is None:
        raise InputError(
            f"{where} at revision {model.revision or 'main'} is neither a folder nor in the local Hugging Face cache; "
            f"expected it there: snakemake --cores 1 fetch_models, or hf download {model.source}"
            + (f" --revision {model.revision}" if model.revision else "")
        )
    weight_files(snapshot, where)
    return Weights(commit=snapshot.name, sha256={})


def weight_folder(model: ModelSettings) -> Path:
    """Where the weights lie that `find_weights` finds. Raises InputError as it does."""
    weights = find_weights(model)
    if weights.commit is None:
        return Path(model.source)
    folder = cached_snapshot(model.source, weights.commit)
    assert folder is not None
    return folder


def weight_files(folder: Path, where: str) -> list[str]:
    """Names of config.json and the weights in a folder; InputError if one is missing."""
    names = ["config.json"]
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names += [index.name, *sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    else:
        names += sorted(path.name for path in folder.glob("*.safetensors")) or ["model.safetensors"]
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise InputError(f"{where} has no {missing[0]}; expected config.json and all safetensors files")
    return names


def _describe_shard(shard: Path) -> StoreFile:
    videos = sorted(FrameStore([shard]).videos)
    digest = hashlib.sha256("\n".join(videos).encode()).hexdigest()
    return StoreFile(path=str(shard), bytes=shard.stat().st_size, videos=len(videos), videos_sha256=digest)


def _describe_images(table: Path) -> CheckedFile:
    stored = ImageStore(store_of(table)).images
    if lacking := sorted(set(read_images(table)["image_id"]) - stored):
        raise InputError(
            f"file {store_of(table)} lacks picture {lacking[0]} ({len(lacking)} such); expected all of {table}"
        )
    return CheckedFile(path=str(table), sha256=file_sha256(table))


def optimizer_steps(samples: int, recipe: RecipeSettings) -> int:
    """Steps of a run; each epoch ends with a step of what is left."""
    whole, broken = divmod(round(recipe.epochs * samples), samples)
    return whole * -(-samples // recipe.batch_size) + -(-broken // recipe.batch_size)


def installed_versions(recipe: RecipeSettings) -> dict[str, str]:
    """Versions of the packages that decide what a run computes."""
    return {package: importlib.metadata.version(package) for package in (*PACKAGES, *kernel_packages(recipe))}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", required=True, help="name of the study")
    parser.add_argument("--recipe", type=json_of(RecipeSettings), required=True, help="RecipeSettings as JSON")
    parser.add_argument("--model", type=json_of(ModelSettings), required=True, help="ModelSettings as JSON")
    parser.add_argument("--allocation", required=True, help="name of the allocation")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--manifest", type=Path, required=True, help="curation/manifest.parquet")
    parser.add_argument("--budgets", type=Path, required=True, help="budgets/<allocation>.parquet")
    parser.add_argument("--store", type=Path, nargs="+", required=True, help="frames/shard-*.arrow")
    parser.add_argument("--images", type=Path, help="curation/images.parquet, for recipes that need it")
    parser.add_argument("--output", type=Path, required=True, help="the run's spec.yaml")
    options: dict[str, Any] = vars(parser.parse_args(arguments))
    output = options.pop("output")
    write_yaml(resolve(**options).model_dump(mode="json"), output)


if __name__ == "__main__":
    run(main)
