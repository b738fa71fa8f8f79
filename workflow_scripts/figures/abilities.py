"""Which abilities Video-SFT changes: every benchmark's own categories, sorted, below perception, cognition and
hallucination.

Comes in: scores.csv, deltas.csv, abilities.csv. Goes out: a double-width figure, a panel a suite, a row an ability,
with its number of questions and its base and blind scores.
"""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from workflow_scripts.analysis.abilities import read_abilities
from workflow_scripts.figures.marks import SEED, seed_handle, seed_values, shown
from workflow_scripts.figures.save import save_figure
from workflow_scripts.figures.selection import SUITES, Selection, add_arguments, percent, select
from workflow_scripts.figures.style import (
    DOUBLE_IN,
    GREEN,
    GREY,
    LIGHT,
    ORANGE,
    PURPLE,
    SMALL_PT,
    Mark,
    allocation_label,
    benchmark_label,
    darker,
    model_label,
    new_figure,
    zero_line,
)
from workflow_scripts.settings import InputError
from workflow_scripts.settings.cli import run

ROW_IN = 0.145
AREA = {
    "perception": Mark(GREEN, "o"),
    "cognition": Mark(PURPLE, "D"),
    "hallucination": Mark(ORANGE, "^"),
    "other": Mark(GREY, "s"),
}
SPELLED = {
    "finegrained perception (instance-level)": "instance-level",
    "finegrained perception (cross-instance)": "cross-instance",
    "coarse perception": "coarse",
    "fine-grained perception": "fine-grained",
}
NUMBERS = {"n": 23, "base": 43, "blind": 65}
"""Where the columns of numbers end, in points from the panel's right."""
MEAN_LINE = (0, (1, 1.5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--abilities", type=Path, required=True, help="analysis/<figure>/abilities.csv")
    arguments = parser.parse_args()
    selection = select(arguments)
    table = drawn(selection, arguments.abilities)
    save_figure(draw(selection, table), table, arguments.output_stem, arguments.dpi)


def drawn(selection: Selection, path: Path) -> pd.DataFrame:
    """A row a mark, in the order drawn, all scores in percent of their maximum; seed_<s> the change of each seed."""
    if len(selection.models) > 1 or len(selection.allocations) > 1:
        raise InputError(
            f"models {', '.join(selection.models)}, allocations {', '.join(selection.allocations)}: the figure is of "
            "one model and one allocation; expected one each"
        )
    table = read_abilities(path).dropna(axis="columns", how="all")
    held = ["recipe", "model", "allocation", "suite", "eval_frames", "view"]
    table = table.merge(selection.changes[held].drop_duplicates(), on=held)
    for suite in selection.suites:
        if suite not in set(table["suite"]):
            raise InputError(f"file {path}: no row of suite {suite}; expected the abilities of {selection.models[0]}")
    scores = ["base", "blind", "tuned", "delta", "ci_low", "ci_high", "se_questions", "se_seeds", "mdd"]
    seeds = [str(column) for column in table.columns if str(column).startswith("seed_")]
    table = percent(table, [column for column in [*scores, *seeds] if column in table])
    table["mean"] = table["benchmark"].isin(SUITES)
    return table.sort_values(
        ["suite", "mean", "delta", "benchmark", "ability"], ascending=[True, False, True, True, True], ignore_index=True
    )


def label(benchmark: str, ability: str) -> str:
    """`moving_attribute` of MVBench as `moving attribute, MVBench`; an area by its name."""
    if benchmark in SUITES:
        return f"{ability} (mean)"
    words = " ".join(word if word.isupper() else word.lower() for word in ability.replace("_", " ").split())
    return f"{SPELLED.get(words, words)}, {benchmark_label(benchmark)}"


def draw(selection: Selection, table: pd.DataFrame) -> Figure:
    """The suites side by side, the strongest fall on top; rows of about equal height."""
    sizes = [int((table["suite"] == suite).sum()) for suite in selection.suites]
    figure = new_figure(DOUBLE_IN, 0.95 + ROW_IN * (max(sizes) + 1.5))
    grid = figure.add_gridspec(2, len(sizes), height_ratios=[min(sizes) + 2.3, max(sizes) - min(sizes) + 0.01])
    for column, (suite, size) in enumerate(zip(selection.suites, sizes, strict=True)):
        axes = figure.add_subplot(grid[:, column] if size == max(sizes) else grid[0, column])
        mean = selection.change(selection.models[0], selection.allocations[0], suite)["delta"]
        _panel(axes, table[table["suite"] == suite], mean, selection)
        axes.set_ylim(size + 0.2, -1.7)
        axes.set_title(f"{suite} benchmarks")
    held = f"{model_label(selection.models[0])}, {allocation_label(selection.allocations[0])}; {selection.held_text}"
    figure.supxlabel(f"change after Video-SFT (points of 100)\n{held}", fontsize=7.5)
    figure.set_layout_engine("constrained", w_pad=0.06)
    areas = [name for name in AREA if name in set(table["area"])]
    figure.legend(handles=_legend(selection, areas), loc="outside upper center", ncols=7, columnspacing=1.2)
    return figure


def _panel(axes: Axes, rows: pd.DataFrame, mean: float, selection: Selection) -> None:
    zero_line(axes)
    n_means = int(rows["mean"].sum())
    heights = [at + (0.6 if at >= n_means else 0) for at in range(len(rows))]
    axes.axhline(n_means - 0.2, color=GREY, linewidth=0.6)
    for at, row in zip(heights, rows.to_dict("records"), strict=True):
        _mark(axes, at, {str(key): value for key, value in row.items()}, selection)
    low, high = float(rows[["ci_low", "delta"]].min().min()), float(rows[["ci_high", "delta"]].max().max())
    spare = 0.04 * (high - low)
    axes.set_xlim(min(low, 0) - spare, max(high, 0) + spare)
    axes.axvline(mean, color=GREY, linewidth=0.9, linestyle=MEAN_LINE, zorder=0.6)
    axes.set_yticks(heights, [label(b, a) for b, a in zip(rows["benchmark"], rows["ability"], strict=True)])
    for text, is_mean in zip(axes.get_yticklabels(), rows["mean"], strict=True):
        text.set_fontweight("bold" if is_mean else "normal")
    for name in NUMBERS:
        _number(axes, name, -1.1, name)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))


def _mark(axes: Axes, at: float, row: dict[str, Any], selection: Selection) -> None:
    look = AREA[row["area"]]
    axes.barh(at, 2 * row["mdd"], 0.8, -row["mdd"], color=LIGHT, alpha=0.6, linewidth=0, zorder=0.2)
    axes.plot([row["ci_low"], row["ci_high"]], [at, at], color=look.colour, linewidth=1.1, solid_capstyle="butt")
    found = row["p_holm"] < 0.05
    axes.plot(
        row["delta"], at, marker=look.marker, markersize=3.8, color=look.colour, markeredgewidth=0.9,
        markerfacecolor=look.colour if found else "white", zorder=3,
    )  # fmt: skip
    seeds = seed_values(row, [column for column in selection.seed_columns if column in row])
    if shown(len(seeds)):
        axes.plot(seeds, [at + 0.34] * len(seeds), color=darker(look.colour), zorder=2.5, **SEED)
    texts = {
        "n": f"{row['n_questions']:,}",
        "base": f"{row['base']:.0f}",
        "blind": "\N{EN DASH}" if pd.isna(row.get("blind")) else f"{row['blind']:.0f}",
    }
    for name, text in texts.items():
        _number(axes, name, at, text)


def _number(axes: Axes, column: str, at: float, text: str) -> None:
    axes.annotate(
        text, (1, at), (NUMBERS[column], 0), xycoords=("axes fraction", "data"), textcoords="offset points", ha="right",
        va="center", fontsize=SMALL_PT, annotation_clip=False,
    )  # fmt: skip


def _legend(selection: Selection, areas: list[str]) -> list[Line2D | Patch]:
    look: dict[str, Any] = {"markersize": 3.8, "linewidth": 1.1, "markeredgewidth": 0.9}
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=AREA[name].colour, marker=AREA[name].marker, label=name, **look) for name in areas
    ]
    handles.append(Line2D([], [], color=GREY, marker="o", markerfacecolor="white", label="undecided", **look))
    handles.append(Line2D([], [], color=GREY, linewidth=0.9, linestyle=MEAN_LINE, label="suite mean"))
    handles.append(Patch(color=LIGHT, alpha=0.6, linewidth=0, label="too small to detect"))
    return [*handles, *seed_handle(selection)]


if __name__ == "__main__":
    run(main)
