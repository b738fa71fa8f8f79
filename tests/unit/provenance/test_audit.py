"""What an audit says of a small study, of changes made to it, and with which exit status."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from workflow_scripts.provenance.findings import Kind
from workflow_scripts.provenance.records import Code, Record, Source, files_digest, read_records
from workflow_scripts.provenance.sources import listed_files

from .conftest import ROOT, Here, run, state, weights


def test_a_study_as_it_was_made_is_whole(audited: Callable[..., tuple[int, str]]) -> None:
    status, said = audited()
    assert status == 0
    assert "4 jobs, 7 files" in said
    assert "all is as recorded" in said


def test_the_tree_goes_down_to_the_first_job_and_draws_each_once(audited: Callable[..., tuple[int, str]]) -> None:
    _, said = audited()
    jobs = [line.lstrip("│├└─ ").split("  ")[0] for line in said.splitlines() if "node" in line or "↑" in line]
    assert jobs == ["plot", "score", "train", "draw", "draw"]
    assert said.count("↑") == 1


@pytest.mark.parametrize(
    "name",
    ["figures/plot.png", "curation/manifest.csv", "finetuning/model/model.safetensors", "finetuning/summary.json"],
)
def test_a_flipped_bit_is_found_in_any_file(study: Path, audited: Callable[..., tuple[int, str]], name: str) -> None:
    path = study / name
    times = path.stat()
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    status, said = audited()
    assert status == Kind.EDITED
    assert f"{ROOT}/{name} is not as it was" in said
    assert "--repair" in said


def test_what_is_upstream_of_a_result_is_audited_with_it_and_what_is_not_is_not(
    study: Path, audited: Callable[..., tuple[int, str]]
) -> None:
    (study / "figures/plot.csv").write_text("edited")
    assert audited()[0] == Kind.EDITED  # of the same job
    assert audited(study / "analysis/scores.csv")[0] == 0


@pytest.mark.parametrize("rule", ["draw", "train", "score"])
def test_a_file_made_again_since_makes_what_read_it_stale(
    study: Path, recorded: Callable[..., Record], audited: Callable[..., tuple[int, str]], rule: str
) -> None:
    name = read_records(study).lineage([one for one in read_records(study) if one.rule == rule])[-1].key
    (study / name.removeprefix(f"{ROOT}/")).write_text("made again")
    recorded(rule)
    status, said = audited()
    assert status == Kind.STALE
    assert f"it read another {name} than {rule} has made since" in said


def test_weights_made_again_beside_an_equal_config_make_scores_stale(
    study: Path, recorded: Callable[..., Record], audited: Callable[..., tuple[int, str]]
) -> None:
    key = f"{ROOT}/finetuning/model/config.json"
    weights = state(study, "finetuning/model/model.safetensors")
    recorded("score", used={key: files_digest([(weights.sha256, weights.path)])})
    assert audited()[0] == 0
    (study / "finetuning/model/model.safetensors").write_text("trained again")
    recorded("train")
    status, said = audited()
    assert status == Kind.STALE
    assert f"it read other files beside {key} than are on record now" in said


def test_code_that_changed_since_is_named(here: type[Here], audited: Callable[..., tuple[int, str]]) -> None:
    here.changed = {"workflow_scripts.far": "b" * 12}
    status, said = audited()
    assert status == Kind.STALE
    assert "code has changed since: workflow_scripts.far" in said


def test_code_that_is_in_no_commit_is_named(
    recorded: Callable[..., Record], audited: Callable[..., tuple[int, str]]
) -> None:
    recorded("train", run=run(changed=("workflow_scripts/train.py",)))
    status, said = audited()
    assert status == Kind.UNCOMMITTED
    assert "made by code that is in no commit: workflow_scripts/train.py" in said
    recorded("train", run=run(commit=None, changed=None))
    assert audited()[0] == Kind.UNCOMMITTED


def test_code_that_changed_while_the_study_ran_is_named(
    recorded: Callable[..., Record], audited: Callable[..., tuple[int, str]]
) -> None:
    recorded("train", run=run(unplanned=("workflow_scripts.train",)))
    status, said = audited()
    assert status == Kind.STALE
    assert "it ran other code than was planned: workflow_scripts.train" in said


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"run": run(packages={"numpy": "2.4.7"})}, "numpy: 2.4.6 (3 jobs), 2.4.7 (score)"),
        ({"run": run(python="3.12.1")}, "Python: 3.11.2 (3 jobs), 3.12.1 (score)"),
    ],
)
def test_versions_that_differ_within_a_lineage_are_named(
    recorded: Callable[..., Record],
    audited: Callable[..., tuple[int, str]],
    changes: dict[str, object],
    text: str,
) -> None:
    recorded("score", **changes)
    status, said = audited()
    assert status == Kind.MIXED
    assert text in said


def test_code_that_two_jobs_share_in_two_versions_is_mixed_and_two_commits_alone_are_not(
    recorded: Callable[..., Record], audited: Callable[..., tuple[int, str]], here: type[Here]
) -> None:
    recorded("score", run=run(commit="e" * 40))
    status, said = audited()
    assert status == 0
    assert "made at 2 commits: cccccccc, eeeeeeee" in said
    here.changed = {"workflow_scripts.shared": "1" * 12}
    for rule, version in (("draw", "1" * 12), ("train", "1" * 12), ("score", "2" * 12), ("plot", "1" * 12)):
        modules = {f"workflow_scripts.{rule}": "a" * 12, "workflow_scripts.shared": version}
        recorded(rule, code=Code(digest=version, modules=modules, packages={"numpy": "2.4.6"}))
    status, said = audited()
    assert status == Kind.MIXED | Kind.STALE
    assert "mixed: workflow_scripts.shared: 111111111111 (3 jobs), 222222222222 (score)" in said


def test_what_is_missing_is_named_file_record_and_note(
    study: Path, recorded: Callable[..., Record], audited: Callable[..., tuple[int, str]]
) -> None:
    recorded("train", run=None)
    assert audited()[0] == Kind.MISSING
    recorded("train")
    (study / "finetuning/model/model.safetensors").unlink()
    status, said = audited()
    assert status == Kind.MISSING
    assert f"{ROOT}/finetuning/model/model.safetensors is not there" in said
    (study / "finetuning/model/model.safetensors").write_text("content of finetuning/model/model.safetensors")
    next((study / "provenance/records/analysis").iterdir()).unlink()
    status, said = audited()
    assert status == Kind.MISSING
    assert f"{ROOT}/analysis/scores.csv has no record" in said


def test_a_result_that_is_gone_is_missing_and_nothing_else(
    study: Path, audited: Callable[..., tuple[int, str]]
) -> None:
    (study / "figures/plot.png").unlink()
    status, said = audited()
    assert status == Kind.MISSING
    assert f"{ROOT}/figures/plot.png is not there" in said


def test_sources_are_read_again_where_they_are_at_hand_and_named_where_they_are_not(
    tmp_path: Path, recorded: Callable[..., Record], audited: Callable[..., tuple[int, str]]
) -> None:
    base = tmp_path / "base"
    base.mkdir()
    (base / "model.safetensors").write_text("weights")
    source = weights(base)
    recorded("train", sources=(source,))
    status, said = audited()
    assert status == 0
    assert f"└── weights base: {base}, 1 files, sha256 {str(source.sha256)[:12]}" in said
    (base / "model.safetensors").write_text("others")
    status, said = audited()
    assert status == Kind.EDITED
    assert f"{base}/model.safetensors is not as it was" in said
    shutil.rmtree(base)
    status, said = audited()
    assert status == 0
    assert f"not on this machine: weights base: {base}" in said


def test_all_files_are_named_where_that_is_asked_for(study: Path, audited: Callable[..., tuple[int, str]]) -> None:
    _, said = audited(study / "figures/plot.png", "--full")
    for one in read_records(study):
        assert all(f"{file.sha256} {file.path}" in said for file in one.made)
        assert f"$ {one.command}" in said


def test_a_copied_figure_is_found_by_its_content(
    study: Path, tmp_path: Path, audited: Callable[..., tuple[int, str]]
) -> None:
    loose = tmp_path / "loose.bin"
    shutil.copyfile(study / "figures/plot.png", loose)
    status, said = audited(loose, "--results", tmp_path)
    assert status == 0
    assert f"{loose}: {ROOT}/figures/plot.png of study tiny" in said


def test_a_figure_saved_again_is_found_by_what_it_carries(
    study: Path, tmp_path: Path, recorded: Callable[..., Record], audited: Callable[..., tuple[int, str]]
) -> None:
    recorded("plot", run=run(identity="0123456789abcdef" * 2))
    loose = tmp_path / "loose.png"
    loose.write_bytes(b"x tEXtComment study=tiny commit=" + b"c" * 40 + b" record=" + b"0123456789abcdef" * 2 + b" x")
    status, said = audited(loose, "--results", tmp_path)
    assert status == Kind.EDITED
    assert f"carries the identity of {ROOT}/figures/plot.png and not its content" in said
    loose.write_bytes(loose.read_bytes().replace(b"0123", b"ffff"))
    status, said = audited(loose, "--results", tmp_path)
    assert status == Kind.MISSING
    assert "it says of itself: study tiny, commit cccc" in said


def test_a_file_that_nobody_knows_is_missing_its_record(
    tmp_path: Path, audited: Callable[..., tuple[int, str]]
) -> None:
    loose = tmp_path / "loose.png"
    loose.write_bytes(b"a picture")
    status, said = audited(loose, "--results", tmp_path)
    assert status == Kind.MISSING
    assert "carries nothing of its making" in said


def test_equal_studies_do_not_differ(study: Path, other: Path, audited: Callable[..., tuple[int, str]]) -> None:
    status, said = audited("--diff", study / "figures/plot.png", other / "figures/plot.png")
    assert (status, said) == (0, "4 jobs made equal files\n")


def test_a_difference_begins_at_the_earliest_job_that_differs_by_itself(
    study: Path, other: Path, recorded: Callable[..., Record], audited: Callable[..., tuple[int, str]]
) -> None:
    for name in ("finetuning/model/config.json", "analysis/scores.csv", "figures/plot.png"):
        (study / name).write_text("with another seed")
    recorded("train", settings={"seed": 2})
    recorded("score")
    recorded("plot", run=run(packages={"numpy": "2.4.7"}))
    status, said = audited("--diff", other / "figures/plot.png", study / "figures/plot.png")
    assert status == 1
    assert said.splitlines()[:4] == [
        "it begins at train",
        "    setting seed: 1 -> 2",
        "and plot",
        "    package numpy: 2.4.6 -> 2.4.7",
    ]
    assert "1 jobs differ only because files they read do: score" in said
    assert "1 jobs made equal files" in said


def test_other_files_of_equal_making_are_named(
    study: Path, other: Path, recorded: Callable[..., Record], audited: Callable[..., tuple[int, str]]
) -> None:
    (study / "finetuning/summary.json").write_text("another rounding")
    recorded("train")
    status, said = audited("--diff", other / "figures/plot.png", study / "figures/plot.png")
    assert status == 1
    assert said.splitlines()[:2] == [
        "it begins at train",
        "    made other files of equal files: finetuning/summary.json",
    ]


def test_files_that_a_result_lists_are_those_of_the_source(study: Path) -> None:
    import pandas as pd

    rows = {"video": ["b.mp4", "a.mp4", "b.mp4"], "sha256": ["2", "1", "2"]}
    pd.DataFrame(rows).to_parquet(study / "curation/manifest.parquet")
    source = Source(
        kind="videos",
        name="the sample",
        place="data",
        revision=None,
        count=2,
        sha256=None,
        listed_in=f"{ROOT}/curation/manifest.parquet",
        files=(),
    )
    assert listed_files(source, read_records(study).locate) == [("a.mp4", "1"), ("b.mp4", "2")]
