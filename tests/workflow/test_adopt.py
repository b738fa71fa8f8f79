"""Results that were copied from another clone: taken over where they are what their records say, else refused."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository import copy_to as clone
from workflow_scripts.content.checksums import file_sha256, stamp
from workflow_scripts.provenance.gather import MEMORY
from workflow_scripts.provenance.records import read_records

from .dry_run import snakemake
from .stand_ins import FLAGS, PRESETS, STUDY, done, files

pytestmark = [pytest.mark.xdist_group("reruns"), pytest.mark.slow]

FIGURE = f"{STUDY}/figures/overview.png"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which the smoke study is done, with records."""
    return done(clone(tmp_path_factory.mktemp("made")))


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """Another clone, into which the results were copied without their times."""
    folder = clone(tmp_path / "clone")
    shutil.copytree(made / STUDY, folder / STUDY, copy_function=shutil.copyfile)
    return folder


def adopt(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workflow_scripts.provenance.adopt"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_every_job_has_a_record(made: Path) -> None:
    records = read_records(made / STUDY)
    assert [name for name in files(made) if records.of(name) is None] == []


def test_without_adoption_a_run_stops_and_says_what_to_do(copied: Path) -> None:
    for flags in ((), ("--dry-run",)):
        with pytest.raises(AssertionError, match=r"jobs of study smoke ran elsewhere\. `make adopt` compares"):
            snakemake(copied, *FLAGS, *flags, *PRESETS)


def test_after_adoption_nothing_runs(copied: Path) -> None:
    taken = adopt(copied)
    assert taken.returncode == 0, taken.stderr
    assert f"{STUDY}: " in taken.stdout
    assert "Nothing to be done" in snakemake(copied, *FLAGS, *PRESETS)


def test_after_adoption_a_changed_setting_runs_what_it_ran_before(copied: Path) -> None:
    assert adopt(copied).returncode == 0
    said = snakemake(copied, *FLAGS, "--dry-run", *PRESETS, "--config", "figures={dpi: 77}")
    assert "drawing overview" in said
    assert "fine-tuning" not in said


def test_a_file_with_other_content_stops_it_and_a_missing_one_does_not(copied: Path) -> None:
    figure, table = copied / FIGURE, copied / STUDY / "analysis/scores.csv"
    figure.write_text("edited")
    refused = adopt(copied)
    assert refused.returncode == 2
    assert f"1 files are not what their records say, so nothing was taken over: {FIGURE}; copy" in refused.stderr
    figure.unlink()
    table.unlink()
    taken = adopt(copied)
    assert taken.returncode == 0, taken.stderr
    assert f"{FIGURE} is not there; the next run makes it" in taken.stderr
    said = snakemake(copied, *FLAGS, "--dry-run", *PRESETS)
    assert "drawing overview" in said
    assert "fine-tuning" not in said


def test_what_the_folder_remembers_of_an_edited_file_is_not_believed(copied: Path) -> None:
    """The memory of checksums came along with the files, and says that the file is as it was."""
    figure = copied / FIGURE
    recorded = file_sha256(figure)
    figure.write_text("edited")
    remembered = {FIGURE: [*stamp(figure), recorded]}
    (copied / STUDY / MEMORY).write_text(json.dumps(remembered))
    refused = adopt(copied)
    assert refused.returncode == 2
    assert f"are not what their records say, so nothing was taken over: {FIGURE}; copy" in refused.stderr


def test_results_without_records_are_not_trusted_either(copied: Path) -> None:
    shutil.rmtree(copied / STUDY / "provenance")
    with pytest.raises(AssertionError, match=r"files were made elsewhere and have no record"):
        snakemake(copied, *FLAGS, *PRESETS)
