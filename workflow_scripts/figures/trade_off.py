"""The trade-off: change of the video score against change of the image score, for allocations and for mitigations.

Comes in: scores.csv, deltas.csv, and, where there are several recipes, their settings and contrasts.csv. Goes out: a
panel a model, with intervals, the path along the uniform allocations, those of interpolated weights and of replayed
shares, and the Pareto front.
"""

import argparse
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.lines import Line2D

from workflow_scripts.analysis.contrasts import read_contrasts
from workflow_scripts.figures.labels import place_labels
from workflow_scripts.figures.marks import SEED, seed_handle, seed_values, shown
from workflow_scripts.figures.save import save_figure
from workflow_scripts.figures.selection import Selection, add_arguments, select
from workflow_scripts.figures.style import (
    BLACK,
    COLUMN_IN,
    DOUBLE_IN,
    GREEN,
    GREY,
    SKY,
    SMALL_PT,
    UNIFORM,
    VERMILION,
    Mark,
    allocation_label,
    darker,
    mark,
    model_label,
    new_figure,
    uniform_frames,
    zero_line,
)
from workflow_scripts.settings import InputError, RecipeSettings
from workflow_scripts.settings.cli import json_of, run

Bar = tuple[tuple[float, float], tuple[float, float]]
FRONT: dict[str, Any] = {"color": GREEN, "linewidth": 1.0, "linestyle": (0, (3, 1.5))}
TAKEN = ["base", "blind", "delta", "ci_low", "ci_high", "p_holm", "n_questions"]
SEEDS_IN_AT_MOST = 4
"""Points of a panel beside which single seeds are drawn; with more they hide each other, and the table has them."""
BASE = Mark(BLACK, "P")


@dataclass(frozen=True)
class Kind:
    """A kind of mitigation: its name in the legend, its look, and whether its points are joined to where they start."""

    name: str
    mark: Mark
    joined: bool = False


INTERPOLATED = Kind("interpolated", Mark(BLACK, "."), joined=True)
REPLAY = Kind("replay", Mark(SKY, "s"), joined=True)
PROJECTION = Kind("projection", Mark(VERMILION, "^"))
FROZEN = Kind("part frozen", Mark(GREY, "X"))
KINDS = (INTERPOLATED, REPLAY, PROJECTION, FROZEN)


@dataclass(frozen=True)
class Mitigation:
    """What sets a recipe apart from the plain one: its kind, its label, and how much of it, from 0 to 1."""

    kind: Kind
    label: str
    amount: float = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument(
        "--recipes", type=json_of(list[RecipeSettings]), default=[], help="the recipes' settings, the plain one first"
    )
    parser.add_argument(
        "--contrasts", type=Path, help="analysis/trade_off/contrasts.csv: mitigations beside the plain run"
    )
    arguments = parser.parse_args()
    selection, found = select(arguments), mitigations(arguments.recipes)
    table = drawn(selection, found)
    if arguments.contrasts is not None:
        table = beside_run(table, arguments.contrasts, selection.suites)
    save_figure(draw(selection, found), table, arguments.output_stem, arguments.dpi)


def mitigations(recipes: Sequence[RecipeSettings]) -> dict[str, Mitigation]:
    """What each recipe but the first, the plain one, does, by its name. Raises InputError where one does nothing."""
    found = {}
    for recipe in recipes[1:]:
        first = recipes[0].learning_rates.model_dump()
        frozen = [part for part, rate in recipe.learning_rates.model_dump().items() if rate == 0 and first[part]]
        if recipe.interpolation is not None:
            found[recipe.name] = Mitigation(INTERPOLATED, f"{recipe.interpolation:.0%}", recipe.interpolation)
        elif recipe.replay is not None:
            found[recipe.name] = Mitigation(REPLAY, f"{recipe.replay:.0%}", recipe.replay)
        elif recipe.gradient_projection is not None:
            found[recipe.name] = Mitigation(PROJECTION, "")
        elif frozen:
            found[recipe.name] = Mitigation(FROZEN, " and ".join(part.replace("_", " ") for part in frozen))
        else:
            raise InputError(
                f"--recipes: {recipe.name} is no mitigation; expected interpolation, replay, gradient_projection or a "
                f"part frozen that {recipes[0].name} trains"
            )
    return found


def drawn(selection: Selection, of: Mapping[str, Mitigation] | None = None) -> pd.DataFrame:
    """A row a point: the changes of both suites, and whether it is on the model's Pareto front."""
    if selection.suites != ["image", "video"]:
        raise InputError(f"deltas: suites {', '.join(selection.suites)}; figure trade_off expects image and video")
    rows = []
    for model, recipe, allocation in _points(selection, of or {}):
        mitigation = (of or {}).get(recipe)
        row: dict[str, object] = {"model": model, "recipe": recipe, "allocation": allocation}
        row["mitigation"] = "" if mitigation is None else f"{mitigation.kind.name} {mitigation.label}".strip()
        for suite in selection.suites:
            change = selection.change(model, allocation, suite, recipe)
            row |= {f"{suite}_{key}": change[key] for key in (*TAKEN, *selection.seed_columns)}
        rows.append(row | {"n_seeds": change["n_seeds"]})
    table = pd.DataFrame(rows)
    table["pareto"] = False
    for _, points in table.groupby("model"):
        table.loc[points.index, "pareto"] = pareto(points["image_delta"], points["video_delta"])
    return table


def beside_run(table: pd.DataFrame, path: Path, suites: Sequence[str]) -> pd.DataFrame:
    """`table` with the paired difference of each mitigation to the plain recipe on the same allocation.

    For each suite `<suite>_beside_run`, its interval `..._ci_low` and `..._ci_high`, and `..._p_holm`; nan for the
    plain recipe. `path`: contrasts.csv.
    """
    keys = ["model", "recipe", "allocation"]
    found = read_contrasts(path)
    for suite in suites:
        rows = found[(found["suite"] == suite) & (found["benchmark"] == suite)]
        name = f"{suite}_beside_run"
        taken = {"delta": name, **{column: f"{name}_{column}" for column in ("ci_low", "ci_high", "p_holm")}}
        table = table.merge(rows[[*keys, *taken]].rename(columns=taken), on=keys, how="left", validate="one_to_one")
    return table


def _points(selection: Selection, of: Mapping[str, Mitigation]) -> Iterator[tuple[str, str, str]]:
    """Model, recipe and allocation of each point: the plain recipe's, then the mitigations' as `of` lists them."""
    held = set(selection.changes[["model", "recipe", "allocation"]].itertuples(index=False, name=None))
    plain = [recipe for recipe in selection.changes["recipe"].drop_duplicates() if recipe not in of]
    if len(plain) != 1:
        raise InputError(f"deltas: recipes {', '.join(plain)}; figure trade_off expects one, and --recipes of others")
    for point in itertools.product(selection.models, [*plain, *of], selection.allocations):
        if point in held:
            yield point


def pareto(x: pd.Series, y: pd.Series) -> pd.Series:
    """Is no other point at least as good in both and better in one."""
    better = [((x >= a) & (y >= b) & ((x > a) | (y > b))).any() for a, b in zip(x, y, strict=True)]
    return pd.Series([not dominated for dominated in better], index=x.index)


def draw(selection: Selection, of: Mapping[str, Mitigation] | None = None) -> Figure:
    """One model: column width; several: three panels a row at double width, on common axes."""
    of = of or {}
    table = drawn(selection, of)
    n = len(selection.models)
    columns = min(n, 3)
    rows = -(-n // columns)
    height = (3.3 if of else 2.7) if n == 1 else 2.4
    figure = new_figure(COLUMN_IN if n == 1 else DOUBLE_IN, 0.35 + height * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in panels.flat[n:]:
        axes.set_visible(False)
    for axes, model in zip(panels.flat, selection.models, strict=False):
        _marks(axes, table[table["model"] == model], selection, of)
        axes.set_title(model_label(model))
    questions = {suite: f"{selection.questions(suite):,}" for suite in selection.suites}
    figure.supxlabel(f"image change (points of 100, n = {questions['image']})\n{selection.held_text}", fontsize=7.5)
    figure.supylabel(f"video change (points of 100, n = {questions['video']})", fontsize=7.5)
    handles, labels = zip(*_legend(selection, table, of), strict=True)
    figure.legend(
        handles,
        labels,
        handler_map={tuple: HandlerTuple(ndivide=None, pad=0)},
        loc="outside upper center",
        ncols=7 if n > 1 else 3 if of else 4,
        columnspacing=1.0,
        handletextpad=0.4,
    )
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes, model in zip(panels.flat, selection.models, strict=False):
        of_model = table[table["model"] == model]
        _label(axes, of_model, _front(axes, of_model), of, hybrids=n == 1)
    return figure


def _marks(axes: Axes, table: pd.DataFrame, selection: Selection, of: Mapping[str, Mitigation]) -> None:
    paths = _paths(table, of)
    based = any(mitigation.kind is INTERPOLATED for mitigation in of.values())
    if _near_zero(table, "image"):
        zero_line(axes)
    if _near_zero(table, "video"):
        zero_line(axes, vertical=False)
    for colour, path in paths:
        axes.plot(*zip(*path, strict=True), color=colour, linewidth=0.9, alpha=0.6, zorder=1.5)
    if based:
        axes.plot(0, 0, marker=BASE.marker, color=BASE.colour, markersize=6, markeredgewidth=0, zorder=4)
    for row in table.to_dict("records"):
        style = _mark(row, of)
        for bar in _bars(row):
            axes.plot(*zip(*bar, strict=True), color=style.colour, linewidth=0.7, alpha=0.3, zorder=2)
        edge: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.5}
        size = 6.5 if style.marker == "." else 5.5
        axes.plot(
            row["image_delta"], row["video_delta"], marker=style.marker, color=style.colour, markersize=size, zorder=4,
            **edge,
        )  # fmt: skip
        image, video = (
            seed_values(row, [f"{suite}_{column}" for column in selection.seed_columns]) for suite in selection.suites
        )
        if shown(len(image)) and len(table) <= SEEDS_IN_AT_MOST:
            axes.plot(image, video, color=style.colour, zorder=3, **SEED)
    axes.margins(0.08)


def _mark(row: Mapping[Any, Any], of: Mapping[str, Mitigation]) -> Mark:
    mitigation = of.get(str(row["recipe"]))
    return mark(str(row["allocation"])) if mitigation is None else mitigation.kind.mark


def _paths(table: pd.DataFrame, of: Mapping[str, Mitigation]) -> list[tuple[str, list[tuple[float, float]]]]:
    """Lines with their colours: along uniform budgets, from the base through interpolations to the run, from the run on
    through rising shares of replay."""
    plain = table[~table["recipe"].isin(list(of))]
    uniform = plain[[uniform_frames(name) is not None for name in plain["allocation"]]]
    paths = [(UNIFORM.colour, _places(uniform))] if len(uniform) > 1 else []
    for kind, allocation in itertools.product(KINDS, table["allocation"].drop_duplicates()):
        members = {name: found.amount for name, found in of.items() if found.kind is kind}
        rows = table[table["recipe"].isin(list(members)) & (table["allocation"] == allocation)]
        if not kind.joined or rows.empty:
            continue
        ordered = rows.assign(amount=rows["recipe"].map(members)).sort_values("amount")
        run_itself = _places(plain[plain["allocation"] == allocation])
        if kind is INTERPOLATED:
            paths.append((kind.mark.colour, [(0.0, 0.0), *_places(ordered), *run_itself]))
        else:
            paths.append((kind.mark.colour, [*run_itself, *_places(ordered)]))
    return paths


def _places(rows: pd.DataFrame) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in zip(rows["image_delta"], rows["video_delta"], strict=True)]


def _near_zero(table: pd.DataFrame, suite: str) -> bool:
    """Can the zero line be drawn without squeezing the points into less than two thirds of the panel."""
    low, high = float(table[f"{suite}_ci_low"].min()), float(table[f"{suite}_ci_high"].max())
    return max(low, -high) < 0.5 * (high - low)


def _front(axes: Axes, table: pd.DataFrame) -> list[Bar]:
    """The border of what some point reaches in both, drawn to the edges of the panel."""
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


def _label(axes: Axes, table: pd.DataFrame, front: list[Bar], of: Mapping[str, Mitigation], hybrids: bool) -> None:
    """Name the points: uniform allocations by their frames, mitigations by how much of them or of what; hybrid
    allocations too, unless the legend does."""
    rows = table.to_dict("records")
    points = _places(table)
    texts, colours = [], []
    for row in rows:
        mitigation, allocation = of.get(str(row["recipe"])), str(row["allocation"])
        plain = str(uniform_frames(allocation) or (_short(allocation) if hybrids else ""))
        texts.append(plain if mitigation is None else mitigation.label)
        colours.append(darker(_mark(row, of).colour))
    if any(mitigation.kind is INTERPOLATED for mitigation in of.values()):
        points.append((0.0, 0.0))
        texts.append("base")
        colours.append(BLACK)
    obstacles = front + [bar for row in rows for bar in _bars(row)]
    obstacles += [step for _, path in _paths(table, of) for step in itertools.pairwise(path)]
    obstacles += [
        ((axes.get_xlim()[0], 0), (axes.get_xlim()[1], 0)),
        ((0, axes.get_ylim()[0]), (0, axes.get_ylim()[1])),
    ]
    place_labels(axes, points, texts, colours, obstacles, SMALL_PT)


def _short(allocation: str) -> str:
    return allocation_label(allocation).removeprefix("hybrid ")


def _legend(
    selection: Selection, table: pd.DataFrame, of: Mapping[str, Mitigation]
) -> list[tuple[Line2D | tuple[Line2D, ...], str]]:
    """Marks and what they are; hybrid allocations together where the points themselves are named."""
    entries: list[tuple[Line2D | tuple[Line2D, ...], str]] = [
        (_handle(UNIFORM, line=True), "uniform (frames)" if of else "uniform")
    ]
    hybrids = [name for name in selection.allocations if uniform_frames(name) is None]
    if len(selection.models) == 1 and hybrids:
        entries.append((tuple(_handle(mark(name), size=3.6) for name in hybrids), "hybrid"))
    else:
        entries += [(_handle(mark(name)), _short(name)) for name in hybrids]
    for kind in KINDS:
        if any(mitigation.kind is kind for mitigation in of.values()):
            entries.append((_handle(kind.mark, line=kind.joined), kind.name))
    few = int(table.groupby("model").size().max()) <= SEEDS_IN_AT_MOST
    entries += [(handle, str(handle.get_label())) for handle in seed_handle(selection) if few]
    return [*entries, (Line2D([], [], **FRONT), "Pareto front")]


def _handle(style: Mark, *, line: bool = False, size: float = 4.5) -> Line2D:
    look: dict[str, Any] = {"color": style.colour, "marker": style.marker, "markersize": size, "linewidth": 0.9}
    return Line2D([], [], linestyle="-" if line else "", markeredgewidth=0, **look)


if __name__ == "__main__":
    run(main)
