"""The page of a figure's lineage says what is in the study's files, whatever these are called."""

import copy
import csv
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests import commands
from workflow_scripts.provenance import lineage as module
from workflow_scripts.provenance.lineage import lineage
from workflow_scripts.provenance.lineage_page import page
from workflow_scripts.settings import StudySettings, load_study, plan, to_json
from workflow_scripts.settings.files import write_json, write_parquet
from workflow_scripts.settings.paper import PAPER

HOSTILE = "0_30/</td><script>alert(1)</script>&\"'.mp4"


@pytest.fixture
def study() -> StudySettings:
    config: dict[str, Any] = copy.deepcopy(PAPER)
    one = {"recipe": "full", "models": ["qwen2.5-vl-7b"], "seeds": [1, 2], "eval_frames": [16]}
    config["experiments"] = [
        {"figure": "frames", "allocations": ["uniform-8", "uniform-16"], **one},
        {"figure": "hybrid", "allocations": ["hybrid-dinov2"], **one},
    ]
    return load_study(config)


@pytest.fixture
def results(tmp_path: Path, study: StudySettings) -> Path:
    """What the stages leave: 5 samples on 4 videos, 2 quarantined, runs, evaluations of two benchmarks."""
    curation = tmp_path / "curation"
    files = [{"records": 10, "malformed": 1}, {"records": 7, "malformed": 0}]
    write_json({"subsets": [{"annotations": files}]}, curation / "inventory.json")
    write_parquet(pd.DataFrame({"video": ["a", "b", "c", "d", HOSTILE, "f"]}), curation / "shortlist.parquet")
    write_parquet(pd.DataFrame({"video": ["a", "a", "b", "c", "d"]}), curation / "manifest.parquet")
    table(curation / "quarantine.csv", ["video", "reason", "detail"], [[HOSTILE, "empty", "0 bytes"]])
    table(tmp_path / "frames/shard-0.quarantine.csv", ["video", "reason", "detail"], [["f", "truncated", "at frame 3"]])
    for name, budgets in (("uniform-8", [8] * 5), ("uniform-16", [16] * 5), ("hybrid-dinov2", [8, 8, 16, 64, 64])):
        write_parquet(pd.DataFrame({"budget": budgets}), tmp_path / "budgets" / f"{name}.parquet")
    for run in plan.runs(study):
        summary = {"samples": 5, "steps": 2, "gpu_hours": 1.5, "left_out": {"too long": 1}}
        write_json(summary, tmp_path / "finetuning" / run.path / "summary.json")
        log = tmp_path / "benchmarks" / "finetuning" / f"{run.path}.jsonl"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text('{"s": 3600.0, "cpu_time": 7200.0}\n')
    rows = [
        {"benchmark": "mme", "category": "all", "n_questions": 20},
        {"benchmark": "mme", "category": "existence", "n_questions": 6},
        {"benchmark": "pope", "category": "all", "n_questions": 12},
    ]
    for folder in plan.evaluations(study):
        write_json({"rows": rows}, tmp_path / folder / "scores.json")
    for figure in ("frames", "hybrid", "training_data", "detectable"):
        table(tmp_path / f"figures/{figure}.csv", ["x"], [["1"], ["2"], ["3"]])
    record = {"settings": {}, "packages": {"torch": "2.13.0"}, "python": "3.11.2", "commit": "c" * 40, "changed": []}
    write_json({**record, "machine": {"gpus": []}, "recorded": "2026"}, tmp_path / "provenance/study.json")
    return tmp_path


def table(path: Path, header: list[str], rows: list[list[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def test_counts_are_those_of_the_files_behind_one_figure(study: StudySettings, results: Path) -> None:
    found = lineage(study, results, "frames")
    assert (found.annotation_files, found.annotation_records, found.malformed) == (2, 17, 1)
    assert (found.opened, found.samples, found.videos) == (6, 5, 4)
    assert [entry["video"] for entry in found.quarantined] == [HOSTILE, "f"]
    assert found.allocations == {"uniform-8": 8, "uniform-16": 16}
    assert [run["path"] for run in found.runs] == [
        f"full/qwen2.5-vl-7b/uniform-{budget}/seed-{seed}" for budget in (8, 16) for seed in (1, 2)
    ]
    # base, blind and four runs, each on images and videos; 32 questions each
    assert found.evaluations == {"base": 2, "blind": 2, "tuned": 8}
    assert found.questions == {"mme": 20, "pope": 12}
    assert (found.answers, found.rows) == (12 * 32, 3)
    (cost,) = found.costs
    assert (cost.stage, cost.jobs, cost.wall_s, cost.cpu_s) == ("finetuning", 4, 4 * 3600, 4 * 7200)


def test_a_table_of_all_experiments_has_all_runs_and_the_samples_figure_none(
    study: StudySettings, results: Path
) -> None:
    assert len(lineage(study, results, "detectable").runs) == 6
    alone = lineage(study, results, "training_data")
    assert (alone.runs, alone.answers, len(alone.quarantined)) == ([], 0, 1)


def test_the_page_is_whole_and_holds_names_as_text(study: StudySettings, results: Path) -> None:
    text = page(lineage(study, results, "frames"))
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert not re.search(r"(src|href)=", text)
    picture = text[text.index("<svg") : text.index("</svg>") + 6]
    said = " ".join(ElementTree.fromstring(picture).itertext())
    for part in ("17 records", "6 opened", "5 samples", "2 videos left out", "1 empty", "1 truncated", "8 uniform-8"):
        assert part in said
    for part in ("4 runs", "20 samples seen", "12 evaluations", "384 answers", "32 questions", "3 rows of data"):
        assert part in said
    assert "6 GPU-hours" in text
    assert "2.13.0" in text


def test_the_command_writes_a_page_a_figure(study: StudySettings, results: Path, tmp_path: Path) -> None:
    flags = ["--config", to_json(study), "--results", results, "--output", tmp_path / "pages"]
    assert commands.run(module.main, *flags, "--figures", "frames", "training_data").returncode == 0
    assert {path.name for path in (tmp_path / "pages").iterdir()} == {"frames.html", "training_data.html"}


def test_a_figure_without_evaluations_still_shows_its_runs(study: StudySettings, results: Path) -> None:
    found = lineage(study, results, "frames")
    found.evaluations.clear()
    text = page(found)
    assert "Measurement" in text
    assert "Benchmarks" not in text
    assert "4 runs" in text


def test_a_missing_result_is_named(study: StudySettings, results: Path) -> None:
    path = results / "finetuning" / plan.runs(study)[0].path / "summary.json"
    path.unlink()
    flags = ["--config", to_json(study), "--results", results, "--output", results / "pages", "--figures", "frames"]
    done = commands.run(module.main, *flags)
    assert done.returncode == 2
    assert str(path) in done.stderr
