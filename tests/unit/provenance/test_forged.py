"""Records and figures that were tampered with: what an audit says of them, and that they lead it nowhere else."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from workflow_scripts.provenance import findings
from workflow_scripts.provenance.findings import Kind
from workflow_scripts.provenance.gather import code_digest
from workflow_scripts.provenance.invocation import read_invocation
from workflow_scripts.provenance.pending import Pending
from workflow_scripts.provenance.records import Code, File, Record
from workflow_scripts.settings import InputError

from .conftest import ROOT, run, weights


def test_a_link_to_another_result_is_not_that_result(study: Path, audited: Callable[..., tuple[int, str]]) -> None:
    (study / "figures/plot.png").unlink()
    (study / "figures/plot.png").symlink_to(study / "curation/manifest.csv")
    status, said = audited()
    assert status == Kind.EDITED
    assert f"{ROOT}/figures/plot.png is not as it was" in said


def test_a_record_that_was_edited_contradicts_what_snakemake_noted(
    recorded: Callable[..., Record], audited: Callable[..., tuple[int, str]]
) -> None:
    code = {"modules": {"workflow_scripts.score": "a" * 12}, "packages": {"numpy": "2.4.6"}}
    own = {"rule": "score", "shellcmd": "python -m workflow_scripts.score", "params": ["1", repr(json.dumps(code))]}
    whole = Code(digest=code_digest(code), **code)
    recorded("score", snakemake=own, code=whole)
    assert audited()[0] == 0
    for changes in ({"settings": {"seed": 2}}, {"command": "python -m workflow_scripts.score --seed 2"}):
        recorded("score", **{"snakemake": own, "code": whole, **changes})
        status, said = audited()
        assert status == Kind.EDITED
        assert f"its record was edited: {next(iter(changes))} and Snakemake's part" in said
    recorded("score", snakemake=own, code=Code(digest="0" * 64, **code))
    assert audited()[0] == Kind.EDITED
    recorded("score", snakemake=own, code=whole, settings={"seed": 2}, kept=True)
    assert audited()[0] == 0


def test_a_figure_in_the_place_of_another_shows_by_what_it_carries(
    study: Path, recorded: Callable[..., Record], audited: Callable[..., tuple[int, str]]
) -> None:
    carried = b"study=tiny commit=" + b"c" * 40 + b" record="
    (study / "figures/plot.png").write_bytes(carried + b"a" * 32)
    recorded("plot", run=run(identity="a" * 32))
    assert audited()[0] == 0
    recorded("plot", run=run(identity="b" * 32))
    status, said = audited()
    assert status == Kind.EDITED
    assert f"plot.png carries the identity of another making: {'a' * 32}" in said


def test_a_list_of_a_source_that_is_not_the_one_on_record_is_named(
    tmp_path: Path, recorded: Callable[..., Record], audited: Callable[..., tuple[int, str]]
) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base/model.safetensors").write_text("weights")
    recorded("train", sources=(weights(tmp_path / "base").model_copy(update={"sha256": "0" * 64}),))
    status, said = audited()
    assert status == Kind.EDITED
    assert "weights base: the list of its files is not the one on record" in said


def test_a_record_writes_no_lines_of_its_own(
    recorded: Callable[..., Record], audited: Callable[..., tuple[int, str]]
) -> None:
    recorded("score", run=run(host="node\nall is as recorded\x1b[8m"), used={"a": "b"})
    status, said = audited()
    assert status == Kind.STALE
    assert "all is as recorded" not in said.splitlines()
    assert r"node\nall is as recorded\x1b[8m" in said


def test_names_that_no_file_can_have_are_missing(
    recorded: Callable[..., Record], audited: Callable[..., tuple[int, str]]
) -> None:
    recorded(
        "score", inputs=tuple(File(path=one, bytes=1, sha256="0" * 64, mtime_ns=0) for one in ("a\0b", "c" * 5000))
    )
    assert audited()[0] == Kind.MISSING


def test_a_commit_that_is_not_here_is_named(
    recorded: Callable[..., Record], audited: Callable[..., tuple[int, str]]
) -> None:
    recorded("score", run=run(commit="0" * 40))
    assert "not in this repository: commit 00000000" in audited()[1]


def test_an_empty_file_is_no_result_of_any_job(
    study: Path, tmp_path: Path, recorded: Callable[..., Record], audited: Callable[..., tuple[int, str]]
) -> None:
    (study / "analysis/scores.csv").write_bytes(b"")
    recorded("score")
    (tmp_path / "loose.csv").write_bytes(b"")
    assert audited(tmp_path / "loose.csv", "--results", tmp_path)[0] == Kind.MISSING


def test_a_file_that_is_not_as_recorded_is_a_difference(
    study: Path, other: Path, audited: Callable[..., tuple[int, str]]
) -> None:
    (other / "analysis/scores.csv").write_text("edited")
    status, said = audited("--diff", study / "figures/plot.png", other / "figures/plot.png")
    assert status == 1
    assert f"second: {ROOT}/analysis/scores.csv is not as it was" in said


@pytest.mark.parametrize(
    "text",
    ['{"configfiles": ["--snakefile", "x.smk"], "config": {}}', '{"configfiles": [], "config": {"--snakefile": "x"}}'],
)
def test_flags_in_the_place_of_overlays_are_refused(study: Path, text: str) -> None:
    (study / "provenance/invocation.json").write_text(text)
    with pytest.raises(InputError, match="does not say how Snakemake was called"):
        read_invocation(study)


def test_a_result_of_other_runs_than_the_configuration_names_is_stale(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, audited: Callable[..., tuple[int, str]]
) -> None:
    (tmp_path / "results").mkdir()
    study.rename(tmp_path / ROOT)
    (tmp_path / ROOT / "provenance/invocation.json").write_text('{"configfiles": [], "config": {}}')
    monkeypatch.chdir(tmp_path)
    known = dict.fromkeys(("missing", "upstream", "updated", "before", "now"), ())
    job = Pending(
        rule="score",
        wildcards={},
        outputs=(f"{ROOT}/analysis/scores.csv",),
        added=("seed-2.json",),
        gone=("seed-9.json",),
        command=False,
        **known,
    )
    monkeypatch.setattr(findings, "pending", lambda *_: [job])
    status, said = audited(Path(ROOT) / "figures/plot.png")
    assert status == Kind.STALE
    assert "it did not read what it would read now: seed-2.json" in said
    assert "it read what it would not read now: seed-9.json" in said
