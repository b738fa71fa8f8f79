"""A small study of four jobs, with its files and their records."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.provenance import audit
from workflow_scripts.provenance.closure import Code as Closure
from workflow_scripts.provenance.records import Code, File, Record, Run, Source, files_digest, record_path
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


def weights(folder: Path) -> Source:
    """Base weights, as they are."""
    files = tuple(
        File(path=path.name, bytes=1, sha256=state(folder, path.name).sha256, mtime_ns=0)
        for path in sorted(folder.iterdir())
    )
    return Source(
        kind="weights",
        name="base",
        place=str(folder),
        revision=None,
        count=len(files),
        sha256=files_digest((file.sha256, file.path) for file in files),
        listed_in=None,
        files=files,
    )


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


class Here:
    """The repository's code as the records have it, but for what a test changes."""

    changed: dict[str, str] = {}

    def code(self, module: str) -> Closure:
        return Closure(modules={module: "a" * 12, **self.changed}, packages={"numpy": "2.4.6"})


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> type[Here]:
    """The audit judges code against `Here`."""
    monkeypatch.setattr(audit, "Repository", Here)
    monkeypatch.setattr(Here, "changed", {})
    return Here


@pytest.fixture
def audited(study: Path, here: type[Here], capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Audit with flags; exit status and what was said."""

    def call(*arguments: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as stopped:
            audit.main([str(one) for one in arguments or [study / "figures/plot.png"]])
        assert isinstance(stopped.value.code, int)
        return stopped.value.code, capsys.readouterr().out

    return call


@pytest.fixture
def other(study: Path, tmp_path: Path) -> Path:
    """A copy of the study to compare with."""
    shutil.copytree(study, tmp_path / "other")
    return tmp_path / "other"
