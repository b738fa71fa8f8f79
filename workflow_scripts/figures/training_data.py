"""The training data: samples by source, format and duration, and the videos and records that could not be used.

Comes in: the manifest and statistics.csv of stage curation, and its quarantine.csv, to check them. Goes out: a
double-width figure, and its numbers (.csv): panel, source, format or quantile, value.
"""

import argparse
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from workflow_scripts.figures.save import save_figure
from workflow_scripts.figures.style import (
    BLUE,
    DOUBLE_IN,
    GREY,
    ORANGE,
    SMALL_PT,
    VERMILION,
    new_figure,
)
from workflow_scripts.settings import InputError
from workflow_scripts.settings.cli import run
from workflow_scripts.settings.files import read_parquet

FORMATS = {
    "caption": ("caption", BLUE, ""),
    "open_ended": ("open-ended", ORANGE, "////"),
    "multiple_choice": ("multiple choice", VERMILION, "...."),
}
QUANTILES = {"p5": 0.05, "q1": 0.25, "median": 0.5, "q3": 0.75, "p95": 0.95}
TICKS_S = (1, 2, 5, 10, 20, 30, 60, 120, 180, 600)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True, help="curation/manifest.parquet")
    parser.add_argument("--statistics", type=Path, required=True, help="curation/statistics.csv")
    parser.add_argument("--quarantine", type=Path, default=None, help="quarantine.csv, to check the statistics")
    parser.add_argument("--dpi", type=int, default=300, help="resolution of the PNG")
    parser.add_argument("--output-stem", type=Path, required=True, help="path of the output without its extension")
    arguments = parser.parse_args()
    samples: pd.DataFrame = read_parquet(arguments.manifest, ["source", "format", "duration_s", "video"])
    if samples.empty:
        raise InputError(f"file {arguments.manifest}: no sample; expected at least one")
    rejected = quarantined(arguments.statistics)
    if arguments.quarantine:
        listed = pd.read_csv(arguments.quarantine)["reason"].value_counts()
        if listed.to_dict() != rejected.to_dict():
            raise InputError(
                f"file {arguments.statistics}: quarantined are {rejected.to_dict()}; "
                f"expected {listed.to_dict()}, as in {arguments.quarantine}"
            )
    table = numbers(samples, rejected)
    save_figure(draw(table, len(samples)), table, arguments.output_stem, arguments.dpi)


def quarantined(path: Path) -> pd.Series:
    """Videos and records found unusable, by reason, from the statistics' rows of dimension `quarantined`."""
    if not path.is_file():
        raise InputError(f"file {path} is missing; expected the statistics of stage curation")
    table = pd.read_csv(path)
    missing = [column for column in ("dimension", "value", "available") if column not in table]
    if missing:
        raise InputError(f"file {path}: column {missing[0]} is missing; expected the statistics of stage curation")
    rows = table[table["dimension"] == "quarantined"]
    return rows.set_index("value")["available"].astype(int).sort_values(ascending=False, kind="stable")


def numbers(samples: pd.DataFrame, rejected: pd.Series) -> pd.DataFrame:
    """What is drawn, in long form; sources by falling number of samples."""
    order = samples["source"].value_counts().sort_index().sort_values(ascending=False, kind="stable").index
    rows: list[tuple[str, str, str, float]] = []
    for source in order:
        of_source = samples[samples["source"] == source]
        rows += [("samples", source, name, float((of_source["format"] == name).sum())) for name in FORMATS]
        rows += [
            ("duration_s", source, name, float(of_source["duration_s"].quantile(q))) for name, q in QUANTILES.items()
        ]
    rows += [("quarantined", "", str(reason), float(count)) for reason, count in rejected.items()]
    return pd.DataFrame(rows, columns=["panel", "source", "name", "value"])


def draw(table: pd.DataFrame, n_samples: int) -> Figure:
    """Three panels; the first two share the sources."""
    sources = list(table.loc[table["panel"] == "samples", "source"].drop_duplicates())
    rejected = table[table["panel"] == "quarantined"]
    ratios = [1.25, 1.1, 0.9]
    figure = new_figure(DOUBLE_IN, 0.85 + 0.19 * max(len(sources), 4))
    counts, durations, reasons = figure.subplots(1, 3, width_ratios=ratios)
    _counts(counts, table[table["panel"] == "samples"], sources)
    counts.set_xlabel(f"samples (n = {n_samples:,})")
    _durations(durations, table[table["panel"] == "duration_s"], sources)
    _reasons(reasons, rejected, max(len(sources), len(rejected)))
    return figure


def _rows(axes: Axes, labels: list[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def _counts(axes: Axes, table: pd.DataFrame, sources: list[str]) -> None:
    left = [0.0] * len(sources)
    for name, (label, colour, hatch) in FORMATS.items():
        values = table[table["name"] == name].set_index("source")["value"].reindex(sources).tolist()
        axes.barh(
            range(len(sources)),
            values,
            left=left,
            height=0.68,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.4,
            label=label,
        )
        left = [a + b for a, b in zip(left, values, strict=True)]
    for at, total in enumerate(left):
        axes.text(total, at, f" {total:,.0f}", va="center", fontsize=SMALL_PT)
    _rows(axes, sources)
    axes.set_xlim(0, 1.16 * max(left))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.figure.legend(loc="outside upper left", ncols=3, columnspacing=1.2)  # type: ignore[union-attr]


def _durations(axes: Axes, table: pd.DataFrame, sources: list[str]) -> None:
    wide = table.pivot(index="source", columns="name", values="value").reindex(sources)
    for at, (low, first, median, third, high) in enumerate(wide[list(QUANTILES)].to_numpy()):
        axes.plot([low, high], [at, at], color=GREY, linewidth=0.8)
        axes.plot([first, third], [at, at], color=BLUE, linewidth=4, solid_capstyle="butt")
        axes.plot(median, at, marker="|", color="white", markersize=5, markeredgewidth=1.2)
    axes.set_xscale("log")
    low, high = wide["p5"].min() / 1.15, wide["p95"].max() * 1.15
    ticks = [tick for tick in TICKS_S if low <= tick <= high]
    axes.set_xlim(low, high)
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", which="minor", length=0)
    axes.set_xlabel("duration (s; 5 to 95 %, quartiles)")
    _rows(axes, [""] * len(sources))


def _reasons(axes: Axes, table: pd.DataFrame, n_rows: int) -> None:
    total = int(table["value"].sum())
    axes.set_xlabel(f"unusable (n = {total:,})")
    if table.empty:
        axes.text(0.5, 0.5, "none", ha="center", va="center", transform=axes.transAxes, color=GREY)
        axes.set_xticks([])
        axes.set_yticks([])
        return
    axes.barh(range(len(table)), table["value"], height=0.68, color=GREY)
    for at, value in enumerate(table["value"]):
        axes.text(value, at, f" {value:,.0f}", va="center", fontsize=SMALL_PT)
    _rows(axes, [name.replace("_", " ") for name in table["name"]])
    axes.set_ylim(n_rows - 0.4, -0.6)
    axes.set_xlim(0, 1.2 * table["value"].max())
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))


if __name__ == "__main__":
    run(main)
