"""Figure 3: what the answer looks at, before and after Video-SFT, across model sizes; and how much lies on the object.

Comes in: concentration.csv, and the folders of rule `attention` whose pictures are shown. Goes out: a double-width
figure: pictures with attention laid over, a column a model, rows before and after; below, the concentration of
attention on the object by model, and its changes with 95 percent intervals. The .csv holds every row of the table.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, NullLocator

from workflow_scripts.analysis.attention import read_pictures
from workflow_scripts.analysis.concentration import read_concentration, subject_of
from workflow_scripts.figures.save import save_figure
from workflow_scripts.figures.scale import BASE_LOOK, own_parts
from workflow_scripts.figures.style import BLACK, DOUBLE_IN, GREY, SMALL_PT, VERMILION, count, model_label, new_figure
from workflow_scripts.settings import ExperimentSettings, InputError
from workflow_scripts.settings.cli import json_of, run

HEAT = "inferno"
MEAN = -1
SHOWN_AT = {"base": "before", "tuned": "after"}
CEILING = 99.5
"""Percentile of all attention drawn at which the colours end."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True, help="analysis/attention/concentration.csv")
    parser.add_argument("--pictures", type=Path, nargs="+", required=True, metavar="DIR", help="folders of looks")
    parser.add_argument("--settings", type=json_of(ExperimentSettings), required=True, help="the experiment, as JSON")
    parser.add_argument("--dpi", type=int, default=300, help="resolution of the PNG")
    parser.add_argument("--output-stem", type=Path, required=True, help="path of the output without its extension")
    arguments = parser.parse_args()
    table = read_concentration(arguments.table)
    figure = draw(table, _pictures(arguments.pictures, arguments.settings))
    save_figure(figure, table, arguments.output_stem, arguments.dpi)


Pictures = Mapping[tuple[str, str], Sequence[Mapping[str, Any]]]  # by model and state


def _pictures(folders: Sequence[Path], settings: ExperimentSettings) -> Pictures:
    """The pictures of each model, before and after. Raises InputError where one is missing."""
    found = {}
    for folder in folders:
        subject = subject_of(folder)
        found[subject.model, "base" if subject.run is None else "tuned"] = read_pictures(folder)
    wanted = [(model, state) for model in settings.models for state in SHOWN_AT]
    if lacking := [key for key in wanted if key not in found]:
        raise InputError(f"--pictures: none of {lacking[0][0]}, {lacking[0][1]}; expected one folder each")
    return {key: found[key] for key in wanted}


def draw(table: pd.DataFrame, pictures: Pictures) -> Figure:
    """The pictures above, the numbers below."""
    models = list(dict.fromkeys(model for model, _ in pictures))
    asked = len(next(iter(pictures.values())))
    width = DOUBLE_IN / (len(models) + 1.25)
    first = next(iter(pictures.values()))[0]["picture"]
    tall = min(max(first.shape[0] / first.shape[1], 0.6), 1.2) * width * 2 + 0.35
    figure = new_figure(DOUBLE_IN, asked * tall + 2.2)
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=[asked * tall, 2.2])[:, 0]
    _draw_pictures(above, pictures, models, asked)
    levels, changes = below.subplots(1, 2, width_ratios=[1, 1.25])
    _levels(levels, table)
    _changes(changes, table)
    return figure


def _draw_pictures(figure: SubFigure, pictures: Pictures, models: Sequence[str], asked: int) -> None:
    drawn = np.concatenate([one["attention"].ravel() for looks in pictures.values() for one in looks])
    scale = Normalize(0, max(float(np.percentile(drawn, CEILING)), 1.5))
    blocks: list[SubFigure] = list(figure.subfigures(asked, 1, squeeze=False)[:, 0])
    for number, block in enumerate(blocks):
        one = next(iter(pictures.values()))[number]
        block.suptitle(f"{one['question'].splitlines()[0]}  \N{RIGHTWARDS ARROW}  {one['answer']}", fontsize=7.5)
        panels = block.subplots(2, len(models) + 1, squeeze=False)
        panels[1, 0].set_axis_off()
        if number == 0:
            _colours(block, panels[1, 0], scale)
        _picture(panels[0, 0], one)
        if number == 0:
            panels[0, 0].set_title("picture")
        for column, model in enumerate(models, start=1):
            for row, (state, when) in enumerate(SHOWN_AT.items()):
                axes = panels[row, column]
                _picture(axes, pictures[model, state][number], scale)
                if row == 0 and number == 0:
                    axes.set_title(model_label(model))
                if column == 1:
                    axes.set_ylabel(when)


def _colours(figure: SubFigure, cell: Axes, scale: Normalize) -> None:
    """The colours' meaning, in a cell without a picture."""
    bar = figure.colorbar(
        ScalarMappable(scale, HEAT), cax=cell.inset_axes((0.05, 0.62, 0.9, 0.09)), orientation="horizontal"
    )
    bar.set_label("attention\n(1: evenly spread)", fontsize=SMALL_PT)
    bar.ax.tick_params(length=1.5)
    bar.outline.set_linewidth(0.4)  # type: ignore[operator]


def _picture(axes: Axes, one: Mapping[str, Any], scale: Normalize | None = None) -> None:
    """A picture with the object's box; under attention, where a scale is given, in grey."""
    picture = one["picture"]
    if scale is None:
        axes.imshow(picture, interpolation="nearest")
    else:
        axes.imshow(picture.mean(axis=2), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes.imshow(one["attention"], cmap=HEAT, norm=scale, alpha=0.7, interpolation="nearest")
    left, top, right, bottom = one["box"]
    for colour, line in ((BLACK, 1.9), ("white", 0.9)):
        outline = Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, color=colour, lw=line)
        axes.add_patch(outline)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def _levels(axes: Axes, table: pd.DataFrame) -> None:
    """Concentration by model size, before and after."""
    rows = table[(table["effect"] == "level") & (table["layer"] == MEAN)].sort_values("size_b")
    models = rows.drop_duplicates("model")
    places = dict(zip(models["model"], range(len(models)), strict=True))
    for state, look, shift in (
        ("base", {**BASE_LOOK, "label": "before (base)"}, -0.08),
        ("tuned", {"color": VERMILION, "marker": "s", "markersize": 3.6, "label": "after Video-SFT"}, 0.08),
    ):
        of_state = rows[rows["state"] == state]
        at = [places[model] + shift for model in of_state["model"]]
        errors = [of_state["value"] - of_state["ci_low"], of_state["ci_high"] - of_state["value"]]
        axes.errorbar(at, of_state["value"], errors, elinewidth=0.9, **look)
    axes.axhline(1, color=GREY, linewidth=0.7, zorder=0.5)
    axes.text(len(places) - 0.6, 1, "evenly spread", fontsize=SMALL_PT, color=GREY, ha="right", va="bottom")
    axes.set_xticks(range(len(places)), own_parts([model_label(str(model)) for model in places]))
    axes.set_xlim(-0.4, len(places) - 0.6)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.set_ylabel("attention in the box\nover evenly spread")
    axes.set_xlabel(f"model; n = {int(table['n_questions'].iloc[0]):,} pictures, {count(_seeds(table), 'seed')}")
    axes.legend(loc="best")


def _changes(axes: Axes, table: pd.DataFrame) -> None:
    """After less before by model, and the largest less the smallest model."""
    changes = table[table["effect"] == "change"].sort_values("size_b")
    entries = [
        (f"{model_label(str(row['model']))}: after \N{MINUS SIGN} before", row) for row in changes.to_dict("records")
    ]
    for row in table[table["effect"] == "size"].to_dict("records"):
        large, small = own_parts([model_label(str(row["model"])), model_label(str(row["smallest"]))])
        when = {"base": "before", "tuned": "after", "change": "in the change"}[row["state"]]
        entries.append((f"{large} \N{MINUS SIGN} {small}, {when}", row))
    for at, (_, row) in enumerate(entries):
        colour = GREY if row["state"] == "base" else VERMILION
        marker = "D" if row["effect"] == "size" else "s"
        axes.plot([row["ci_low"], row["ci_high"]], [at, at], color=colour, linewidth=1.2, solid_capstyle="butt")
        axes.plot(row["value"], at, marker=marker, markersize=4, color=colour, markeredgewidth=0)
    axes.axvline(0, color=GREY, linewidth=0.7, zorder=0.5)
    axes.set_yticks(range(len(entries)), [label for label, _ in entries])
    axes.invert_yaxis()
    axes.set_xlabel("difference, 95% interval")


def _seeds(table: pd.DataFrame) -> int:
    return int(table.loc[table["effect"] == "change", "n_seeds"].max())


if __name__ == "__main__":
    run(main)
