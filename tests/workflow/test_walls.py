"""The walls of the house, read from the syntax trees of every module."""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "workflow_scripts"
STAGES = [
    "miniature",
    "curation",
    "frames",
    "budgets",
    "finetuning",
    "evaluation",
    "analysis",
    "figures",
    "provenance",
]
# A support package may import those named with it.
SUPPORT = {
    "notes": set(),
    "settings": {"notes"},
    "content": {"settings"},
    "hub": {"settings"},
    "video": {"settings"},
    "vlm": {"settings"},
    "predictors": {"settings", "vlm"},
    "theory": set(),
}
# Readers that stand beside their writers: all that a later stage may import of an earlier one.
READERS = {
    "workflow_scripts.curation.images": {"ImageStore", "read_images", "store_of"},
    "workflow_scripts.frames.store": {"FrameStore"},
    "workflow_scripts.budgets.allocation": {"read_allocation"},
    "workflow_scripts.budgets.truth": {"read_truth"},
    "workflow_scripts.finetuning": {"slurm"},
    "workflow_scripts.finetuning.lease": {"Holder"},
    "workflow_scripts.evaluation.scores": {"read_responses", "read_scores"},
    "workflow_scripts.analysis.scores": {"read_scores_table"},
    "workflow_scripts.analysis.deltas": {"read_deltas"},
    "workflow_scripts.analysis.attention": {"read_pictures"},
    "workflow_scripts.analysis.contrasts": {"read_contrasts"},
    "workflow_scripts.analysis.concentration": {"read_concentration", "subject_of"},
    "workflow_scripts.analysis.abilities": {"read_abilities"},
    "workflow_scripts.analysis.frame_effects": {"read_frame_effects"},
    "workflow_scripts.analysis.propositions": {"WHOLE", "read_propositions"},
}


def imports() -> list[tuple[str, str, str, set[str]]]:
    """(file, its package, module imported, names) of every import of this project's own modules."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        package = path.relative_to(PACKAGE).parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            names = {alias.name for alias in node.names}
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else sorted(names)
            if level := getattr(node, "level", 0):
                assert level == 1, f"{path}: a relative import may leave its package"
                continue
            found += [(str(path), package, m, names) for m in modules if m.split(".")[0] == "workflow_scripts"]
    return found


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def test_every_package_is_a_stage_or_a_support_package() -> None:
    packages = {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.rglob("*.py"))}
    assert packages == {*STAGES, *SUPPORT}


def test_support_packages_import_no_stage_and_no_circle() -> None:
    for path, package, module, _ in imports():
        if package in SUPPORT and room(module) != package:
            assert room(module) in SUPPORT[package], f"{path} imports {module}"


def test_a_stage_imports_of_an_earlier_one_only_its_readers() -> None:
    for path, package, module, names in imports():
        other = room(module)
        if package not in STAGES or other == package or other in SUPPORT:
            continue
        assert other in STAGES, f"{path} imports {module}"
        assert STAGES.index(other) < STAGES.index(package), f"{path} imports the later stage {module}"
        assert names <= READERS.get(module, set()), f"{path} imports {sorted(names)} of {module}"


def test_the_rules_above_have_something_to_judge() -> None:
    rooms = {(package, room(module)) for _, package, module, _ in imports()}
    assert ("frames", "video") in rooms
    assert ("finetuning", "frames") in rooms
