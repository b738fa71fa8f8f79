"""Records that a study's folder holds, read wherever the folder is."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from workflow_scripts.provenance.records import FOLDER, files_digest, read_record, read_records, record_path
from workflow_scripts.settings import InputError

from .conftest import ROOT


def test_a_file_has_the_record_of_the_job_that_wrote_it(study: Path) -> None:
    records = read_records(study)
    for name in ("figures/plot.csv", f"{ROOT}/figures/plot.csv", study / "figures" / "plot.csv"):
        found = records.of(name)
        assert found is not None
        assert found.rule == "plot"
    beside = records.of("finetuning/model/model.safetensors")
    assert beside is not None
    assert beside.rule == "train"
    assert records.of("figures/other.png") is None


def test_parents_are_the_makers_of_the_inputs_each_once(study: Path) -> None:
    records = read_records(study)
    plot = records.of("figures/plot.png")
    assert plot is not None
    assert [parent.rule for parent in records.parents(plot)] == ["score", "draw"]


def test_lineage_names_each_job_after_those_it_depends_on(study: Path) -> None:
    records = read_records(study)
    plot, train = records.of("figures/plot.png"), records.of("finetuning/summary.json")
    assert plot is not None
    assert train is not None
    assert [one.rule for one in records.lineage([plot])] == ["draw", "train", "score", "plot"]
    assert [one.rule for one in records.lineage([train])] == ["draw", "train"]


def test_content_and_identity_find_a_file_under_any_name(study: Path) -> None:
    records = read_records(study)
    sha256 = hashlib.sha256((study / "figures/plot.png").read_bytes()).hexdigest()
    assert [(record.rule, file.path) for record, file in records.with_content(sha256)] == [
        ("plot", f"{ROOT}/figures/plot.png")
    ]
    found = records.with_identity("plot")
    assert found is not None
    assert found.rule == "plot"
    assert records.with_identity("another") is None


def test_a_path_is_found_where_the_folder_is_now(study: Path) -> None:
    records = read_records(study)
    assert records.locate(f"{ROOT}/curation/manifest.csv") == study / "curation/manifest.csv"
    assert records.locate("resources/model") == Path("resources/model")
    assert records.locate(f"{ROOT}-2/curation/manifest.csv") == Path(f"{ROOT}-2/curation/manifest.csv")


def test_a_record_is_read_as_it_was_written_and_any_change_shows_in_its_digest(study: Path) -> None:
    path = record_path(study, ROOT, f"{ROOT}/figures/plot.png")
    assert path == study / FOLDER / "figures/plot.png.json"
    before = read_record(path)
    assert read_record(path) == before
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 2'))
    assert read_record(path).digest != before.digest


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "is no job's record"), ("{", "is no job's record"), ('{"format": 1}', "is no job's record: study: ")],
)
def test_a_broken_record_is_named(study: Path, text: str, message: str) -> None:
    (study / FOLDER / "broken.json").write_text(text)
    with pytest.raises(InputError, match=rf"broken\.json {message}"):
        read_records(study)


def changed(study: Path, name: str, **changes: object) -> Path:
    """Change parts of a record's text."""
    path = record_path(study, ROOT, f"{ROOT}/{name}")
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return path


@pytest.mark.parametrize(
    ("part", "value", "message"),
    [
        ("format", 2, "it is of format 2; expected 1"),
        ("outputs", [], "outputs: "),
        ("root", "results/../etc", "root: "),
        ("beside", "/etc/hostname", "its job wrote '/etc/hostname'; expected a file below results/tiny"),
        ("beside", f"{ROOT}/../../etc/hostname", "expected a file below results/tiny"),
    ],
)
def test_a_record_of_files_out_of_its_study_or_of_another_format_is_refused(
    study: Path, part: str, value: object, message: str
) -> None:
    if part == "beside":
        value = [{"path": value, "bytes": 1, "sha256": "0" * 64, "mtime_ns": 0}]
    changed(study, "analysis/scores.csv", **{part: value})
    with pytest.raises(InputError, match=re.escape("scores.csv.json is no job's record: ") + f".*{re.escape(message)}"):
        read_records(study)


def test_a_record_in_the_place_of_another_is_refused(study: Path) -> None:
    path = record_path(study, ROOT, f"{ROOT}/analysis/scores.csv")
    (path.parent / "zz.json").write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"zz\.json holds the record of results/tiny/analysis/scores\.csv"):
        read_records(study)


def test_a_record_of_another_study_is_refused(study: Path) -> None:
    path = record_path(study, ROOT, f"{ROOT}/analysis/scores.csv")
    path.write_text(path.read_text().replace(ROOT, "results/other"))
    with pytest.raises(InputError, match=r"holds records of results/other \(.*scores\.csv\.json\), results/tiny"):
        read_records(study)


def test_a_folder_in_the_place_of_a_record_is_named(study: Path) -> None:
    (study / FOLDER / "x.json").mkdir()
    with pytest.raises(InputError, match=r"x\.json cannot be read: Is a directory"):
        read_records(study)


def test_of_two_jobs_that_wrote_a_file_the_later_made_it(study: Path) -> None:
    last = record_path(study, ROOT, f"{ROOT}/figures/plot.png")
    newer = json.loads(last.read_text())
    changed(study, "figures/plot.png", ended="2025-01-01T00:00:00+00:00", rule="older")
    newer["outputs"].reverse()
    record_path(study, ROOT, f"{ROOT}/figures/plot.csv").write_text(json.dumps(newer))
    found = read_records(study).of("figures/plot.png")
    assert found is not None
    assert found.rule == "plot"


def test_jobs_that_read_each_others_files_are_named(study: Path) -> None:
    plot = json.loads(record_path(study, ROOT, f"{ROOT}/figures/plot.png").read_text())
    changed(study, "analysis/scores.csv", inputs=plot["outputs"])
    records = read_records(study)
    with pytest.raises(InputError, match=r"plot\.png\.json has a job that reads what was made of its own files"):
        records.lineage([one for one in records if one.rule == "plot"])


def test_a_study_without_records_is_empty(tmp_path: Path) -> None:
    records = read_records(tmp_path)
    assert len(records) == 0
    assert records.of("figures/plot.png") is None
    with pytest.raises(InputError, match="holds no records"):
        _ = records.root


def test_a_digest_of_files_does_not_depend_on_their_order() -> None:
    files = [("b" * 64, "a"), ("a" * 64, "b")]
    expected = hashlib.sha256(f"{'a' * 64} b\n{'b' * 64} a".encode()).hexdigest()
    assert files_digest(files) == files_digest(reversed(files)) == expected
