"""The smoke study on SLURM, from drawing its world to the evaluation of one run."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from .conftest import PATIENCE, REPOSITORY, ROOT, SNAKEMAKE, field

SUBJECT = "full/qwen2.5-vl-7b/uniform-8/seed-1"
FILES = ["config.yaml", "presets/miniature.yaml", "presets/smoke.yaml", "tests/slurm/overlay.yaml"]


def test_the_smoke_study() -> None:
    folder = Path(ROOT) / "test_smoke"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "resources").symlink_to(REPOSITORY / "resources")
    scores = f"results/smoke/evaluation/tuned/{SUBJECT}/image/frames-1/scores.json"
    command: list[Any] = [*SNAKEMAKE, scores, "--snakefile", REPOSITORY / "Snakefile"]
    command += ["--profile", REPOSITORY / "profiles/slurm", "--retries", "0"]
    command += ["--default-resources", "slurm_partition=gpu", "mem_mb=8000", "runtime=60", "slurm_extra='--exclude=n3'"]
    command += ["--configfile", *(REPOSITORY / file for file in FILES)]
    done = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=6 * PATIENCE,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    assert json.loads((folder / scores).read_text())["rows"]
    rules = {}
    for job in (word.split()[0] for word in said.split("submitted with SLURM jobid ")[1:]):
        rules[field(job, "Comment").removeprefix("rule_").split("_wildcards")[0]] = field(job, "TresPerJob")
    assert {"world", "inventory", "manifest", "store", "spec", "train", "evaluate"} <= set(rules)
    assert {name for name, resources in rules.items() if resources == "gres:gpu:1"} == {"train", "evaluate"}
    summary = json.loads((folder / f"results/smoke/finetuning/{SUBJECT}/summary.json").read_text())
    assert (summary["samples"], summary["nodes"], summary["gpus"]) == (24, 1, 0)
    assert summary["checkpoint_bytes"] is None or summary["checkpoint_bytes"] > summary["result_bytes"]
