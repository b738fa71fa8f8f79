"""What a run costs in which nothing has to be done, and what building the DAG costs as the study grows.

    .venv/bin/python benchmarks/rerun.py [--quick]

Each study is a copy of the repository in which every result is a stand-in with Snakemake's own record of how it was
made, all that Snakemake compares: parameters with the code behind each command, inputs, checksums. `--quick` takes each
time once, and the paper's grid one and three times; else the median of three, up to ten times. The grid grows by its
seeds: training runs, their evaluations and what reads them.

Limits: nothing to do, 5 s in the miniature and 15 s with the paper's DAG. Processor time stands beside the clock's: on
a machine that does nothing else they are nearly the same, since Snakemake works on one core.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import yaml
from harness import Measured, Results, arguments, measure

from tests.repository import copy_to

MINIATURE = ("presets/miniature.yaml",)
SNAKEMAKE = Path(sys.executable).parent / "snakemake"
FLAGS = ("--profile", "profiles/local")
NOTHING = "Nothing to be done"
STUDIES = {"miniature": (MINIATURE, 5), "paper": ((), 15)}
"""Overlays of each study, and the limit in seconds of a run with nothing to do."""


def main() -> None:
    options = arguments(__doc__)
    results = Results("rerun", options.quick, ("snakemake",))
    times = 1 if options.quick else 3
    with tempfile.TemporaryDirectory(prefix="rerun-") as scratch:
        for name, (overlays, limit) in STUDIES.items():
            folder = copy_to(Path(scratch) / name)
            files = stand_in(folder, overlays)
            runs = [idle(folder, overlays) for _ in range(times)]
            case = f"{name}, {files} files"
            results.add(case, "run with nothing to do", "s", statistics.median(run.wall_s for run in runs))
            results.add(case, "its processor time", "s", statistics.median(run.cpu_s for run in runs))
            results.notes[f"limit, {name}"] = f"{limit} s"
            shutil.rmtree(folder)
        folder = copy_to(Path(scratch) / "grown")
        start = statistics.median(snakemake(folder, (), "--list-rules").cpu_s for _ in range(times))
        results.add("paper", "reading the workflow alone (--list-rules), processor time", "s", start)
        for factor in (1, 3) if options.quick else (1, 3, 10):
            overlay = grown(folder, factor)
            runs = [snakemake(folder, (overlay,), "--dry-run") for _ in range(times)]
            case = f"paper x {factor}, {jobs(runs[0].output)} jobs"
            results.add(case, "dry run", "s", statistics.median(run.wall_s for run in runs))
            spent = statistics.median(run.cpu_s for run in runs)
            results.add(case, "building the DAG, processor time", "s", spent - start)
    results.finish()


def stand_in(folder: Path, overlays: tuple[str, ...]) -> int:
    """Make every file of a study, and Snakemake's record of it; the number of files."""
    said = snakemake(folder, overlays, "--summary").output
    paths = [line.split("\t")[0] for line in said.splitlines() if line.startswith("results/")]
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(f"stands in for {path}\n", encoding="utf-8")
    snakemake(folder, overlays, "--touch", "--forceall")
    return len(paths)


def idle(folder: Path, overlays: tuple[str, ...]) -> Measured:
    """A run, as a user starts it, that finds everything done."""
    done = snakemake(folder, overlays)
    if NOTHING not in done.output:
        raise RuntimeError(f"something had to be done: {done.output[-2000:]}")
    return done


def grown(folder: Path, factor: int) -> str:
    """An overlay with `factor` times as many seeds in each of the paper's experiments."""
    experiments = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))["experiments"]
    for experiment in experiments:
        experiment["seeds"] = list(range(1, factor * len(experiment["seeds"]) + 1))
    name = f"grown-{factor}.yaml"
    (folder / name).write_text(yaml.safe_dump({"experiments": experiments}), encoding="utf-8")
    return name


def jobs(said: str) -> int:
    """Jobs that a dry run counts."""
    return next(int(line.split()[1]) for line in said.splitlines() if line.startswith("total "))


def snakemake(folder: Path, overlays: tuple[str, ...], *flags: str) -> Measured:
    """One call, measured."""
    configured = ["--configfile", *(folder / name for name in overlays)] if overlays else []
    return measure([SNAKEMAKE, "--directory", folder, "--snakefile", folder / "Snakefile", *FLAGS, *flags, *configured])


if __name__ == "__main__":
    main()
