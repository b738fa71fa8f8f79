"""Do image and video gradients agree, at the base and along training, and do the paper's propositions hold there?

Comes in: the tables of rule `propositions`. Goes out: a double-width figure of six panels, and its numbers, a row a
mark: panel, percent (of the run's steps), series, x, value, low, high.

    python -m workflow_scripts.figures.gradient_alignment --tables results/<study>/analysis/gradient_alignment \\
        --settings '{...}' --output-stem results/<study>/figures/gradient_alignment
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from workflow_scripts.analysis.propositions import WHOLE, read_propositions
from workflow_scripts.figures.save import save_figure
from workflow_scripts.figures.style import DOUBLE_IN, GREY, LIGHT, model_label, new_figure, zero_line
from workflow_scripts.settings import ExperimentSettings
from workflow_scripts.settings.cli import json_of, run

Tables = dict[str, pd.DataFrame]
MARKERS = "osD^vPX*"
HEIGHT_IN = 5.0
RATIOS = (-1.5, 2.0)
"""Shown of measured over predicted changes; beyond, marks lie at the edge."""
PANELS = {
    "gradient": "a  cosine with the image gradient",
    "update": "b  the same of AdamW's update",
    "parts": "c  by part of the model",
    "decomposition": "d  alignment and growth (Prop. 2)",
    "steps": "e  real steps (Prop. 1)",
    "second_moment": "f  size of gradients (Prop. 3)",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, required=True, help="analysis/gradient_alignment/")
    parser.add_argument("--settings", type=json_of(ExperimentSettings), required=True, help="the experiment, as JSON")
    parser.add_argument("--dpi", type=int, default=300)
    parser.add_argument("--output-stem", type=Path, required=True)
    arguments = parser.parse_args()
    tables = read_propositions(arguments.tables)
    behind = drawn(tables)
    save_figure(draw(behind, tables, arguments.settings), behind, arguments.output_stem, arguments.dpi)


def drawn(tables: Tables) -> pd.DataFrame:
    """A row a mark; see the module."""
    rows: list[dict[str, Any]] = []
    alignment = tables["alignment"]
    for panel in ("gradient", "update"):
        shown = alignment[(alignment["direction"] == panel) & (alignment["group"] == WHOLE)]
        rows += [_row(panel, row, WHOLE, row["budget"], "cosine") for row in shown.to_dict("records")]
    rows += _contributions(alignment)
    rows += _decomposed(tables)
    for row in tables["steps"].to_dict("records"):
        first = row["first_order_held"]
        values = sorted(row[f"image_{name}"] / first for name in ("low", "high"))
        place = {"panel": "steps", "percent": row["percent"], "series": str(row["budget"])}
        limits = {"value": row["image_change"] / first, "low": values[0], "high": values[1]}
        rows.append(place | {"x": row["eta"] / row["eta0_held"]} | limits)
    for row in tables["second_moment"].to_dict("records"):
        rows.append(_row("second_moment", row, WHOLE, row["ratio"], "growth"))
    return pd.DataFrame(rows, columns=["panel", "percent", "series", "x", "value", "low", "high"])


def _row(panel: str, row: dict[Any, Any], series: str, x: float, column: str) -> dict[str, Any]:
    limits = {"value": row[column], "low": row[f"{column}_low"], "high": row[f"{column}_high"]}
    return {"panel": panel, "percent": row["percent"], "series": series, "x": x, **limits}


def _parts(alignment: pd.DataFrame) -> list[str]:
    """The groups in the order of the model: vision tower, projector, layers, the rest of the language model."""
    names = [name for name in alignment["group"].drop_duplicates() if name != WHOLE]
    layers = sorted((name for name in names if name.startswith("layer ")), key=lambda name: int(name.split()[1]))
    return [name for name in ("vision_tower", "projector", *layers, "language_model") if name in names]


def _contributions(alignment: pd.DataFrame) -> list[dict[str, Any]]:
    """What each part adds to the cosine at the most frames: its inner product over the norms of the whole gradients.

    Of a part's own cosine little could be said: late in training the norm of most parts is lost in its noise.
    """
    most = alignment[(alignment["direction"] == "gradient") & (alignment["budget"] == alignment["budget"].max())]
    whole = most[most["group"] == WHOLE].set_index("percent")
    norms = whole["image_norm"] * whole["video_norm"]
    order = {name: place for place, name in enumerate(_parts(alignment))}
    rows = []
    for row in most[most["group"] != WHOLE].to_dict("records"):
        scaled = row | {name: row[name] / norms[row["percent"]] for name in ("inner", "inner_low", "inner_high")}
        rows.append(_row("parts", scaled, row["group"], order[row["group"]], "inner"))
    return rows


def _decomposed(tables: Tables) -> list[dict[str, Any]]:
    """Alignment against gamma, of the gradient: a mark a checkpoint and budget, `fit` the ends of its line."""
    alignment, found = tables["alignment"], tables["decomposition"]
    found = found[found["direction"] == "gradient"]
    whole = alignment[(alignment["direction"] == "gradient") & (alignment["group"] == WHOLE)]
    rows = []
    for percent, mine in found.groupby("percent"):
        values = mine.set_index(["quantity", "budget"])["value"]
        for row in whole[whole["percent"] == percent].to_dict("records"):
            rows.append(_row("decomposition", row, str(row["budget"]), values["gamma", row["budget"]], "inner"))
        for gamma in (0.0, 1.0):
            value = values["a", 0] - gamma * values["b", 0]
            limits = {"value": value, "low": np.nan, "high": np.nan}
            rows.append({"panel": "decomposition", "percent": percent, "series": "fit", "x": gamma, **limits})
    return rows


def draw(behind: pd.DataFrame, tables: Tables, experiment: ExperimentSettings) -> Figure:
    """Six panels."""
    figure = new_figure(DOUBLE_IN, HEIGHT_IN)
    panels = figure.subplots(2, 3)
    percents = sorted(behind["percent"].unique())
    marks = {percent: _mark(place, len(percents)) for place, percent in enumerate(percents)}
    paint: dict[str, Callable[[Axes, pd.DataFrame, dict[int, dict[str, Any]]], None]] = {
        "gradient": _by_budget,
        "update": _by_budget,
        "parts": _by_part,
        "decomposition": _against_growth,
        "steps": _of_steps,
        "second_moment": _of_moments,
    }
    for axes, (name, title) in zip(panels.flat, PANELS.items(), strict=True):
        axes.set_title(title, loc="left")
        paint[name](axes, behind[behind["panel"] == name], marks)
    shared = [axes.get_ylim() for axes in panels.flat[:2]]
    for axes in panels.flat[:2]:
        axes.set_ylim(min(low for low, _ in shared), max(high for _, high in shared))
    labels = {0: "base", 100: "end of training"}
    handles = [
        Line2D([], [], label=labels.get(percent, f"{percent} %"), markersize=3.6, **marks[percent])
        for percent in percents
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=7, columnspacing=1.4)
    batches = int(tables["alignment"]["batches"].max())
    trained = f"{model_label(experiment.models[0])} trained on {experiment.allocations[0].replace('-', ' ')} frames"
    figure.supxlabel(f"{trained}; 95 % intervals over {batches} batches of videos and of images", fontsize=7.5)
    return figure


def _mark(place: int, count: int) -> dict[str, Any]:
    colour = matplotlib.colormaps["viridis"](0.88 * place / max(count - 1, 1))
    return {"color": colour, "marker": MARKERS[place % len(MARKERS)], "linewidth": 0.9, "markeredgewidth": 0}


def _series(axes: Axes, rows: pd.DataFrame, x: Sequence[float], mark: dict[str, Any], line: bool = True) -> None:
    """Marks with their intervals, joined in the order of x."""
    axes.vlines(x, rows["low"], rows["high"], color=mark["color"], linewidth=0.9, zorder=2)
    style = mark if line else {**mark, "linestyle": ""}
    axes.plot(x, rows["value"], markersize=3.6, zorder=3, **style)


def _by_budget(axes: Axes, rows: pd.DataFrame, marks: dict[int, dict[str, Any]]) -> None:
    budgets = sorted(rows["x"].unique())
    for place, (percent, mine) in enumerate(rows.groupby("percent")):
        aside = 0.09 * (place - (len(marks) - 1) / 2)
        _series(axes, mine.sort_values("x"), [budgets.index(x) + aside for x in sorted(mine["x"])], marks[percent])
    axes.set_xticks(range(len(budgets)), [f"{int(budget)}" for budget in budgets])
    zero_line(axes, vertical=False)
    axes.set_xlabel("frames of the videos")
    axes.set_ylabel("cosine")


def _by_part(axes: Axes, rows: pd.DataFrame, marks: dict[int, dict[str, Any]]) -> None:
    names = rows.sort_values("x")["series"].drop_duplicates().tolist()
    for number, (percent, mine) in enumerate(rows.groupby("percent")):
        at = mine["x"] + 0.22 * (number - (len(marks) - 1) / 2)
        axes.hlines(at, mine["low"], mine["high"], color=marks[percent]["color"], linewidth=0.9, zorder=2)
        axes.plot(mine["value"], at, markersize=3.6, zorder=3, **{**marks[percent], "linestyle": ""})
    labels = {"vision_tower": "vision", "language_model": "embeddings,\nhead"}
    step = -(-len(names) // 14)
    shown = [place for place, name in enumerate(names) if not name.startswith("layer") or place % step == 0]
    axes.set_yticks(shown, [labels.get(names[place], names[place]) for place in shown])
    axes.set_ylim(len(names) - 0.4, -0.6)
    zero_line(axes)
    axes.set_xlabel("part of the cosine")


def _against_growth(axes: Axes, rows: pd.DataFrame, marks: dict[int, dict[str, Any]]) -> None:
    for percent, mine in rows.groupby("percent"):
        measured, fit = mine[mine["series"] != "fit"], mine[mine["series"] == "fit"]
        _series(axes, measured, measured["x"].tolist(), marks[percent], line=False)
        axes.plot(fit["x"], fit["value"], color=marks[percent]["color"], linewidth=0.9)
    zero_line(axes, vertical=False)
    axes.set_xlabel("growth $\\gamma(T)$")
    axes.set_ylabel("alignment $A(T)$")


def _of_steps(axes: Axes, rows: pd.DataFrame, marks: dict[int, dict[str, Any]]) -> None:
    for (percent, _), mine in rows.groupby(["percent", "series"]):
        mine = mine.sort_values("x")
        axes.plot(
            mine["x"], mine["value"].clip(*RATIOS), markersize=2.4, alpha=0.85, **{**marks[percent], "linewidth": 0.6}
        )
    axes.set_xscale("log")
    axes.axvspan(axes.get_xlim()[0], 1, color=LIGHT, alpha=0.5, linewidth=0, zorder=0)
    axes.set_ylim(RATIOS[0] - 0.1, RATIOS[1] + 0.1)
    axes.axhline(1, color=GREY, linewidth=0.7, linestyle=":", zorder=0.5)
    zero_line(axes, vertical=False)
    axes.set_xlabel("rate of the step, $\\eta/\\eta_0$")
    axes.set_ylabel("image loss: change over\nits first order")


def _of_moments(axes: Axes, rows: pd.DataFrame, marks: dict[int, dict[str, Any]]) -> None:
    ratios = sorted(rows["x"].unique())
    for place, (percent, mine) in enumerate(rows.groupby("percent")):
        aside = 2 ** (0.1 * (place - (len(marks) - 1) / 2))
        _series(axes, mine, (mine["x"] * aside).tolist(), marks[percent], line=False)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator(ratios))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticklabels([f"{ratio:g}" if ratio >= 1 else f"1/{1 / ratio:g}" for ratio in ratios])
    axes.axvline(1, color=GREY, linewidth=0.7, linestyle=":", zorder=0.5)
    axes.axhline(1, color=GREY, linewidth=0.7, zorder=0.5)
    axes.set_xlabel("frames over sufficient frames")
    axes.set_ylabel("$|g|^2$ over that at\nthe sufficient budget")


if __name__ == "__main__":
    run(main)
