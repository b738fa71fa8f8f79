"""A run loses its node, to a failure or to another job."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import ROOT, Study, field, moment, slurm, until


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


def test_node_daemon_killed(study: Study, whole: Study, node: str) -> None:
    """SLURM starts the job on another node while the processes on the lost one live: they save and end.

    The Snakemake there waits for its job's outputs so long as `latency-wait` says and deletes what it finds incomplete.
    That is over before a run of usual length publishes; this one, of seconds, needs it to be short.
    """
    study.start("--retries", "0", "--latency-wait", "5", exclude="n1,n2")
    orphan = study.wait_for_steps(3)
    job = study.job()
    os.kill(orphan, signal.SIGSTOP)
    os.kill(int(Path(ROOT, "run", f"slurmd.{node}.pid").read_text()), signal.SIGKILL)
    until(lambda: field(job, "JobState") == "PENDING", "the job in the queue again")
    slurm("scontrol", "update", f"JobId={job}", "ExcNodeList=")
    until(lambda: list(study.run.glob("checkpoints/*/lease-*.wanted")), "a second start that waits")
    os.kill(orphan, signal.SIGCONT)
    study.ends_as(whole)
    assert study.jobs() == [job]
    assert study.lease()["pid"] != orphan


def test_preempted(study: Study, whole: Study, node: str) -> None:
    study.start("--retries", "0", exclude="n1,n2")
    study.wait_for_steps(moment())
    job = study.job()
    slurm("sbatch", "-p", "urgent", "--nodelist", node, "--exclusive", "-o", "/dev/null", "--wrap", "sleep 3")
    until(lambda: "stopped: SIGTERM at step" in study.said, "a saved checkpoint")
    until(lambda: field(job, "Restarts") == "1", "the job in the queue again")
    study.ends_as(whole)
    assert study.jobs() == [job]
