"""A small repository of modules, and what counts as the code behind a command of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from workflow_scripts.provenance.closure import BY_NAME, DISTRIBUTIONS, READ, ROOT, Repository
from workflow_scripts.settings import InputError
from workflow_scripts.settings.families import FAMILIES

FILES = {
    "envs/requirements.txt": "numpy==2.4.6 \\\n    --hash=sha256:00\nPyYAML==6.0.3\n    # via it\nrich==15.0.0\n",
    "workflow_scripts/__init__.py": "",
    "workflow_scripts/settings/__init__.py": '"""Passes on."""\nfrom .a import A\nfrom .b import B\n__all__ = ["A"]',
    "workflow_scripts/settings/a.py": "class A: pass",
    "workflow_scripts/settings/b.py": "import rich\nclass B: pass",
    "workflow_scripts/stage/__init__.py": '"""A stage."""',
    "workflow_scripts/stage/command.py": "from workflow_scripts.settings import A\n"
    "import numpy as np\nimport os.path\n\ndef main():\n    from workflow_scripts.stage import helper\n"
    "    return helper",
    "workflow_scripts/stage/helper.py": "from .far import value\nimport yaml",
    "workflow_scripts/stage/far.py": '"""Far away."""\nvalue = 1  # one\n',
    "workflow_scripts/other/__init__.py": "registered = []",
    "workflow_scripts/other/command.py": "import workflow_scripts.settings\n",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def code(root: Path, module: str = "workflow_scripts.stage.command") -> tuple[dict[str, str], dict[str, str]]:
    found = Repository(root).code(module)
    return found.modules, found.packages


def test_what_is_imported_near_and_far_counts_and_nothing_else(root: Path) -> None:
    modules, packages = code(root)
    assert set(modules) == {
        f"workflow_scripts.{name}" for name in ("stage.command", "stage.helper", "stage.far", "settings.a")
    }
    assert packages == {"numpy": "2.4.6", "pyyaml": "6.0.3"}


def test_what_only_notes_what_happens_does_not_count(root: Path) -> None:
    before = code(root)
    for name in ("__init__", "job"):
        (root / f"workflow_scripts/notes/{name}.py").parent.mkdir(exist_ok=True)
        (root / f"workflow_scripts/notes/{name}.py").write_text("import pandas")
    far = root / "workflow_scripts/stage/far.py"
    far.write_text("value = 1")
    for text in ("from workflow_scripts.notes import job", "import workflow_scripts.notes.job"):
        (root / "workflow_scripts/stage/helper.py").write_text(f"from .far import value\nimport yaml\n{text}")
        modules, packages = code(root)
        assert (set(modules), packages) == (set(before[0]), before[1])


def test_a_package_that_does_more_than_pass_names_on_counts(root: Path) -> None:
    modules, _ = code(root, "workflow_scripts.other.command")
    names = ("other", "other.command", "settings", "settings.a", "settings.b")
    assert set(modules) == {f"workflow_scripts.{name}" for name in names}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("stage/far.py", '"""Says something else."""\n\n# two\nvalue = (1)\n'),
        ("stage/helper.py", "from .far import (\n    value,\n)\nimport yaml"),
        ("settings/b.py", "import numpy\nclass B: x = 1"),
        ("stage/beside.py", "value = 3"),
        ("settings/__init__.py", "from .a import A\nfrom .b import B as C\n"),
    ],
)
def test_comments_layout_and_other_modules_change_nothing(root: Path, name: str, text: str) -> None:
    before = code(root)
    (root / "workflow_scripts" / name).write_text(text)
    assert code(root) == before


@pytest.mark.parametrize(
    ("name", "text", "changed"),
    [
        ("stage/far.py", "value = 2", "stage.far"),
        ("stage/command.py", FILES["workflow_scripts/stage/command.py"] + "\n", None),
        ("settings/a.py", "class A:\n    x: int = 1", "settings.a"),
        ("settings/__init__.py", "from .b import B as A", "settings.b"),
    ],
)
def test_a_change_shows_in_the_module_that_changed(root: Path, name: str, text: str, changed: str | None) -> None:
    before, _ = code(root)
    (root / "workflow_scripts" / name).write_text(text)
    after, _ = code(root)
    different = {key for key in before | after if before.get(key) != after.get(key)}
    assert (f"workflow_scripts.{changed}" in different) if changed else not different


def test_a_version_in_the_lock_shows(root: Path) -> None:
    lock = root / "envs" / "requirements.txt"
    lock.write_text(lock.read_text().replace("2.4.6", "2.4.7"))
    assert code(root)[1] == {"numpy": "2.4.7", "pyyaml": "6.0.3"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def (", "stage/far.py, line 1: .*; expected Python"),
        ("x = 1\nfrom . import gone", None),
        ("import workflow_scripts.nowhere", "stage/far.py, line 1: there is no module workflow_scripts.nowhere"),
    ],
)
def test_code_that_cannot_be_read_is_named(root: Path, text: str, message: str | None) -> None:
    (root / "workflow_scripts/stage/far.py").write_text(text)
    if message is None:
        assert "workflow_scripts.stage.far" in code(root)[0]  # a name of the package, for all that reading can tell
    else:
        with pytest.raises(InputError, match=message):
            code(root)


def test_a_command_that_is_not_there_is_refused(root: Path) -> None:
    with pytest.raises(InputError, match=r"module workflow_scripts\.stage\.gone is not in"):
        code(root, "workflow_scripts.stage.gone")


@pytest.mark.parametrize("command", ["analysis.scores", "frames.store", "curation.shortlist"])
def test_what_python_really_imports_is_in_the_closure(command: str) -> None:
    """Against the interpreter: the modules it loads, less packages that only pass names on and what those load."""
    shown = "import sys, workflow_scripts.{}; print(*[m for m in sys.modules if m.startswith('workflow_scripts.')])"
    done = subprocess.run(
        [sys.executable, "-c", shown.format(command)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    repository = Repository()
    found = set(repository.code(f"workflow_scripts.{command}").modules) | {"workflow_scripts"}
    loaded = {name for name in done.stdout.split() if not name.startswith("workflow_scripts.settings")}
    transparent = {name for name in loaded - found if repository._read(name).passes_on is not None}
    assert {name for name in loaded - transparent if not name.startswith("workflow_scripts.notes")} <= found


def test_every_package_imported_has_a_locked_version() -> None:
    repository = Repository()
    for path in sorted((ROOT / "workflow_scripts").rglob("*.py")):
        repository.code(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    foreign = set().union(*(module.foreign for module in repository._modules.values()))
    unlocked = {
        name for name in foreign if DISTRIBUTIONS.get(name, name.lower().replace("_", "-")) not in repository.locked
    }
    assert unlocked <= {"snakemake"} | OPTIONAL


OPTIONAL: set[str] = set()
"""Packages that code imports only where a setting asks for them, and that the lock leaves to the user."""


def test_every_file_below_resources_that_code_names_belongs_to_a_module() -> None:
    naming = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "workflow_scripts").rglob("*.py")
        if '/ "resources"' in path.read_text()
    }
    # what pins.json says reaches rules as settings
    assert naming - {"workflow_scripts.hub.pins", "workflow_scripts.provenance.closure"} <= set(READ)


@pytest.mark.parametrize("command", ["finetuning.train", "evaluation.evaluate", "budgets.vlm"])
def test_all_model_families_count_though_they_are_imported_by_name(command: str) -> None:
    modules = Repository().code(f"workflow_scripts.{command}").modules
    adapters = {row.adapter.partition(":")[0] for row in FAMILIES.values()}
    assert {f"workflow_scripts.vlm.families.{name}" for name in adapters} <= set(modules)


def test_packages_that_import_by_name_are_known() -> None:
    """A call of importlib's `import_module` with anything but a text hides what it imports."""
    package = ROOT / "workflow_scripts"
    hiding = {path for path in package.rglob("*.py") if "import_module" in path.read_text()}
    assert {".".join(path.relative_to(ROOT).parent.parts) for path in hiding} == BY_NAME
