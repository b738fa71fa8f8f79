"""Figure 4: benchmark scores against the number of parameters, before and after Video-SFT.

Comes in: scores.csv, deltas.csv. Goes out: a double-width figure, a panel a benchmark, parameters on a log axis.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from workflow_scripts.figures.marks import SEED, seed_handle, seed_values, shown
from workflow_scripts.figures.panels import around_base, benchmark_panels
from workflow_scripts.figures.save import save_figure
from workflow_scripts.figures.selection import Selection, add_arguments, select
from workflow_scripts.figures.style import (
    GREY,
    SMALL_PT,
    SUITE_COLOUR,
    allocation_label,
    mark,
    model_label,
)
from workflow_scripts.settings import InputError
from workflow_scripts.settings.cli import run

BASE_LOOK: dict[str, Any] = {
    "color": GREY,
    "linestyle": (0, (5, 2)),
    "marker": "o",
    "markersize": 3.6,
    "markerfacecolor": "white",
}
BLIND_LOOK: dict[str, Any] = {"color": GREY, "linestyle": (0, (1, 1.5)), "linewidth": 1.0}
KEPT = ["model", "size_b", "allocation", "suite", "benchmark", "metric", "base", "tuned", "low", "high", "n_questions"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    arguments = parser.parse_args()
    selection = select(arguments)
    save_figure(draw(selection), drawn(selection), arguments.output_stem, arguments.dpi)


def drawn(selection: Selection) -> pd.DataFrame:
    """What is drawn, as scores."""
    table = selection.changes[selection.changes["benchmark"].isin(selection.benchmarks)].copy()
    if table["size_b"].nunique() < len(selection.models):
        raise InputError(
            f"models {', '.join(selection.models)}: two have the same size_b; figure scale expects one each"
        )
    table = around_base(table, selection.seed_columns)
    return table[[*KEPT, "blind", "n_seeds", *selection.seed_columns]].sort_values(
        ["benchmark", "allocation", "size_b"]
    )


def draw(selection: Selection) -> Figure:
    """A row of panels a suite."""
    return benchmark_panels(selection, drawn(selection), _panel, _legend, "model, by its parameters (log scale)")


def _panel(axes: Axes, table: pd.DataFrame, selection: Selection) -> None:
    base = table.drop_duplicates("size_b").sort_values("size_b")
    axes.plot(base["size_b"], base["base"], zorder=1, **BASE_LOOK)
    for allocation, rows in table.groupby("allocation", sort=False):
        several = len(selection.allocations) > 1
        colour = mark(str(allocation)).colour if several else SUITE_COLOUR[str(rows["suite"].iloc[0])]
        errors = [rows["tuned"] - rows["low"], rows["high"] - rows["tuned"]]
        marker = mark(str(allocation)).marker if several else "s"
        look: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 3.6, "elinewidth": 0.9}
        axes.errorbar(rows["size_b"], rows["tuned"], errors, zorder=3, **look)
        for row in rows.to_dict("records"):
            seeds = seed_values(row, selection.seed_columns)
            if shown(len(seeds)):
                axes.plot([row["size_b"] * 1.13] * len(seeds), seeds, color=colour, zorder=2, **SEED)
    sizes = list(base["size_b"])
    axes.set_xscale("log")
    axes.set_xticks(sizes, own_parts([model_label(str(model)) for model in base["model"]]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(sizes[0] / 1.35, sizes[-1] * 1.35)
    _blind(axes, table, base)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], min_n_ticks=3))


def own_parts(labels: Sequence[str]) -> list[str]:
    """What each label has beyond the dashed parts that all begin with: Qwen2.5-VL-3B and -7B are 3B and 7B."""
    parts = [label.split("-") for label in labels]
    shared = 0
    while shared + 1 < min(map(len, parts)) and len({part[shared] for part in parts}) == 1 < len(parts):
        shared += 1
    return ["-".join(part[shared:]) for part in parts]


def _blind(axes: Axes, table: pd.DataFrame, base: pd.DataFrame) -> None:
    """The blind score by size; one far below is written at the bottom instead of squeezing the others."""
    blind = base["blind"].dropna()
    if blind.empty:
        return
    low, high = float(table[["low", "base"]].min().min()), float(table[["high", "base"]].max().max())
    span = max(high - low, 2.0)
    if blind.min() > low - 0.8 * span:
        axes.plot(base["size_b"], base["blind"], zorder=1, **BLIND_LOOK)
        return
    axes.set_ylim(low - 0.28 * span, high + 0.1 * span)
    ends = f"{blind.min():.1f}" + (f"\N{EN DASH}{blind.max():.1f}" if len(blind) > 1 else "")
    text = f"blind {ends} \N{DOWNWARDS ARROW}"
    axes.text(0.98, 0.03, text, transform=axes.transAxes, ha="right", va="bottom", fontsize=SMALL_PT, color=GREY)


def _legend(selection: Selection) -> list[Line2D]:
    handles = [Line2D([], [], label="base", **BASE_LOOK), Line2D([], [], label="blind", **BLIND_LOOK)]
    for allocation in selection.allocations:
        style = mark(allocation)
        alone = len(selection.allocations) == 1
        look: dict[str, Any] = (
            {"color": "black", "marker": "s"} if alone else {"color": style.colour, "marker": style.marker}
        )
        handles.append(Line2D([], [], markersize=3.6, label=f"tuned, {allocation_label(allocation)}", **look))
    return handles + seed_handle(selection)


if __name__ == "__main__":
    run(main)
