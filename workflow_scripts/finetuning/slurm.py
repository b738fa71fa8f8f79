"""What a run asks of SLURM about its own job, and of it: when it ends, whether another still runs, to be queued again.

Outside a SLURM job, and where SLURM does not answer, nothing is known and nothing happens.
"""

import os
import signal
import subprocess
from datetime import datetime

ANSWER_SECONDS = 60


def own_job() -> str | None:
    """Number of the SLURM job that this process is part of."""
    return os.environ.get("SLURM_JOB_ID")


def end_time() -> datetime | None:
    """When the time limit ends this job, in local time."""
    answer = _ask("squeue", "--noheader", "--jobs", own_job() or "", "--format", "%e") if own_job() else None
    try:
        return datetime.fromisoformat(answer.strip()) if answer else None
    except ValueError:  # "N/A": no limit
        return None


def is_preempted() -> bool:
    """Whether this job makes room for another. SLURM counts it as failed if it ends within the time it is given."""
    answer = _ask("scontrol", "show", "job", own_job() or "") if own_job() else None
    when = (answer or "").partition("PreemptTime=")[2].split()[:1]
    return bool(when) and when != ["None"]


def is_over(job: str) -> bool | None:
    """Whether no process of `job` is meant to run any more; None where SLURM does not say."""
    command = ["squeue", "--noheader", "--jobs", job, "--format", "%T"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return True if "Invalid job id" in done.stderr else None
    return done.stdout.strip() in ("", "PENDING")


def queue_again(behind: str | None = None) -> bool:
    """End this job and put it in the queue again, `behind` the end of another job if given. False if SLURM refuses.

    SLURM then ends this process too; SIGTERM is ignored from here on, so that the dependency is still set.
    """
    job = own_job()
    if job is None:
        return False
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if _ask("scontrol", "requeue", job) is None:
        signal.signal(signal.SIGTERM, before)
        return False
    if behind is not None:
        _ask("scontrol", "update", f"JobId={job}", f"Dependency=afterany:{behind}")
    return True


def _ask(*command: str) -> str | None:
    """What a command prints; None if it fails."""
    try:
        # a session of its own: the signal that ends the job is not to reach it
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False, start_new_session=True
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
