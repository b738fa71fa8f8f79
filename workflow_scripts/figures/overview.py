"""Figure 1: the change of the image and of the video score after Video-SFT, by model and allocation.

Comes in: scores.csv, deltas.csv. Goes out: a column-wide figure, a row a model and allocation.
"""

import argparse

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from workflow_scripts.figures.marks import change_mark, seed_handle, seed_values
from workflow_scripts.figures.save import save_figure
from workflow_scripts.figures.selection import Selection, add_arguments, select
from workflow_scripts.figures.style import (
    COLUMN_IN,
    LIGHT,
    SUITE_COLOUR,
    SUITE_MARKER,
    allocation_label,
    model_label,
    new_figure,
    zero_line,
)
from workflow_scripts.settings.cli import run

ROW_IN = 0.27
OFFSET = {"image": -0.24, "video": 0.17}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    arguments = parser.parse_args()
    selection = select(arguments)
    behind = selection.changes[selection.changes["benchmark"].isin(selection.suites)]
    save_figure(draw(selection), behind, arguments.output_stem, arguments.dpi)


def draw(selection: Selection) -> Figure:
    """Rows by model, then allocation; both suites on one axis."""
    several_models, several_allocations = len(selection.models) > 1, len(selection.allocations) > 1
    rows: list[tuple[float, str, str]] = []
    headers: list[tuple[float, str]] = []
    height = 0.0
    for model in selection.models:
        if several_models and several_allocations:
            headers.append((height, model_label(model)))
            height += 0.9
        for allocation in selection.allocations:
            rows.append((height, model, allocation))
            height += 1
        height += 0.35 if several_models and several_allocations else 0
    figure = new_figure(COLUMN_IN, 0.95 + ROW_IN * height)
    axes = figure.subplots()
    zero_line(axes)
    for at, model, allocation in rows:
        for suite in selection.suites:
            row = selection.change(model, allocation, suite)
            at_suite = at + OFFSET[suite]
            seeds = seed_values(row, selection.seed_columns)
            change_mark(axes, row, at_suite, at_suite + 0.15, SUITE_COLOUR[suite], SUITE_MARKER[suite], seeds)
    for at, _, _ in rows[1:]:
        axes.axhline(at - 0.5, color=LIGHT, linewidth=0.4, zorder=0)
    ticks = [(at, allocation_label(a) if several_allocations else model_label(m)) for at, m, a in rows] + headers
    axes.set_yticks([at for at, _ in ticks], [text for _, text in ticks])
    for (_, text), label in zip(ticks, axes.get_yticklabels(), strict=True):
        label.set_fontweight("bold" if (several_models and text in [h for _, h in headers]) else "normal")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(height - 0.4 - (0.35 if headers else 0), -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.set_xlabel(f"change after Video-SFT (points of 100)\n{held(selection)}")
    figure.legend(handles=legend(selection), loc="outside upper center", ncols=3, columnspacing=1.2, handletextpad=0.4)
    return figure


def held(selection: Selection) -> str:
    """What all rows share: the model or the allocation if there is one; on a line of its own, seeds and frames."""
    shared = [model_label(selection.models[0])] if len(selection.models) == 1 else []
    shared += [allocation_label(selection.allocations[0])] if len(selection.allocations) == 1 else []
    return "\n".join(([", ".join(shared)] if shared else []) + [selection.held_text])


def legend(selection: Selection) -> list[Line2D]:
    """The suites with their numbers of questions, and the seeds."""
    handles = [
        Line2D(
            [], [], color=SUITE_COLOUR[suite], marker=SUITE_MARKER[suite], markersize=4.2, linewidth=1.2,
            label=f"{suite} (n = {selection.questions(suite):,})",
        )
        for suite in selection.suites
    ]  # fmt: skip
    return handles + seed_handle(selection)


if __name__ == "__main__":
    run(main)
