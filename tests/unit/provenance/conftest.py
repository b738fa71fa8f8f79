"""A small study of four jobs, with its files and their records."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.provenance.records import Code, File, Record, Run, record_path
from workflow_scripts.settings.files import write_json

ROOT = "results/tiny"
JOBS = {
    "draw": ((), ("curation/manifest.csv",)),
    "train": (("curation/manifest.csv",), ("finetuning/model/config.json", "finetuning/summary.json")),
    "score": (("finetuning/model/config.json",), ("analysis/scores.csv",)),
    "plot": (("analysis/scores.csv", "curation/manifest.csv"), ("figures/plot.png", "figures/plot.csv")),
}
"""Inputs and outputs of each rule, in an order that is not that of any sort."""


def state(folder: Path, name: str) -> File:
    """A file of the study as it is."""
    path = folder / name
    found = path.stat()
    return File(
        path=f"{ROOT}/{name}",
        bytes=found.st_size,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        mtime_ns=found.st_mtime_ns,
    )


def run(**changes: Any) -> Run:
    """What a process knew."""
    known = {
        "started": "2026-01-01T00:00:00+00:00",
        "ended": "2026-01-01T00:01:00+00:00",
        "wall_s": 60.0,
        "cpu_s": 50.0,
        "peak_memory_mb": 100.0,
        "processes": 1,
        "host": "node",
        "system": "Linux",
        "processor": "a CPU",
        "cores": 2,
        "memory_gb": 8.0,
        "gpus": (),
        "slurm": {},
        "python": "3.11.2",
        "packages": {"numpy": "2.4.6"},
        "commit": "c" * 40,
        "changed": (),
        "unplanned": (),
        "identity": None,
        "earlier": (),
    }
    return Run(**{**known, **changes})


def record(folder: Path, rule: str, **changes: Any) -> Record:
    """The record of a rule's job on the files as they are."""
    inputs, outputs = JOBS[rule]
    beside = ("finetuning/model/model.safetensors",) if rule == "train" else ()
    known = {
        "format": 1,
        "study": "tiny",
        "root": ROOT,
        "rule": rule,
        "wildcards": {},
        "command": f"python -m workflow_scripts.{rule}",
        "settings": {"seed": 1},
        "code": Code(digest="d" * 64, modules={f"workflow_scripts.{rule}": "a" * 12}, packages={"numpy": "2.4.6"}),
        "inputs": tuple(state(folder, name) for name in inputs),
        "outputs": tuple(state(folder, name) for name in outputs),
        "beside": tuple(state(folder, name) for name in beside),
        "used": {},
        "sources": (),
        "started": "2026-01-01T00:00:00+00:00",
        "ended": "2026-01-01T00:01:00+00:00",
        "peak_memory_mb": None,
        "run": run(identity=rule if rule == "plot" else None),
        "kept": False,
        "snakemake": {},
    }
    return Record(**{**known, **changes})


def write(folder: Path, one: Record) -> None:
    """Put a record in its place."""
    write_json(one.model_dump(mode="json"), record_path(folder, ROOT, one.key))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The study's folder."""
    folder = tmp_path / "elsewhere"
    for name in [*(name for _, outputs in JOBS.values() for name in outputs), "finetuning/model/model.safetensors"]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"content of {name}")
    for rule in JOBS:
        write(folder, record(folder, rule))
    return folder


@pytest.fixture
def recorded(study: Path) -> Callable[..., Record]:
    """Record a rule's job again, on the files as they are, with changes."""

    def again(rule: str, **changes: Any) -> Record:
        one = record(study, rule, **changes)
        write(study, one)
        return one

    return again
