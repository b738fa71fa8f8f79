"""A panel a benchmark, a row of panels a suite: scores with the base and the blind score, on a common kind of axis."""

from collections.abc import Callable, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from workflow_scripts.figures.selection import Selection
from workflow_scripts.figures.style import DOUBLE_IN, benchmark_label, new_figure

HEIGHT_IN = 1.5
COLUMNS = 4


def around_base(table: pd.DataFrame, seed_columns: Sequence[str]) -> pd.DataFrame:
    """The changes as scores: `low` and `high` are the interval of the change, put around the tuned score; seed_<s> each
    seed's score."""
    scores = table.assign(low=table["base"] + table["ci_low"], high=table["base"] + table["ci_high"])
    return scores.assign(**{column: table["base"] + table[column] for column in seed_columns})


def benchmark_panels(
    selection: Selection,
    table: pd.DataFrame,
    panel: Callable[[Axes, pd.DataFrame, Selection], None],
    legend: Callable[[Selection], Sequence[Line2D]],
    across: str,
) -> Figure:
    """Draw the rows of each benchmark by `panel`. across: what the horizontal axes are."""
    names = selection.benchmarks
    rows = -(-len(names) // COLUMNS)
    figure = new_figure(DOUBLE_IN, 0.55 + HEIGHT_IN * rows)
    panels = figure.subplots(rows, min(COLUMNS, len(names)), squeeze=False)
    for axes in panels.flat[len(names) :]:
        axes.set_visible(False)
    for axes, name in zip(panels.flat, names, strict=False):
        panel(axes, table[table["benchmark"] == name], selection)
        axes.set_title(f"{benchmark_label(name)} (n = {selection.questions(name):,})")
    figure.supxlabel(f"{across}; {selection.held_text}", fontsize=7.5)
    figure.supylabel("score (% of maximum)", fontsize=7.5)
    figure.legend(handles=legend(selection), loc="outside upper center", ncols=7, columnspacing=1.4)
    return figure
