"""What goes wrong on a cluster. Each ends with the very weights of the undisturbed run, or says what to do."""

import math
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import PATIENCE, ROOT, Study, field, lane, slurm, until

LIMIT_SPARE = 15


def same(study: Study, whole: Study) -> None:
    """The run ended as the undisturbed one did: each sample seen once an epoch in the same order, the same weights."""
    assert study.finish() == 0, study.said[-3000:]
    assert study.samples() == whole.samples()
    assert study.weights() == whole.weights()
    assert not list(study.run.glob("checkpoints/*/checkpoint-*"))


def moment() -> int:
    """A step at random, early enough that the run does not end before it is disturbed."""
    step = random.randint(3, 15)
    print(f"disturbed after step {step}")
    return step


@lane("nodes")
def test_undisturbed_with_its_resources_as_slurm_saw_them(study: Study, whole: Study) -> None:
    study.start("--set-resources", "train:gpu_model=a100")
    job = study.job()
    same(study, whole)
    assert field(job, "TresPerJob") == "gres:gpu:a100:1"
    assert field(job, "NumNodes") == "1"
    assert field(job, "TimeLimit") == "00:30:00"
    assert field(job, "Requeue") == "1"
    # 6,000 and 4,000 for machine and process, 6 for 10^6 parameters, 8 for five steps of 4 x 8 small frames
    assert field(job, "MinMemoryNode") == "10014M"
    # it was SLURM's job that trained, not a process of this machine's own
    assert study.lease()["job"] == job


@lane("snakemake")
def test_killed_at_a_random_step(study: Study, whole: Study) -> None:
    study.start()
    os.kill(study.wait_for_steps(moment()), signal.SIGKILL)
    same(study, whole)
    assert len(study.jobs()) == 2
    assert "was killed or lost its machine" in study.said


@lane("signals")
def test_scancel(study: Study, whole: Study) -> None:
    study.start()
    study.wait_for_steps(moment())
    slurm("scancel", study.job())
    until(lambda: "stopped: SIGTERM at step" in study.said, "a saved checkpoint")
    same(study, whole)
    assert len(study.jobs()) == 2


@lane("signals")
def test_usr1(study: Study, whole: Study) -> None:
    """What `sbatch --signal=USR1@600` sends, to the same processes: the run saves and queues itself again."""
    study.start("--retries", "0")
    study.wait_for_steps(moment())
    job = study.job()
    slurm("scancel", "--signal=USR1", job)
    until(lambda: "stopped: SIGUSR1 at step" in study.said, "a saved checkpoint")
    until(lambda: field(job, "Restarts") == "1", "the job in the queue again")
    same(study, whole)
    assert study.jobs() == [job]


@lane("time limit")
def test_time_limit(study: Study, whole: Study) -> None:
    """The run saves before its limit and queues itself again, without costing one of Snakemake's attempts."""
    minutes = math.ceil(PATIENCE / 120)
    study.start("--retries", "0", "--set-resources", f"train:runtime={minutes}")
    process = study.wait_for_steps(3)
    job = study.job()
    os.kill(process, signal.SIGSTOP)
    end = time.mktime(time.strptime(field(job, "EndTime"), "%Y-%m-%dT%H:%M:%S"))
    time.sleep(max(0.0, end - time.time() - LIMIT_SPARE))
    os.kill(process, signal.SIGCONT)
    until(lambda: "stopped: the time limit at step" in study.said, "a saved checkpoint")
    until(lambda: field(job, "Restarts") == "1", "the job in the queue again")
    same(study, whole)
    assert study.jobs() == [job]


@pytest.fixture
def node() -> Iterator[str]:
    """The node of the tests that lose one; its daemon is started again."""
    yield "n3"
    if not works("n3"):
        subprocess.run(["slurmd", "-N", "n3"], check=True)
        until(lambda: works("n3"), "node n3 up")


def works(node: str) -> bool:
    """Whether a node takes jobs."""
    return node in slurm("sinfo", "-h", "-N", "-t", "idle,alloc,mix", "-o", "%N").split()


@lane("n3")
def test_node_daemon_killed(study: Study, whole: Study, node: str) -> None:
    """SLURM starts the job on another node while the processes on the lost one live: they save and end."""
    study.start("--retries", "0", exclude="n1,n2")
    orphan = study.wait_for_steps(3)
    job = study.job()
    os.kill(orphan, signal.SIGSTOP)
    os.kill(int(Path(ROOT, "run", f"slurmd.{node}.pid").read_text()), signal.SIGKILL)
    until(lambda: field(job, "JobState") == "PENDING", "the job in the queue again")
    slurm("scontrol", "update", f"JobId={job}", "ExcNodeList=")
    until(lambda: list(study.run.glob("checkpoints/*/lease-*.wanted")), "a second start that waits")
    os.kill(orphan, signal.SIGCONT)
    same(study, whole)
    assert study.jobs() == [job]
    assert study.lease()["pid"] != orphan


@lane("n3")
def test_preempted(study: Study, whole: Study, node: str) -> None:
    study.start("--retries", "0", exclude="n1,n2")
    study.wait_for_steps(moment())
    job = study.job()
    slurm("sbatch", "-p", "urgent", "--nodelist", node, "--exclusive", "-o", "/dev/null", "--wrap", "sleep 3")
    until(lambda: field(job, "Restarts") == "1", "the job in the queue again")
    same(study, whole)
    assert study.jobs() == [job]


@lane("snakemake")
def test_snakemake_killed_and_started_again_while_the_job_runs(study: Study, whole: Study) -> None:
    """The second job gives its place back until the first has ended, and then has nothing to train."""
    snakemake = study.start()
    process = study.wait_for_steps(3)
    first = study.job()
    os.kill(process, signal.SIGSTOP)
    snakemake.kill()
    snakemake.wait()
    subprocess.run(study.command("--unlock"), cwd=study.folder, check=True, capture_output=True)
    study.start("--retries", "0")
    second = study.job(1)
    until(lambda: f"afterany:{first}" in field(second, "Dependency"), "the second job behind the first", 2 * PATIENCE)
    os.kill(process, signal.SIGCONT)
    same(study, whole)
    assert study.jobs() == [first, second]
    assert "finished by an earlier start" in study.said


@pytest.fixture
def small_disk(study: Study) -> Iterator[Path]:
    """The run's checkpoints on a disk of 38 MB, where two of 15 MB fit."""
    folder = study.run / "checkpoints"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=38m", "tmpfs", str(folder)], check=False)
    if mounted.returncode:
        pytest.skip("a disk cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@lane("time limit")
def test_disk_full_in_a_checkpoint(study: Study, whole: Study, small_disk: Path) -> None:
    study.start("--retries", "0")
    assert study.finish() == 1
    assert "no room on its disk for the checkpoint of step" in study.said
    assert "is whole. Make room and start the same command again" in study.said
    assert not list(study.run.glob("checkpoints/*/.partial"))
    assert shutil.disk_usage(small_disk).free > 0
    subprocess.run(["mount", "-o", "remount,size=200m", str(small_disk)], check=True)
    study.start("--retries", "0")
    same(study, whole)
