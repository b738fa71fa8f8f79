"""A run of seconds on the SLURM that up.sh started, through the Snakefile and profiles/slurm as a user starts it.

All tests here are skipped, and say so, where there is no such SLURM (`make test-slurm` starts one).
"""

import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
SNAKEMAKE = [sys.executable, str(Path(__file__).with_name("impatient.py"))]
ROOT = os.environ.get("SLURM_ROOT", "")
MODEL, ALLOCATION = "qwen2.5-vl-7b", "uniform-8"
RESULTS = "results/faults"
RUN = f"{RESULTS}/finetuning/full/{MODEL}/{ALLOCATION}/seed-1"
PATIENCE = float(os.environ.get("SLURM_TEST_PATIENCE", "600"))
"""Seconds that anything may take; more on a busy machine."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not ROOT:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason="no SLURM was started for tests: run `make test-slurm`"))


def slurm(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Wait for a condition and give what it gives."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.2)
    raise TimeoutError(f"{what}: not in {seconds:.0f} s")


class Study:
    """A folder in which Snakemake trains one run on SLURM."""

    def __init__(self, folder: Path, overlay: dict[str, Any]) -> None:
        self.folder = folder
        self.overlay = overlay
        self.run = folder / RUN
        self.process: subprocess.Popen[str] | None = None
        self.kept: list[str] = []

    def command(self, *flags: str) -> list[str]:
        (self.folder / "overlay.yaml").write_text(yaml.safe_dump(self.overlay))
        files = [REPOSITORY / "config.yaml", REPOSITORY / "presets/miniature.yaml", "overlay.yaml"]
        command: list[Any] = [*SNAKEMAKE, f"{RUN}/summary.json", "--snakefile", REPOSITORY / "Snakefile"]
        command += ["--profile", REPOSITORY / "profiles/slurm", "--rerun-triggers", "mtime", *flags]
        return [str(word) for word in [*command, "--configfile", *files]]

    def start(self, *flags: str, exclude: str = "n3") -> "subprocess.Popen[str]":
        """Start Snakemake; what it says goes to snakemake.log. One node is kept for the tests that lose it."""
        flags = (
            "--default-resources",
            f"slurm_extra='--exclude={exclude}'",
            "slurm_partition=gpu",
            "mem_mb=8000",
            *flags,
        )
        with (self.folder / "snakemake.log").open("a") as log:
            self.process = subprocess.Popen(
                self.command(*flags),
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        return self.process

    def finish(self) -> int:
        """Wait for Snakemake's end."""
        assert self.process is not None
        return self.process.wait(timeout=2 * PATIENCE)

    @property
    def said(self) -> str:
        """All that Snakemake and the jobs said."""
        logs = [self.folder / "snakemake.log", *(self.folder / RESULTS / "logs").rglob("train.log")]
        return "\n".join(path.read_text() for path in logs if path.is_file())

    def jobs(self) -> list[str]:
        """Numbers of the SLURM jobs that were submitted, in order."""
        words = (self.folder / "snakemake.log").read_text().split("submitted with SLURM jobid ")[1:]
        return [word.split()[0] for word in words]

    def job(self, place: int = -1) -> str:
        """The number of a submitted job, waited for."""
        at_least = place + 1 if place >= 0 else 1
        return str(until(lambda: len(self.jobs()) >= at_least and self.jobs(), "a submitted job")[place])

    def steps(self) -> int:
        """Steps done so far."""
        logs = list(self.run.glob("checkpoints/*/log.jsonl"))
        return len(logs[0].read_text().splitlines()) if logs else 0

    def wait_for_steps(self, count: int) -> int:
        """Wait until so many steps are done and a checkpoint is there; gives the process that trains."""
        until(lambda: self.steps() >= count and list(self.run.glob("checkpoints/*/checkpoint-*")), f"{count} steps")
        self.note_kept()
        return int(self.lease()["pid"])

    def note_kept(self) -> None:
        """Note the steps that are in a checkpoint, by their lines in the log, which say how long each took."""
        last = max(int(path.name.rpartition("-")[2]) for path in self.run.glob("checkpoints/*/checkpoint-*"))
        self.kept = next(self.run.glob("checkpoints/*/log.jsonl")).read_text().splitlines()[:last]

    def lease(self) -> dict[str, Any]:
        """Who holds the run's lease."""
        path = max(self.run.glob("checkpoints/*/lease-*.json"), key=lambda path: int(path.stem.split("-")[1]))
        holder: dict[str, Any] = json.loads(path.read_text())["holder"]
        return holder

    def weights(self) -> bytes:
        return (self.run / "model" / "model.safetensors").read_bytes()

    def losses(self) -> list[float]:
        return [json.loads(line)["loss"] for line in (self.run / "log.jsonl").read_text().splitlines()]

    def ends_as(self, whole: "Study") -> None:
        """Assert that the run ended as the undisturbed one, with its weights, and did no step again that was kept."""
        assert self.finish() == 0, self.said[-3000:]
        assert (self.run / "log.jsonl").read_text().splitlines()[: len(self.kept)] == self.kept
        assert self.samples() == whole.samples()
        assert self.weights() == whole.weights()
        assert not list(self.run.glob("checkpoints/*/checkpoint-*"))

    def samples(self) -> list[list[str]]:
        return [json.loads(line)["sample_ids"] for line in (self.run / "log.jsonl").read_text().splitlines()]


def moment() -> int:
    """A step at random, early enough that the run does not end before it is disturbed."""
    step = random.randint(3, 15)
    print(f"disturbed after step {step}")
    return step


def field(job: str, name: str) -> str:
    """A field of `scontrol show job`; empty if it has none."""
    words = slurm("scontrol", "show", "job", job).split()
    return next((word.partition("=")[2] for word in words if word.startswith(f"{name}=")), "")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all that the rule `train` reads, and beside it the run as it is when nothing disturbs it."""
    folder = Path(ROOT) / "template"
    with (Path(ROOT) / "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "whole").is_dir():
            shutil.rmtree(folder, ignore_errors=True)
            _make(folder)
    return folder


def _make(folder: Path) -> None:
    from tests.slurm.make_run import make

    make(folder / "study", RESULTS, RUN)
    shutil.copytree(folder / "study", folder / "undisturbed")
    command = [sys.executable, "-m", "workflow_scripts.finetuning.train", "--spec", f"{RUN}/spec.yaml"]
    command += ["--store", f"{RESULTS}/frames/shard-0.arrow", "--checkpoints", f"{RUN}/checkpoints", "--output", RUN]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, cwd=folder / "undisturbed", check=True, env=environment, timeout=900)
    os.replace(folder / "undisturbed", folder / "whole")


@pytest.fixture
def whole(template: Path) -> Study:
    """The run that nothing disturbed, made by one process without Snakemake and SLURM."""
    return Study(template / "whole", {})


@pytest.fixture
def study(template: Path, request: pytest.FixtureRequest) -> Iterator[Study]:
    """The run, not yet trained, in a folder of its own; nothing started outlives the test."""
    folder = Path(ROOT) / request.node.name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(template / "study", folder, copy_function=shutil.copy2)
    made = Study(folder, yaml.safe_load((folder / "overlay.yaml").read_text()))
    yield made
    print(made.said[-5000:])  # pytest shows it where the test failed
    for job in made.jobs() if (folder / "snakemake.log").is_file() else []:
        subprocess.run(["scancel", job], check=False, capture_output=True)
    if made.process is not None and made.process.poll() is None:
        made.process.send_signal(signal.SIGKILL)
        made.process.wait()
