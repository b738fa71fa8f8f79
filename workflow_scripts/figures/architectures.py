"""Figure 2: the change of every benchmark after Video-SFT, side by side for the architectures.

Comes in: scores.csv, deltas.csv. Goes out: a double-width figure, a panel a model, a row a benchmark, the suites' means
below their benchmarks.
"""

import argparse

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from workflow_scripts.figures.marks import change_mark, seed_handle, seed_values
from workflow_scripts.figures.save import save_figure
from workflow_scripts.figures.selection import Selection, add_arguments, select
from workflow_scripts.figures.style import (
    DOUBLE_IN,
    LIGHT,
    SUITE_COLOUR,
    SUITE_MARKER,
    allocation_label,
    benchmark_label,
    darker,
    mark,
    model_label,
    new_figure,
    zero_line,
)
from workflow_scripts.settings.cli import run

ROW_IN = 0.24


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    arguments = parser.parse_args()
    selection = select(arguments)
    save_figure(draw(selection), selection.changes, arguments.output_stem, arguments.dpi)


def row_names(selection: Selection) -> list[str]:
    """The benchmarks of each suite, then its mean."""
    names: list[str] = []
    for suite in selection.suites:
        names += [name for name in selection.benchmarks if selection.suite_of(name) == suite] + [suite]
    return names


def draw(selection: Selection) -> Figure:
    """Panels share both axes, so that lengths compare."""
    names = row_names(selection)
    height = 0.85 + ROW_IN * len(names) * max(1, 0.6 * len(selection.allocations))
    figure = new_figure(DOUBLE_IN, height)
    panels = figure.subplots(1, len(selection.models), sharex=True, sharey=True, squeeze=False)[0]
    for axes, model in zip(panels, selection.models, strict=True):
        _panel(axes, model, names, selection)
        axes.set_title(model_label(model))
    labels = [f"{benchmark_label(name)} (n = {selection.questions(name):,})" for name in names]
    panels[0].set_yticks(range(len(names)), labels)
    for name, label in zip(names, panels[0].get_yticklabels(), strict=True):
        label.set_fontweight("bold" if name in selection.suites else "normal")
        label.set_color(darker(SUITE_COLOUR[selection.suite_of(name)]))
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    alone = f", {allocation_label(selection.allocations[0])}" if len(selection.allocations) == 1 else ""
    figure.supxlabel(f"change after Video-SFT{alone} (points of 100), {selection.held_text}", fontsize=7.5)
    handles = _legend(selection)
    if handles:
        figure.legend(handles=handles, loc="outside upper center", ncols=5)
    return figure


def _panel(axes: Axes, model: str, names: list[str], selection: Selection) -> None:
    zero_line(axes)
    several = len(selection.allocations)
    for at, name in enumerate(names):
        if at:
            axes.axhline(at - 0.5, color=LIGHT, linewidth=0.4, zorder=0)
        if name in selection.suites:
            axes.axhspan(at - 0.5, at + 0.5, color="#F4F4F4", zorder=-1, linewidth=0)
        suite = selection.suite_of(name)
        for index, allocation in enumerate(selection.allocations):
            row = selection.change(model, allocation, name)
            place = at + 0.75 * ((index + 0.5) / several - 0.5) - 0.08
            style = mark(allocation)
            colour = SUITE_COLOUR[suite] if several == 1 else style.colour
            marker = SUITE_MARKER[suite] if several == 1 else style.marker
            seeds = seed_values(row, selection.seed_columns)
            change_mark(axes, row, place, place + 0.28 / several, colour, marker, seeds)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _legend(selection: Selection) -> list[Line2D]:
    if len(selection.allocations) == 1:
        handles = [
            Line2D([], [], color=SUITE_COLOUR[s], marker=SUITE_MARKER[s], markersize=4.2, linewidth=1.2, label=s)
            for s in selection.suites
        ]
    else:
        handles = [
            Line2D([], [], color=mark(a).colour, marker=mark(a).marker, markersize=4.2, label=allocation_label(a))
            for a in selection.allocations
        ]
    return handles + seed_handle(selection)


if __name__ == "__main__":
    run(main)
