"""Write, for each figure, the page of where it comes from: a picture of the path, what was left out, versions, cost.

    python -m workflow_scripts.provenance.lineage --config <settings> --results results/paper --output <folder>

Comes in: the effective settings, and what the stages left in results/<study>/. Goes out: <folder>/<figure>.html, one
a figure, each complete in itself. `audit` verifies what these pages tell.
"""

import argparse
import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflow_scripts.provenance.lineage_page import page
from workflow_scripts.settings import InputError, StudySettings, plan
from workflow_scripts.settings.cli import json_of, run
from workflow_scripts.settings.files import atomic_path

DATA_ALONE = "training_data"
"""The figure of the sample: nothing is trained or evaluated for it."""
KEPT = ("samples", "steps", "gpu_hours", "left_out")
"""What is shown of a run's summary."""
WHOLE = ("claims", "detectable")
"""Tables of all experiments together."""


@dataclass(frozen=True)
class Cost:
    """What the jobs of a stage took: jobs with a measurement, seconds by the clock, seconds of processors."""

    stage: str
    jobs: int
    wall_s: float
    cpu_s: float


@dataclass
class Lineage:
    """What a figure was made of. Counts are of files and rows in results/<study>/, none is estimated."""

    figure: str
    study: str
    dataset: str
    revision: str | None
    annotation_files: int
    annotation_records: int
    malformed: int
    opened: int
    samples: int
    videos: int
    quarantined: list[dict[str, str]]
    allocations: dict[str, float] = field(default_factory=dict)
    """Mean budget in frames."""
    runs: list[dict[str, Any]] = field(default_factory=list)
    """path, samples, steps, gpu_hours, left_out (reason: samples)."""
    models: list[str] = field(default_factory=list)
    evaluations: Counter[str] = field(default_factory=Counter)
    """base, blind, tuned."""
    questions: dict[str, int] = field(default_factory=dict)
    """Questions of each benchmark."""
    answers: int = 0
    rows: int = 0
    """Rows of the figure's CSV file."""
    costs: list[Cost] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)
    """provenance/study.json without its settings."""


def lineage(study: StudySettings, results: Path, figure: str) -> Lineage:
    """Gather what is behind a figure. Raises InputError where a result is missing or broken."""
    inventory = _json(results / "curation" / "inventory.json")
    annotations = [file for subset in inventory["subsets"] for file in subset["annotations"]]
    record = _json(results / "provenance" / "study.json")
    manifest = _column(results / "curation" / "manifest.parquet", "video")
    found = Lineage(
        figure=figure,
        study=study.study,
        dataset=study.dataset.repository,
        revision=study.dataset.revision,
        annotation_files=len(annotations),
        annotation_records=sum(file["records"] for file in annotations),
        malformed=sum(file["malformed"] for file in annotations),
        opened=len(set(_column(results / "curation" / "shortlist.parquet", "video"))),
        samples=len(manifest),
        videos=len(set(manifest)),
        quarantined=_table(results / "curation" / "quarantine.csv"),
        rows=len(_table(results / "figures" / f"{figure}.csv")),
        record={key: value for key, value in record.items() if key != "settings"},
    )
    logs = [results / "benchmarks" / "curation"]
    if figure != DATA_ALONE:
        logs += _trained_and_evaluated(found, study, results, None if figure in WHOLE else figure)
        for path in sorted((results / "frames").rglob("*.quarantine.csv")):
            found.quarantined += _table(path)
    found.costs = list(_costs(logs, results / "benchmarks"))
    return found


def _trained_and_evaluated(found: Lineage, study: StudySettings, results: Path, figure: str | None) -> list[Path]:
    """Fill in runs and evaluations; where Snakemake measured their jobs."""
    measured = results / "benchmarks"
    logs = [measured / "frames"]
    for name in plan.allocations(study, figure):
        budgets = _column(results / "budgets" / f"{name}.parquet", "budget")
        found.allocations[name] = sum(budgets) / max(len(budgets), 1)
        logs.append(measured / "budgets" / f"{name}.jsonl")
    for one in plan.runs(study, figure):
        summary = _json(results / "finetuning" / one.path / "summary.json")
        kept: dict[str, Any] = {key: summary[key] for key in KEPT if key in summary}
        found.runs.append({"path": one.path, **kept})
        found.models += [one.model] * (one.model not in found.models)
        logs.append(measured / "finetuning" / one.path)
    for folder in plan.evaluations(study, figure):
        scores = _json(results / folder / "scores.json")
        subject = plan.Subject.of(folder)
        found.evaluations[subject.kind] += 1
        found.models += [subject.model] * (subject.model not in found.models)
        asked: dict[str, int] = {}
        for row in scores["rows"]:
            asked[row["benchmark"]] = max(asked.get(row["benchmark"], 0), row["n_questions"])
        found.questions |= asked
        found.answers += sum(asked.values())
        logs.append(measured / folder)
    tables = study.experiments if figure is None else [one for one in study.experiments if one.figure == figure]
    return [*logs, *(measured / "analysis" / one.figure for one in tables)]


def _costs(logs: Iterable[Path], measured: Path) -> Iterator[Cost]:
    """What Snakemake measured of these jobs, by stage. A log: a folder of `.jsonl` files, or a file without that."""
    lines: dict[str, dict[Path, dict[str, Any]]] = {}
    for log in logs:
        named = log if log.suffix == ".jsonl" else log.parent / f"{log.name}.jsonl"
        for path in [*sorted(log.rglob("*.jsonl")), named]:
            if path.is_file():
                last = path.read_text(encoding="utf-8").splitlines()[-1:]
                stage = path.relative_to(measured).parts[0]
                lines.setdefault(stage, {})[path] = json.loads(last[0]) if last else {}
    for stage, jobs in lines.items():
        wall, cpu = (sum(_number(job.get(key)) for job in jobs.values()) for key in ("s", "cpu_time"))
        yield Cost(stage, len(jobs), wall, cpu)


def _number(value: Any) -> float:
    """A measurement; Snakemake writes NA for what it could not measure, of jobs of less than a second."""
    return float(value) if isinstance(value, int | float) else 0.0


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"file {path} is missing; expected what its stage writes") from None
    except ValueError as error:
        raise InputError(f"file {path} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InputError(f"file {path} holds a {type(value).__name__}; expected an object")
    return value


def _table(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise InputError(f"file {path} is missing; expected a table with a header")
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _column(path: Path, name: str) -> list[Any]:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(path, columns=[name])[name].to_pylist()
    except (OSError, KeyError, pyarrow.ArrowInvalid) as error:
        raise InputError(f"file {path} is not readable as Parquet with a column {name}: {error}") from None


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=json_of(StudySettings), required=True, help="effective settings, as JSON")
    parser.add_argument("--results", type=Path, required=True, help="results/<study>")
    parser.add_argument("--figures", nargs="+", required=True, help="names of figures and tables")
    parser.add_argument("--output", type=Path, required=True, help="folder of the pages")
    options = parser.parse_args(arguments)
    for figure in options.figures:
        text = page(lineage(options.config, options.results, figure))
        with atomic_path(options.output / f"{figure}.html") as partial:
            partial.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    run(main)
