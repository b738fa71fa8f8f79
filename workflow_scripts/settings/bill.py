"""The table that `snakemake plan` prints: what each run asks for and, where it is finished, what it took.

    python -m workflow_scripts.settings.bill --config '{"study": "paper", ...}' --results results/paper

Asked for: see `demand`. Measured: from the run's summary.json. Nothing else is read, so the table is there before the
data are.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from . import demand, plan
from .cli import json_of, run
from .study import StudySettings, load_study

GB = 1e9
WIDTH = 220
NONE = "-"


def rows(study: StudySettings, results: Path) -> list[dict[str, Any]]:
    """A row a run: what it asks for, and under `measured` what its summary says, or None."""
    found = []
    for each in plan.made(study):
        asked = demand.training(study, study.models[each.model], study.recipes[each.recipe], each.allocation)
        file = results / "finetuning" / each.path / "summary.json"
        measured = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
        found.append({"run": each.path, "asked": asked, "measured": measured})
    return found


def inference_gpu_hours(study: StudySettings) -> float:
    """Time limits of all evaluations, times their GPUs: what they take at most."""
    total = 0.0
    for folder in plan.evaluations(study):
        model = study.models[plan.Subject.of(folder).model]
        total += demand.gpus(study, model) * demand.inference_minutes(study, model) / 60
    return total


def table(found: Sequence[dict[str, Any]], study: StudySettings) -> Table:
    """The rows, and their totals."""
    shown = Table(title=f"{study.study}: {len(found)} runs", title_justify="left", show_footer=True, box=SIMPLE)
    total = {name: sum(getattr(row["asked"], name) for row in found) for name in ("gpu_hours", "result_bytes")}
    done = [row["measured"] for row in found if row["measured"]]
    columns = {
        "run": "total",
        "GPUs": "",
        "nodes": "",
        "tokens": "",
        "hours": "",
        "limit h": "",
        "GPU-hours": f"{total['gpu_hours']:,.0f}",
        "GPU GB": "",
        "host GB": "",
        "checkpoints GB": f"{sum(row['asked'].checkpoint_bytes for row in found) / GB:,.4g}",
        "results GB": f"{total['result_bytes'] / GB:,.4g}",
        "took h": f"{len(done)} done",
        "took GPU-h": f"{sum(summary.get('gpu_hours') or 0 for summary in done):,.3g}" if done else NONE,
        "peak GB": "",
        "left GB": f"{sum(summary.get('result_bytes', 0) for summary in done) / GB:,.3g}" if done else NONE,
        "MFU": "",
    }
    for name, footer in columns.items():
        shown.add_column(name, footer=footer, justify="left" if name == "run" else "right", no_wrap=True)
    for row in found:
        asked, measured = row["asked"], row["measured"] or {}
        shown.add_row(
            row["run"],
            str(asked.gpus),
            str(asked.nodes),
            NONE if asked.tokens is None else str(asked.tokens),
            f"{asked.hours:.2g}",
            f"{asked.minutes / 60:.1f}",
            f"{asked.gpu_hours:.1f}",
            f"{asked.gpu_bytes / GB:.3g}" if asked.gpus else NONE,
            f"{asked.host_mb / 1000:.0f}",
            f"{asked.checkpoint_bytes / GB:.3g}",
            f"{asked.result_bytes / GB:.3g}",
            *(
                f"{measured[name] / divisor:.3g}" if measured.get(name) is not None else NONE
                for name, divisor in (("hours", 1), ("gpu_hours", 1), ("peak_memory_bytes", GB), ("result_bytes", GB))
            ),
            f"{measured['mfu']:.1%}" if measured.get("mfu") is not None else NONE,
        )
    return shown


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=json_of(dict[str, Any]), required=True, help="the configuration, as JSON")
    parser.add_argument("--results", type=Path, required=True, help="results/<study>")
    options = parser.parse_args(arguments)
    study = load_study(options.config)
    console = Console(width=WIDTH)
    found = rows(study, options.results)
    console.print(table(found, study))
    most = max((row["asked"].checkpoint_bytes for row in found), default=0.0)
    console.print(
        f"Evaluations: at most {inference_gpu_hours(study):,.0f} GPU-hours, their time limits. Checkpoints are deleted "
        f"when a run ends: the largest run needs {most / GB:,.4g} GB for them.\n"
        "By hand, rule by rule: --set-resources train:runtime=600 train:mem_mb=200000",
        soft_wrap=True,
        highlight=False,
    )


if __name__ == "__main__":
    run(main)
