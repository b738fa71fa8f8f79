"""One writer at a time, whoever else comes, dies or comes back."""

import json
import multiprocessing
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from workflow_scripts.finetuning import lease, slurm
from workflow_scripts.finetuning.lease import Holder, acquire, held
from workflow_scripts.settings import InputError

ELSEWHERE = Holder("node7", "node7/another-boot", 1234, "99", None, "theirs")


def leave(folder: Path, holder: Holder, beat: int = 3, released: bool = False) -> None:
    folder.mkdir(exist_ok=True)
    state = {"holder": asdict(holder), "beat": beat, "released": released}
    (folder / "lease-1.json").write_text(json.dumps(state))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Makes waiting take no time; gives a setter of what happens at each second."""
    now = [0.0]
    happens: list[Callable[[], None]] = []

    def sleep(seconds: float) -> None:
        now[0] += seconds
        for event in happens:
            event()

    monkeypatch.setattr(lease.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(lease.time, "sleep", sleep)
    return happens.append


def test_a_lease_that_was_let_go_is_free(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with held(tmp_path / "run") as first:
        assert not first.lost
    with held(tmp_path / "run") as second:
        assert second.number == first.number + 1
    assert not capsys.readouterr().err
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["lease-2.json"]


def test_a_living_process_of_this_machine_is_named(tmp_path: Path) -> None:
    with held(tmp_path), pytest.raises(InputError, match=rf"process {os.getpid()} on .* is training this run"):
        acquire(tmp_path)


def test_a_killed_process_of_this_machine_is_followed_at_once_and_its_memory_suspected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "import os; from pathlib import Path; from workflow_scripts.finetuning.lease import acquire; "
    code += f"acquire(Path({str(tmp_path)!r})); os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -9
    assert acquire(tmp_path).number == 2
    assert re.search(r"process \d+ on .* was killed .*memory.*--set-resources train:mem_mb=", capsys.readouterr().err)


def _race(folder: str, barrier: Any, winners: Any) -> None:
    barrier.wait()
    try:
        acquire(Path(folder))
        winners.put(os.getpid())
    except InputError:
        pass
    barrier.wait()


def test_of_many_at_once_one_wins(tmp_path: Path) -> None:
    """Each finds the lease of a dead process, the moment when two could take it over."""
    leave(tmp_path, replace(Holder.here(), pid=2**30, token="dead"))
    context = multiprocessing.get_context("fork")
    barrier, winners = context.Barrier(8), context.Queue()
    processes = [context.Process(target=_race, args=(str(tmp_path), barrier, winners)) for _ in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert winners.get(timeout=5)
    assert winners.empty()


def test_a_silent_writer_elsewhere_expires(tmp_path: Path, clock: Callable[..., None]) -> None:
    leave(tmp_path, ELSEWHERE)
    assert acquire(tmp_path).number == 2
    assert lease.time.monotonic() >= lease.EXPIRY_SECONDS


def test_a_beating_writer_elsewhere_is_named(tmp_path: Path, clock: Callable[..., None]) -> None:
    leave(tmp_path, ELSEWHERE)
    clock(lambda: leave(tmp_path, ELSEWHERE, beat=4))
    with pytest.raises(InputError, match="process 1234 on node7 is training this run"):
        acquire(tmp_path)


@pytest.mark.parametrize("over", [False, None], ids=["running", "not known"])
def test_a_silent_writer_lives_while_slurm_does_not_say_that_its_job_is_over(
    tmp_path: Path, clock: Callable[..., None], monkeypatch: pytest.MonkeyPatch, over: bool | None
) -> None:
    leave(tmp_path, replace(ELSEWHERE, job="7"))
    monkeypatch.setattr(slurm, "is_over", {"7": over}.get)
    with pytest.raises(InputError, match=r"SLURM job 7 (is|may still be) training this run"):
        acquire(tmp_path)
    monkeypatch.setattr(slurm, "is_over", {"7": True}.get)
    assert acquire(tmp_path).number == 2


def test_behind_another_job_this_one_queues_again(
    tmp_path: Path, clock: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(tmp_path, replace(Holder.here(), job="7"))
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    behind = []

    def queue_again(behind: str, calls: list[str] = behind) -> bool:
        calls.append(behind)
        return True

    monkeypatch.setattr(slurm, "queue_again", queue_again)
    with pytest.raises(SystemExit) as ended:
        acquire(tmp_path)
    assert ended.value.code == 75
    assert behind == ["7"]


def test_an_earlier_start_of_the_same_job_is_asked_to_end(
    tmp_path: Path, clock: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that lost its daemon goes on training while SLURM starts the job on another."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with held(tmp_path) as orphan:
        clock(lambda: orphan.release() if orphan.wanted else None)
        second = acquire(tmp_path)
        assert orphan.lost
        assert not second.lost


def test_one_that_was_taken_for_dead_ends_when_it_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []
    monkeypatch.setattr(lease.os, "_exit", ended.append)
    first = acquire(tmp_path)
    first.check()
    assert not ended
    (tmp_path / "lease-2.json").write_text((tmp_path / "lease-1.json").read_text())
    first.check()
    first.renew()
    assert ended == [lease.LOST] * 2
    assert lease._last(tmp_path) == 2
