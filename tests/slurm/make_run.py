"""Files of a run of 48 steps on plain-coloured clips: what the rule `train` reads, where it looks for it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).parents[2]
EPOCHS = 8
TOUCHED = 1_700_000_000


def make(folder: Path, results: str, run: str, **changes: object) -> None:
    """Write manifest, budgets, store, base model and spec.yaml below `folder`, and the overlay that goes with them."""
    from tests.unit.finetuning import conftest as small

    class Folder:
        def mktemp(self, name: str) -> Path:
            (folder / "world").mkdir(parents=True)
            return folder / "world"

    world = small.world.__wrapped__(Folder())
    for source, target in (
        (world.manifest, "curation/manifest.parquet"),
        (world.budgets, "budgets/uniform-8.parquet"),
        (world.store, "frames/shard-0.arrow"),
        (world.store.with_name("shard-0.quarantine.csv"), "frames/shard-0.quarantine.csv"),
    ):
        (folder / results / target).parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, folder / results / target)
    model = {**world.model, "source": str((folder / "world" / "base").resolve())}
    recipe = world.recipe(epochs=EPOCHS, name="full", **changes)
    write_spec(folder, results, run, model, recipe)
    del model["name"], recipe["name"]
    overlay = {
        "study": "faults",
        "frames": {"shards": 1},
        "models": {"qwen2.5-vl-7b": model},
        "recipes": {"full": recipe},
        "compute": {"gpu_memory_gb": 80, "checkpoint_minutes": 0.01},
        "experiments": [
            {
                "figure": "frames",
                "recipe": "full",
                "models": ["qwen2.5-vl-7b"],
                "allocations": ["uniform-8"],
                "seeds": [1],
                "suites": ["image"],
                "eval_frames": [8],
            }
        ],
    }
    (folder / "overlay.yaml").write_text(yaml.safe_dump(overlay))
    stored = ("frames/shard-0.arrow", "frames/shard-0.quarantine.csv")
    made = ("curation/manifest.parquet", "budgets/uniform-8.parquet", *stored)
    put_on_record(folder, [*(f"{results}/{name}" for name in made), f"{run}/spec.yaml"])


def put_on_record(folder: Path, files: list[str]) -> None:
    """Let Snakemake know the files that it did not make, or it would not go on from them."""
    rules = [f"rule:\n    output: {name!r}\n    shell: 'false'\n" for name in files]
    (folder / "made.smk").write_text("\n".join(rules))
    command = [sys.executable, "-m", "snakemake", "--snakefile", "made.smk", "--cores", "1", "--touch", "--force"]
    subprocess.run([*command, *files], cwd=folder, check=True)
    for name in files:  # touched in any order, and one that is older than what it is made of would be made again
        os.utime(folder / name, (TOUCHED, TOUCHED))


def write_spec(folder: Path, results: str, run: str, model: dict[str, object], recipe: dict[str, object]) -> None:
    """Run the rule `spec` in `folder`."""
    command = [sys.executable, "-m", "workflow_scripts.finetuning.spec", "--study", "faults"]
    command += ["--recipe", json.dumps(recipe), "--model", json.dumps(model), "--allocation", "uniform-8"]
    command += ["--seed", "1", "--manifest", f"{results}/curation/manifest.parquet"]
    command += ["--budgets", f"{results}/budgets/uniform-8.parquet", "--store", f"{results}/frames/shard-0.arrow"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "--output", f"{run}/spec.yaml"], cwd=folder, check=True, env=environment)
