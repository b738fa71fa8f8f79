"""What `why` says of a job, from what Snakemake found."""

import json
import subprocess
from pathlib import Path

import pytest

from workflow_scripts.provenance.closure import Repository
from workflow_scripts.provenance.pending import Pending
from workflow_scripts.provenance.why import differences, explain, pair

NOTHING = Pending("train", {"seed": "1"}, ("out",), (), (), (), (), (), (), (), False)


def job(**found: object) -> Pending:
    return Pending(**{**NOTHING.__dict__, **found})  # type: ignore[arg-type]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """One module, committed twice."""
    path = tmp_path / "workflow_scripts" / "stage" / "one.py"
    path.parent.mkdir(parents=True)
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs/requirements.txt").write_text("numpy==2.4.6\n")
    for package in (path.parent, path.parents[1]):
        (package / "__init__.py").touch()
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    for text in ("value = 1\n", "value = 2  # two\n"):
        path.write_text(text)
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-qm", "a"], check=True)
    return Repository(tmp_path)


def code(repository: Repository) -> str:
    found = Repository(repository.root).code("workflow_scripts.stage.one")
    return repr({"modules": found.modules, "packages": found.packages})


def test_a_changed_module_is_shown_as_a_difference_to_the_version_that_ran(repository: Repository) -> None:
    path = repository.root / "workflow_scripts/stage/one.py"
    path.write_text("value = 1\n")
    ran = code(repository)
    path.write_text("value = 3\n")
    lines = explain(job(before=(ran,), now=(code(repository),)), repository)
    assert lines[0] == "code workflow_scripts/stage/one.py changed"
    assert "    -value = 1" in lines
    assert "    +value = 3" in lines


def test_a_version_that_was_never_committed_is_said_to_be_none(repository: Repository) -> None:
    path = repository.root / "workflow_scripts/stage/one.py"
    path.write_text("value = 4\n")
    ran = code(repository)
    path.write_text("value = 3\n")
    lines = explain(job(before=(ran,), now=(code(repository),)), repository)
    assert lines == [
        "code workflow_scripts/stage/one.py changed",
        "    the version that ran is in none of its last commits",
    ]


def test_packages_and_modules_that_come_and_go(repository: Repository) -> None:
    before = repr({"modules": {"a": "1"}, "packages": {"torch": "2.12.0", "numpy": "2"}})
    now = repr({"modules": {"b": "1"}, "packages": {"torch": "2.13.0", "numpy": "2"}})
    assert explain(job(before=(before,), now=(now,)), repository) == [
        "code a is imported no more",
        "code b is imported now",
        "package torch: 2.12.0 -> 2.13.0",
    ]


def test_settings_are_named_with_both_values(repository: Repository) -> None:
    recipe = {"name": "full", "learning_rates": {"projector": 1e-05, "vision_tower": 2e-06}, "epochs": 1.0}
    faster = {**recipe, "learning_rates": {"projector": 2e-05, "vision_tower": 2e-06}}
    found = job(
        before=(repr("--resamples 2000 --seed 0"), repr(json.dumps(recipe)), "8"),
        now=(repr(json.dumps(faster)), "16", repr("--resamples 500 --seed 0")),
    )
    assert explain(found, repository) == [
        "setting --resamples 2000 --seed 0 -> --resamples 500 --seed 0",
        "setting learning_rates.projector: 1e-05 -> 2e-05",
        "setting 8 -> 16",
    ]


def test_files(repository: Repository) -> None:
    found = job(missing=("a",), updated=("b",), added=("c",), gone=("d",), upstream=("e", "f"), command=True)
    assert explain(found, repository) == [
        "a is not there",
        "b has other content",
        "c is an input now",
        "d is no input any more",
        "the rule's command line changed",
        "after the jobs that make e, f",
    ]


def test_named_entries_of_a_list_are_compared_by_name() -> None:
    before = [{"name": "mme", "questions": 10}, {"name": "pope", "questions": 5}]
    now = [{"name": "pope", "questions": 6}, {"name": "mmstar", "questions": 2}]
    assert list(differences(before, now)) == [
        'mme: {"name": "mme", "questions": 10} -> nothing',
        "pope.questions: 5 -> 6",
        'mmstar: nothing -> {"name": "mmstar", "questions": 2}',
    ]


def test_parameters_without_a_counterpart_stay_alone() -> None:
    assert pair([{"a": 1}], []) == [({"a": 1}, None)]
    assert pair(["--x 1", [1, 2]], [[1, 3], "--x 2"]) == [("--x 1", "--x 2"), ([1, 2], [1, 3])]
