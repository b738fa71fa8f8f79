"""A run is told to stop."""

from .conftest import Study, field, moment, slurm, until


def test_scancel(study: Study, whole: Study) -> None:
    study.start()
    study.wait_for_steps(moment())
    slurm("scancel", study.job())
    until(lambda: "stopped: SIGTERM at step" in study.said, "a saved checkpoint")
    study.ends_as(whole)
    assert len(study.jobs()) == 2


def test_usr1(study: Study, whole: Study) -> None:
    """What `sbatch --signal=USR1@600` sends, to the same processes: the run saves and queues itself again."""
    study.start("--retries", "0")
    study.wait_for_steps(moment())
    job = study.job()
    slurm("scancel", "--signal=USR1", job)
    until(lambda: "stopped: SIGUSR1 at step" in study.said, "a saved checkpoint")
    until(lambda: field(job, "Restarts") == "1", "the job in the queue again")
    study.ends_as(whole)
    assert study.jobs() == [job]
