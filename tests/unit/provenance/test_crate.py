"""A study exports as a Workflow Run RO-Crate that says what it holds, and importing it notices every change."""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import commands
from workflow_scripts.provenance import export, import_crate

METADATA = "ro-crate-metadata.json"


@pytest.fixture
def crate(study: Path, tmp_path: Path) -> Path:
    """The export of the small study, as a folder."""
    done = commands.run(export.main, study, tmp_path / "crate")
    assert done.returncode == 0, done.stderr
    return tmp_path / "crate"


def graph(crate: Path) -> dict[str, dict[str, Any]]:
    return {entity["@id"]: entity for entity in json.loads((crate / METADATA).read_text())["@graph"]}


def ids(value: Any) -> list[str]:
    return [entry["@id"] for entry in ([value] if isinstance(value, dict) else value or [])]


def test_it_has_the_parts_that_the_profile_asks_for(crate: Path) -> None:
    entities = graph(crate)
    root = entities["./"]
    assert {"https://w3id.org/ro/wfrun/workflow/0.5", "https://w3id.org/ro/wfrun/process/0.5"} <= set(
        ids(root["conformsTo"])
    )
    for key in ("name", "description", "datePublished", "license"):
        assert root[key]
    workflow = entities[root["mainEntity"]["@id"]]
    assert set(workflow["@type"]) == {"File", "SoftwareSourceCode", "ComputationalWorkflow"}
    assert "snakemake" in json.dumps(entities[workflow["programmingLanguage"]["@id"]]).lower()
    run = entities["#run"]
    assert run["@type"] == "CreateAction"
    assert ids(run["instrument"]) == [workflow["@id"]]
    assert {"results/tiny/figures/plot.png", "results/tiny/analysis/scores.csv"} <= set(ids(run["result"]))
    assert set(ids(root["mentions"])) == {
        name for name, entity in entities.items() if entity["@type"] == "CreateAction"
    }
    # every reference leads somewhere
    for entity in entities.values():
        for value in entity.values():
            for name in ids([one for one in (value if isinstance(value, list) else [value]) if isinstance(one, dict)]):
                assert name in entities or name.startswith("https://")


def test_figures_tables_and_records_are_in_it_and_weights_are_not(crate: Path) -> None:
    there = {path.relative_to(crate).as_posix() for path in crate.rglob("*") if path.is_file()}
    root = "results/tiny"
    assert {f"{root}/figures/plot.png", f"{root}/figures/plot.csv", f"{root}/analysis/scores.csv"} <= there
    assert {f"{root}/finetuning/summary.json", f"{root}/provenance/records/figures/plot.png.json"} <= there
    assert {"Snakefile", "config.yaml", "LICENSE", METADATA} <= there
    assert not [name for name in there if name.endswith(".safetensors")]
    files = {name for name, entity in graph(crate).items() if "File" in entity["@type"]}
    assert files == there - {METADATA}


def test_each_job_says_what_it_read_and_made(crate: Path) -> None:
    entities = graph(crate)
    (plot,) = [entity for entity in entities.values() if entity.get("name") == "plot"]
    assert set(ids(plot["result"])) == {"results/tiny/figures/plot.png", "results/tiny/figures/plot.csv"}
    assert set(ids(plot["object"])) >= {"results/tiny/analysis/scores.csv"}
    assert entities[ids(plot["instrument"])[0]]["@type"] == "SoftwareApplication"


def changed(crate: Path) -> None:
    path = crate / "results/tiny/figures/plot.csv"
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


def missing(crate: Path) -> None:
    (crate / "results/tiny/figures/plot.png").unlink()


def added(crate: Path) -> None:
    (crate / "results/tiny/figures/more.png").write_text("x")


def linked(crate: Path) -> None:
    path = crate / "results/tiny/figures/plot.png"
    path.rename(crate.parent / "elsewhere.png")
    path.symlink_to(crate.parent / "elsewhere.png")


def forged(crate: Path) -> None:
    """Changed together with its checksum in the metadata: the record tells."""
    changed(crate)
    found = hashlib.sha256((crate / "results/tiny/figures/plot.csv").read_bytes()).hexdigest()
    value = json.loads((crate / METADATA).read_text())
    for entity in value["@graph"]:
        if entity["@id"] == "results/tiny/figures/plot.csv":
            entity["sha256"] = found
    (crate / METADATA).write_text(json.dumps(value))


def linked_folder(crate: Path) -> None:
    (crate / "results/tiny/more").symlink_to(crate.parent)


def unlisted(crate: Path) -> None:
    value = json.loads((crate / METADATA).read_text())
    for entity in value["@graph"]:
        if entity["@id"] == "results/tiny/figures/plot.csv":
            entity["sha256"] = 5
    (crate / METADATA).write_text(json.dumps(value))


def forged_without_its_record(crate: Path) -> None:
    """Changed together with its checksum, its record taken away: those of the jobs that read it tell."""
    path, name = crate / "results/tiny/analysis/scores.csv", "results/tiny/analysis/scores.csv"
    record = "results/tiny/provenance/records/analysis/scores.csv.json"
    path.write_text("better")
    (crate / record).unlink()
    value = json.loads((crate / METADATA).read_text())
    value["@graph"] = [entity for entity in value["@graph"] if entity["@id"] != record]
    for entity in value["@graph"]:
        if entity["@id"] == name:
            entity["sha256"] = hashlib.sha256(b"better").hexdigest()
    (crate / METADATA).write_text(json.dumps(value))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (changed, "plot.csv has SHA-256"),
        (missing, "plot.png is missing"),
        (added, "more.png is not named"),
        (linked, "plot.png is missing"),
        (forged, "in the record of plot"),
        (linked_folder, "results/tiny/more is not named"),
        (unlisted, "plot.csv has no SHA-256"),
        (forged_without_its_record, "plot read results/tiny/analysis/scores.csv as"),
    ],
)
def test_what_was_changed_on_the_way_is_named(
    crate: Path, tmp_path: Path, harm: Callable[[Path], None], said: str
) -> None:
    harm(crate)
    done = commands.run(import_crate.main, crate, "--output", tmp_path / "imported")
    assert done.returncode == 1
    assert said in done.stdout
    assert not (tmp_path / "imported").exists()


def test_an_archive_is_imported_whole(study: Path, tmp_path: Path) -> None:
    archive = tmp_path / "tiny.crate.zip"
    assert commands.run(export.main, study, archive).returncode == 0
    shutil.rmtree(study)
    done = commands.run(import_crate.main, archive, "--output", tmp_path / "imported")
    assert done.returncode == 0, done.stdout
    assert "records of 4 jobs" in done.stdout
    assert (tmp_path / "imported/results/tiny/figures/plot.png").is_file()


def test_an_archive_that_leads_out_of_its_folder_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("../out", "x")
    done = commands.run(import_crate.main, tmp_path / "x.zip")
    assert done.returncode == 2
    assert "out of the folder" in done.stderr


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd"])
def test_metadata_that_name_files_elsewhere_are_refused(crate: Path, name: str) -> None:
    value = json.loads((crate / METADATA).read_text())
    value["@graph"].append({"@id": name, "@type": "File", "sha256": "0" * 64})
    (crate / METADATA).write_text(json.dumps(value))
    assert commands.run(import_crate.main, crate).returncode == 2


def test_a_file_that_was_edited_stops_the_export(study: Path, tmp_path: Path) -> None:
    (study / "figures/plot.csv").write_text("better\n")
    done = commands.run(export.main, study, tmp_path / "crate")
    assert done.returncode == 2
    assert "plot.csv is not as its job left it" in done.stderr
    assert not (tmp_path / "crate").exists()


def test_a_file_without_a_record_that_jobs_read_otherwise_stops_the_export(study: Path, tmp_path: Path) -> None:
    (study / "analysis/scores.csv").write_text("by hand")
    (study / "provenance/records/analysis/scores.csv.json").unlink()
    done = commands.run(export.main, study, tmp_path / "crate")
    assert done.returncode == 2
    assert "plot read results/tiny/analysis/scores.csv as" in done.stderr


def test_a_link_that_no_job_made_stops_the_export(study: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (study / "figures/more.csv").symlink_to(tmp_path / "secret")
    done = commands.run(export.main, study, tmp_path / "crate")
    assert done.returncode == 2
    assert "more.csv is a link that no job made" in done.stderr


def test_what_no_job_on_record_made_is_named(study: Path, tmp_path: Path) -> None:
    (study / "figures/more.csv").write_text("by hand")
    assert commands.run(export.main, study, tmp_path / "crate").returncode == 0
    done = commands.run(import_crate.main, tmp_path / "crate")
    assert "made by no job on record: results/tiny/figures/more.csv" in done.stdout


def test_a_study_without_records_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results/x").mkdir(parents=True)
    done = commands.run(export.main, tmp_path / "results/x", tmp_path / "crate")
    assert done.returncode == 2
    assert "no records" in done.stderr
