"""The trade-off: change of the video score against change of the image score, for every allocation.

Comes in: scores.csv, deltas.csv. Goes out: a panel a model, with intervals, the path along the uniform allocations and
the Pareto front.
"""

import argparse
import itertools
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from workflow_scripts.figures.labels import place_labels
from workflow_scripts.figures.marks import SEED, seed_handle, seed_values, shown
from workflow_scripts.figures.save import save_figure
from workflow_scripts.figures.selection import Selection, add_arguments, select
from workflow_scripts.figures.style import (
    COLUMN_IN,
    DOUBLE_IN,
    GREEN,
    GREY,
    SMALL_PT,
    UNIFORM,
    allocation_label,
    darker,
    mark,
    model_label,
    new_figure,
    uniform_frames,
    zero_line,
)
from workflow_scripts.settings import InputError
from workflow_scripts.settings.cli import run

Bar = tuple[tuple[float, float], tuple[float, float]]
FRONT: dict[str, Any] = {"color": GREEN, "linewidth": 1.0, "linestyle": (0, (3, 1.5))}
TAKEN = ["base", "blind", "delta", "ci_low", "ci_high", "p_holm", "n_questions"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    arguments = parser.parse_args()
    selection = select(arguments)
    save_figure(draw(selection), drawn(selection), arguments.output_stem, arguments.dpi)


def drawn(selection: Selection) -> pd.DataFrame:
    """A row a point: the changes of both suites, and whether it is on the model's Pareto front."""
    if selection.suites != ["image", "video"]:
        raise InputError(f"deltas: suites {', '.join(selection.suites)}; figure trade_off expects image and video")
    rows = []
    for model in selection.models:
        for allocation in selection.allocations:
            row: dict[str, object] = {"model": model, "allocation": allocation}
            for suite in selection.suites:
                change = selection.change(model, allocation, suite)
                row |= {f"{suite}_{key}": change[key] for key in (*TAKEN, *selection.seed_columns)}
            rows.append(row | {"n_seeds": change["n_seeds"]})
    table = pd.DataFrame(rows)
    table["pareto"] = False
    for _, points in table.groupby("model"):
        table.loc[points.index, "pareto"] = pareto(points["image_delta"], points["video_delta"])
    return table


def pareto(x: pd.Series, y: pd.Series) -> pd.Series:
    """Is no other point at least as good in both and better in one."""
    better = [((x >= a) & (y >= b) & ((x > a) | (y > b))).any() for a, b in zip(x, y, strict=True)]
    return pd.Series([not dominated for dominated in better], index=x.index)


def draw(selection: Selection) -> Figure:
    """One model: column width; several: three panels a row at double width, on common axes."""
    table = drawn(selection)
    n = len(selection.models)
    columns = min(n, 3)
    rows = -(-n // columns)
    figure = new_figure(COLUMN_IN if n == 1 else DOUBLE_IN, 0.35 + (2.7 if n == 1 else 2.4) * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in panels.flat[n:]:
        axes.set_visible(False)
    for axes, model in zip(panels.flat, selection.models, strict=False):
        _marks(axes, table[table["model"] == model], selection)
        axes.set_title(model_label(model))
    questions = {suite: f"{selection.questions(suite):,}" for suite in selection.suites}
    figure.supxlabel(f"image change (points of 100, n = {questions['image']})\n{selection.held_text}", fontsize=7.5)
    figure.supylabel(f"video change (points of 100, n = {questions['video']})", fontsize=7.5)
    figure.legend(
        handles=_legend(selection),
        loc="outside upper center",
        ncols=4 if n == 1 else 7,
        columnspacing=1.0,
        handletextpad=0.4,
    )
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes, model in zip(panels.flat, selection.models, strict=False):
        of_model = table[table["model"] == model]
        _label(axes, of_model, _front(axes, of_model), hybrids=n == 1)
    return figure


def _marks(axes: Axes, table: pd.DataFrame, selection: Selection) -> None:
    if _near_zero(table, "image"):
        zero_line(axes)
    if _near_zero(table, "video"):
        zero_line(axes, vertical=False)
    uniform = table[[uniform_frames(name) is not None for name in table["allocation"]]]
    axes.plot(
        uniform["image_delta"], uniform["video_delta"], color=UNIFORM.colour, linewidth=0.9, alpha=0.6, zorder=1.5
    )
    for row in table.to_dict("records"):
        style = mark(str(row["allocation"]))
        x, y = row["image_delta"], row["video_delta"]
        for bar in _bars(row):
            axes.plot(*zip(*bar, strict=True), color=style.colour, linewidth=0.8, alpha=0.45, zorder=2)
        edge: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.5}
        axes.plot(x, y, marker=style.marker, color=style.colour, markersize=5.5, zorder=4, **edge)
        image, video = (
            seed_values(row, [f"{suite}_{column}" for column in selection.seed_columns]) for suite in selection.suites
        )
        if shown(len(image)):
            axes.plot(image, video, color=style.colour, zorder=3, **SEED)
    axes.margins(0.08)


def _near_zero(table: pd.DataFrame, suite: str) -> bool:
    """Can the zero line be drawn without squeezing the points into less than two thirds of the panel."""
    low, high = float(table[f"{suite}_ci_low"].min()), float(table[f"{suite}_ci_high"].max())
    return max(low, -high) < 0.5 * (high - low)


def _front(axes: Axes, table: pd.DataFrame) -> list[Bar]:
    """The border of what some allocation reaches in both, drawn to the edges of the panel."""
    front = table[table["pareto"]].sort_values("image_delta")
    x, y = list(front["image_delta"]), list(front["video_delta"])
    limits = axes.get_xlim(), axes.get_ylim()
    corners = [(limits[0][0], y[0])]
    for at, height in zip(x, y, strict=True):
        corners += [(corners[-1][0], height), (at, height)]
    corners.append((x[-1], limits[1][0]))
    axes.plot(*zip(*corners, strict=True), zorder=1, **FRONT)
    axes.set(xlim=limits[0], ylim=limits[1])
    return list(itertools.pairwise(corners))


def _bars(row: Mapping[Any, Any]) -> list[Bar]:
    x, y = row["image_delta"], row["video_delta"]
    return [
        ((row["image_ci_low"], y), (row["image_ci_high"], y)),
        ((x, row["video_ci_low"]), (x, row["video_ci_high"])),
    ]


def _label(axes: Axes, table: pd.DataFrame, front: list[Bar], hybrids: bool) -> None:
    """Name the points: uniform allocations by their frames; hybrid ones too, unless the legend does."""
    rows = table.to_dict("records")
    points = [(float(row["image_delta"]), float(row["video_delta"])) for row in rows]
    names = [str(row["allocation"]) for row in rows]
    texts = [str(uniform_frames(name) or (_short(name) if hybrids else "")) for name in names]
    colours = [darker(mark(name).colour) for name in names]
    obstacles = front + [bar for row in rows for bar in _bars(row)]
    obstacles += list(itertools.pairwise(p for p, name in zip(points, names, strict=True) if uniform_frames(name)))
    obstacles += [
        ((axes.get_xlim()[0], 0), (axes.get_xlim()[1], 0)),
        ((0, axes.get_ylim()[0]), (0, axes.get_ylim()[1])),
    ]
    place_labels(axes, points, texts, colours, obstacles, SMALL_PT)


def _short(allocation: str) -> str:
    return allocation_label(allocation).removeprefix("hybrid ")


def _legend(selection: Selection) -> list[Line2D]:
    handles = [Line2D([], [], color=UNIFORM.colour, marker=UNIFORM.marker, markersize=4.5, label="uniform")]
    hybrids = [name for name in selection.allocations if uniform_frames(name) is None]
    if len(selection.models) == 1 and hybrids:
        handles.append(Line2D([], [], color=GREY, marker="D", linestyle="", markersize=4, label="hybrid"))
    elif hybrids:
        for name in hybrids:
            style = mark(name)
            handles.append(
                Line2D(
                    [], [], color=style.colour, marker=style.marker, linestyle="", markersize=4.5, label=_short(name)
                )
            )
    return [*handles, *seed_handle(selection), Line2D([], [], label="Pareto front", **FRONT)]


if __name__ == "__main__":
    run(main)
