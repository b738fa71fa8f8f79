"""profiles/slurm, on a machine without SLURM: stand-ins for its commands note how they are called."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from .conftest import ROOT, SNAKEMAKE

COMMANDS = {
    "sbatch": 'printf "%s\\n" "$*" >> calls; echo 7',
    "squeue": 'echo "squeue" >> asked; echo "7|FAILED"',
    "sacct": 'echo "sacct $*" >> asked; case "$*" in *JobIdRaw*) echo "7|FAILED";; *) echo account;; esac',
    "sinfo": "echo gpu*",
    "scontrol": "echo MinJobAge = 3600",
    "scancel": "true",
    "sacctmgr": "echo account",
    "sshare": "echo account",
}


@pytest.mark.parametrize("status", ["squeue", "sacct"])
def test_jobs_go_to_slurm(tmp_path: Path, status: str) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, script in COMMANDS.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    command = [SNAKEMAKE, "--snakefile", ROOT / "Snakefile", "--profile", ROOT / "profiles/slurm", "--retries", "0"]
    command += ["--slurm-init-seconds-before-status-checks", "1", "results/paper/curation/inventory.json"]
    command += ["--slurm-status-command", status, "--default-resources", "slurm_account=account", "slurm_partition=gpu"]
    command += ["--configfile", ROOT / "config.yaml"]
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    done = subprocess.run(
        [str(word) for word in command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    call = (tmp_path / "calls").read_text()
    assert "--requeue" in call
    assert "-A account" in call
    assert "-p gpu" in call
    assert "--allowed-rules inventory" in call
    assert status in (tmp_path / "asked").read_text()
    assert "SLURM status is: 'FAILED'" in done.stdout + done.stderr


def test_attempts_are_the_profiles_not_the_rules() -> None:
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    assert profile["executor"] == "slurm"
    assert profile["retries"] == 2
    assert "slurm-array-jobs" not in profile
    for path in (ROOT / "rules").glob("*.smk"):
        assert "retries:" not in path.read_text()


def test_the_snakefile_is_read_without_torch(tmp_path: Path) -> None:
    """Each SLURM job reads it twice, and importing torch takes longer than many a job."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in ("torch", "transformers"):
        (packages / f"{name}.py").write_text(f"raise ImportError('{name} is imported')\n")
    command = [SNAKEMAKE, "-n", "--snakefile", ROOT / "Snakefile", "results/paper/curation/inventory.json"]
    command += ["--configfile", ROOT / "config.yaml"]
    done = subprocess.run(
        [str(word) for word in command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("tests", "status"), [("", 3), ("where-possible", 0)], ids=["asked for", "in CI"])
def test_where_there_can_be_no_slurm_its_tests_say_that_they_did_not_run(
    tmp_path: Path, tests: str, status: int
) -> None:
    environment = {**os.environ, "SLURM_CONF": "/elsewhere/slurm.conf", "SLURM_TESTS": tests}
    environment["SLURM_TEST_ROOT"] = str(tmp_path / "slurm")
    done = subprocess.run([ROOT / "tests/slurm/run.sh"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert "THE TESTS ON SLURM DID NOT RUN" in done.stderr
    assert not (tmp_path / "slurm").exists()


def test_without_slurm_its_tests_are_skipped_with_the_reason() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "SLURM_ROOT"}
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "tests/slurm"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "run `make test-slurm`" in done.stdout
    assert " passed" not in done.stdout
