"""The records that the smoke study left, and what an audit says of its figures. Run by ``make smoke``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from workflow_scripts.provenance.findings import Kind
from workflow_scripts.provenance.loose import carried
from workflow_scripts.provenance.records import read_records

RESULTS = Path("results/smoke")


def test_every_job_left_a_note_of_a_process_that_ran_the_code_that_was_planned() -> None:
    records = read_records(RESULTS)
    assert {"world", "manifest", "store", "train", "evaluate", "figure_scores", "overview", "record"} <= {
        record.rule for record in records
    }
    for record in records:
        assert record.run is not None, record.name
        assert record.run.unplanned == (), record.name


def test_every_file_of_a_run_and_an_evaluation_is_on_record() -> None:
    records = read_records(RESULTS)
    made = [*(RESULTS / "finetuning").rglob("model/*"), *(RESULTS / "evaluation/tuned").rglob("*")]
    files = [path for path in made if path.is_file() and "checkpoints" not in path.parts]
    assert files
    assert [path for path in files if records.of(path) is None] == []


@pytest.mark.parametrize("kind", ["png", "pdf", "svg"])
def test_a_figure_carries_what_its_record_holds(kind: str) -> None:
    found = carried(RESULTS / f"figures/overview.{kind}")
    record = read_records(RESULTS).of(RESULTS / "figures/overview.png")
    assert found is not None
    assert record is not None
    assert record.run is not None
    assert (found.study, found.record) == ("smoke", record.run.identity)
    assert found.commit.rstrip("+") == (record.run.commit or "none")


@pytest.mark.parametrize("name", ["overview.png", "claims.csv"])
def test_a_figure_is_what_its_records_say(name: str) -> None:
    command = [sys.executable, "-m", "workflow_scripts.provenance.audit", str(RESULTS / "figures" / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    # whoever tests code before committing it has run code that is in no commit
    assert Kind(done.returncode) | Kind.UNCOMMITTED == Kind.UNCOMMITTED, done.stdout + done.stderr
