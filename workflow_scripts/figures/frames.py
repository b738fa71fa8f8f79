"""Figure 5: benchmark scores against the number of training frames, with the base and the blind score.

Comes in: scores.csv, deltas.csv. Goes out: a double-width figure, a panel a benchmark; uniform allocations only.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from workflow_scripts.figures.marks import SEED, seed_handle, seed_values, shown
from workflow_scripts.figures.panels import around_base, benchmark_panels
from workflow_scripts.figures.save import save_figure
from workflow_scripts.figures.selection import Selection, add_arguments, select
from workflow_scripts.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    SMALL_PT,
    SUITE_COLOUR,
    VERMILION,
    model_label,
    uniform_frames,
)
from workflow_scripts.settings import InputError
from workflow_scripts.settings.cli import run

BASE_LINE, BLIND_LINE = (0, (5, 2)), (0, (1, 1.5))
MODEL_STYLE = ((None, "o", "-"), (GREEN, "^", "--"), (PURPLE, "D", "-."), (BLUE, "v", ":"), (VERMILION, "P", "-"))
KEPT = ["model", "allocation", "frames", "suite", "benchmark", "metric", "base", "tuned", "low", "high", "n_questions"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    arguments = parser.parse_args()
    selection = select(arguments)
    save_figure(draw(selection), drawn(selection), arguments.output_stem, arguments.dpi)


def drawn(selection: Selection) -> pd.DataFrame:
    """What is drawn, as scores."""
    table = around_base(in_frames(selection, selection.benchmarks), selection.seed_columns)
    return table[[*KEPT, "blind", "n_seeds", *selection.seed_columns]].sort_values(["model", "benchmark", "frames"])


def in_frames(selection: Selection, benchmarks: Sequence[str]) -> pd.DataFrame:
    """The changes of uniform allocations in these benchmarks, with column `frames`. Raises InputError without any."""
    table = selection.changes[selection.changes["benchmark"].isin(benchmarks)].copy()
    table["frames"] = [uniform_frames(name) for name in table["allocation"]]
    table = table[table["frames"].notna()].astype({"frames": int})
    if table.empty:
        raise InputError(
            f"allocations {', '.join(selection.allocations)}: none is uniform-<frames>; the figure needs one"
        )
    return table


def draw(selection: Selection) -> Figure:
    """A row of panels a suite."""
    return benchmark_panels(selection, drawn(selection), _panel, _legend, "training frames (log scale)")


def _panel(axes: Axes, table: pd.DataFrame, selection: Selection) -> None:
    suite = str(table["suite"].iloc[0])
    many = len(selection.models) > 1
    for index, model in enumerate(selection.models):
        rows = table[table["model"] == model]
        colour, marker, line = MODEL_STYLE[index % len(MODEL_STYLE)]
        colour = colour or SUITE_COLOUR[suite]
        spread = 1 + 0.05 * (index - (len(selection.models) - 1) / 2)
        x = rows["frames"] * spread
        errors = [rows["tuned"] - rows["low"], rows["high"] - rows["tuned"]]
        axes.errorbar(
            x,
            rows["tuned"],
            errors,
            color=colour,
            marker=marker,
            markersize=3.6,
            linestyle=line,
            elinewidth=0.9,
            zorder=3,
        )
        for at, row in zip(x, rows.to_dict("records"), strict=True):
            seeds = seed_values(row, selection.seed_columns)
            if shown(len(seeds)):
                axes.plot([at * 1.1] * len(seeds), seeds, color=colour, zorder=2, **SEED)
        base: dict[str, Any] = {
            "color": colour if many else BLACK,
            "linestyle": BASE_LINE,
            "linewidth": 0.9,
            "zorder": 1,
        }
        axes.axhline(rows["base"].iloc[0], **base)
    frames = sorted(table["frames"].unique())
    axes.set_xscale("log", base=2)
    axes.set_xticks(frames, [str(count) for count in frames])
    axes.set_xlim(frames[0] / 1.3, frames[-1] * 1.3)
    _limits(axes, table)


def _limits(axes: Axes, table: pd.DataFrame) -> None:
    """Fit the scores; a blind score far below is written at the bottom instead of squeezing them."""
    low, high = float(table[["low", "base"]].min().min()), float(table[["high", "base"]].max().max())
    span = max(high - low, 2.0)
    blind = table.drop_duplicates("model")["blind"].dropna()
    near = [value for value in blind if value > low - 0.8 * span]
    for value in near:
        axes.axhline(value, color=GREY, linestyle=BLIND_LINE, linewidth=1.0, zorder=1)
    bottom = min([low, *near])
    axes.set_ylim(bottom - 0.12 * span - (0.16 * span if len(near) < len(blind) else 0), high + 0.1 * span)
    if len(near) < len(blind):
        far = ", ".join(f"{value:.1f}" for value in blind if value not in near)
        text = f"blind {far} \N{DOWNWARDS ARROW}"
        axes.text(0.98, 0.03, text, transform=axes.transAxes, ha="right", va="bottom", fontsize=SMALL_PT, color=GREY)
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], min_n_ticks=3))


def _legend(selection: Selection) -> list[Line2D]:
    handles = []
    for index, model in enumerate(selection.models):
        colour, marker, line = MODEL_STYLE[index % len(MODEL_STYLE)]
        look: dict[str, Any] = {
            "marker": marker,
            "markersize": 3.6,
            "linestyle": line,
            "label": f"{model_label(model)}, tuned",
        }
        handles.append(Line2D([], [], color=colour or BLACK, **look))
    handles.append(Line2D([], [], color=BLACK, linestyle=BASE_LINE, linewidth=0.9, label="base"))
    handles.append(Line2D([], [], color=GREY, linestyle=BLIND_LINE, label="blind"))
    return handles + seed_handle(selection)


if __name__ == "__main__":
    run(main)
