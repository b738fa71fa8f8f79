"""A run, or the Snakemake that watches it, is killed."""

import os
import signal
import subprocess

from .conftest import PATIENCE, Study, field, moment, until


def test_killed_at_a_random_step(study: Study, whole: Study) -> None:
    study.start()
    os.kill(study.wait_for_steps(moment()), signal.SIGKILL)
    study.ends_as(whole)
    assert len(study.jobs()) == 2
    assert "was killed or lost its machine" in study.said


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
    study.ends_as(whole)
    assert study.jobs() == [first, second]
    assert "finished by an earlier start" in study.said
