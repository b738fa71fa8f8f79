"""Records that a study's folder holds, read wherever the folder is."""

import hashlib
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
