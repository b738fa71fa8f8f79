"""The confounders inside a frame sweep: the same sweep under each way of giving videos their times and their pixels.

Comes in: scores.csv, deltas.csv. Goes out: a column-width figure, a panel a suite: its change against the base by the
number of training frames, a line a recipe. Each recipe's runs and their base model were shown videos in the same way.
"""

import argparse
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from workflow_scripts.figures.frames import in_frames
from workflow_scripts.figures.marks import SEED, seed_handle, seed_values, shown
from workflow_scripts.figures.save import save_figure
from workflow_scripts.figures.selection import Selection, add_arguments, select
from workflow_scripts.figures.style import (
    BLUE,
    COLUMN_IN,
    GREEN,
    PURPLE,
    SMALL_PT,
    VERMILION,
    benchmark_label,
    new_figure,
    zero_line,
)
from workflow_scripts.settings import InputError
from workflow_scripts.settings.cli import run

PANEL_HEIGHT_IN = 1.55
SPREAD = 1.07
LOOK: dict[str, tuple[str, str, Any, str]] = {
    "": (BLUE, "o", "-", "real time"),
    "integer_rate": (VERMILION, "s", "--", "integer rate"),
    "constant": (GREEN, "^", "-.", "constant rate"),
    "total": (PURPLE, "D", ":", "fixed total of pixels"),
}
"""Colour, marker, line and name of a view; `total` of any number of pixels."""
KEPT = ["recipe", "view", "model", "allocation", "frames", "suite", "eval_frames", "n_questions", "n_seeds"]
NUMBERS = ["base", "blind", "tuned", "delta", "ci_low", "ci_high", "p_value", "p_holm"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    arguments = parser.parse_args()
    selection = select(arguments)
    save_figure(draw(selection), drawn(selection), arguments.output_stem, arguments.dpi)


def drawn(selection: Selection) -> pd.DataFrame:
    """A row a mark. `view` is the recipe's: how its videos were shown, empty for real time and constant pixels."""
    if selection.suites != ["image", "video"] or len(selection.models) != 1:
        raise InputError(
            f"deltas: suites {', '.join(selection.suites)}, models {', '.join(selection.models)}; figure confounders "
            "expects image and video, and one model"
        )
    table = in_frames(selection, ["image", "video"])
    views = table[table["suite"] == "video"].drop_duplicates("recipe").set_index("recipe")["view"]
    table["view"] = table["recipe"].map(views)
    order = sorted(views.index, key=lambda recipe: (list(LOOK).index(_kind(views[recipe])), recipe))
    table["rank"] = table["recipe"].map(order.index)
    return table.sort_values(["suite", "rank", "frames"])[[*KEPT, *NUMBERS, *selection.seed_columns]]


def draw(selection: Selection) -> Figure:
    """Two panels on a common axis of frames."""
    table = drawn(selection)
    figure = new_figure(COLUMN_IN, 0.75 + 2 * PANEL_HEIGHT_IN)
    panels = figure.subplots(2, 1, sharex=True)
    recipes = list(table["recipe"].drop_duplicates())
    for axes, suite in zip(panels, selection.suites, strict=True):
        zero_line(axes, vertical=False)
        for index, recipe in enumerate(recipes):
            rows = table[(table["suite"] == suite) & (table["recipe"] == recipe)]
            _line(axes, rows, SPREAD ** (index - (len(recipes) - 1) / 2), selection)
        axes.set_title(f"{benchmark_label(suite)} (n = {selection.questions(suite):,})")
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], min_n_ticks=3))
    frames = sorted(table["frames"].unique())
    panels[-1].set_xscale("log", base=2)
    panels[-1].set_xticks(frames, [str(count) for count in frames])
    panels[-1].set_xlim(frames[0] / 1.3, frames[-1] * 1.3)
    figure.supxlabel(f"training frames (log scale); {selection.held_text}", fontsize=7.5)
    figure.supylabel("change against the base (points of 100)", fontsize=7.5)
    views = table.drop_duplicates("recipe")["view"]
    handles = [_handle(view) for view in views] + seed_handle(selection)
    figure.legend(handles=handles, loc="outside upper center", ncols=2, columnspacing=1.4, fontsize=SMALL_PT)
    return figure


def _line(axes: Axes, rows: pd.DataFrame, spread: float, selection: Selection) -> None:
    colour, marker, line, _ = LOOK[_kind(str(rows["view"].iloc[0]))]
    x = rows["frames"] * spread
    errors = [rows["delta"] - rows["ci_low"], rows["ci_high"] - rows["delta"]]
    look: dict[str, Any] = {"color": colour, "marker": marker, "markersize": 3.4, "linestyle": line}
    axes.errorbar(x, rows["delta"], errors, elinewidth=0.9, linewidth=1.0, zorder=3, **look)
    for at, row in zip(x, rows.to_dict("records"), strict=True):
        seeds = seed_values(row, selection.seed_columns)
        if shown(len(seeds)):
            axes.plot([at] * len(seeds), seeds, color=colour, zorder=4, **SEED)


def _handle(view: str) -> Line2D:
    colour, marker, line, label = LOOK[_kind(view)]
    return Line2D([], [], color=colour, marker=marker, markersize=3.4, linestyle=line, label=label)


def _kind(view: str) -> str:
    """The entry of `LOOK` for a view. Raises InputError where a recipe differs in more than one way."""
    kind = "total" if view.startswith("total-") else view
    if kind not in LOOK:
        raise InputError(f"deltas: a recipe shows videos as {view}; expected times or pixels to differ, not both")
    return kind


if __name__ == "__main__":
    run(main)
