"""Training frames against evaluation frames: what each does with the other held.

Comes in: scores.csv, deltas.csv, frame_effects.csv. Goes out: a double-width figure. Above, a map of scores: a row the
blind model, the base model and each training budget, a column each number of evaluation frames, and the image suite,
which has no frames. Below, a map of changes: of each row against the base with the same evaluation frames. Beside and
under them the difference between the most and the fewest frames, in evaluation and in training.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from workflow_scripts.analysis.frame_effects import read_frame_effects
from workflow_scripts.figures.save import save_figure
from workflow_scripts.figures.selection import Selection, add_arguments, percent, select
from workflow_scripts.figures.style import DOUBLE_IN, SMALL_PT, model_label, new_figure, uniform_frames
from workflow_scripts.settings import InputError
from workflow_scripts.settings.cli import run

ROW_IN = 0.33
GAP = 0.18
SCORES, CHANGES = colormaps["Blues"], colormaps["PuOr"]
PALEST, DARKEST = 0.02, 0.5
STRONGEST = 0.32
"""How far a change's colour goes from the middle of its map, in which black text is readable."""


@dataclass(frozen=True)
class Cell:
    """A number of a map with its interval; `found`: it differs from 0 after Holm's correction."""

    value: float
    low: float
    high: float
    found: bool = False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--effects", type=Path, required=True, help="analysis/<figure>/frame_effects.csv")
    arguments = parser.parse_args()
    selection = select(arguments)
    table = drawn(selection, arguments.effects)
    save_figure(draw(selection, table), table, arguments.output_stem, arguments.dpi)


def drawn(selection: Selection, path: Path) -> pd.DataFrame:
    """A row a cell, in percent of the maximum: map (score, change, evaluation, training), suite, row (blind, base or
    the training frames; `<most>-<fewest>` of the effect of training), frames (of evaluation, empty for images and the
    effect of evaluation), value, low, high, p_holm, mdd, n_questions, n_seeds, seed_<s>: each seed's value."""
    if len(selection.models) > 1:
        raise InputError(f"models {', '.join(selection.models)}; the map is of one model, expected one")
    rows: list[dict[str, Any]] = []
    whole = selection.changes[selection.changes["benchmark"] == selection.changes["suite"]]
    references = selection.references[selection.references["benchmark"] == selection.references["suite"]]
    for row in references.to_dict("records"):
        place = {"map": "score", "suite": row["suite"], "row": row["kind"], "frames": _frames(row)}
        limits = {"value": row["value"], "low": row["ci_low"], "high": row["ci_high"]}
        rows.append(place | limits | {"n_questions": row["n_questions"]})
    for row in whole.to_dict("records"):
        place = {"suite": row["suite"], "row": str(uniform_frames(row["allocation"])), "frames": _frames(row)}
        for kind, base in (("score", row["base"]), ("change", 0.0)):
            limits = {"value": row["delta"], "low": row["ci_low"], "high": row["ci_high"]}
            cell = place | {"map": kind} | {key: base + value for key, value in limits.items()}
            cell |= {column: base + row[column] for column in selection.seed_columns}
            held = {key: row[key] for key in ("p_holm", "mdd", "n_questions", "n_seeds")}
            rows.append(cell | (held if kind == "change" else {"n_questions": row["n_questions"]}))
    return pd.DataFrame([*rows, *_effects(path, selection)])


def _frames(row: Mapping[Any, Any]) -> int | None:
    return None if row["suite"] == "image" else int(row["eval_frames"])


def _effects(path: Path, selection: Selection) -> list[dict[str, Any]]:
    """The cells of the margins. Raises InputError where an effect that the map shows is missing."""
    table = read_frame_effects(path)
    table = table[(table["model"] == selection.models[0]) & (table["benchmark"] == table["suite"])]
    table = percent(table, ["delta", "ci_low", "ci_high", "mdd"])
    rows = []
    for row in table.to_dict("records"):
        training = row["effect"] == "training"
        allocation = "base" if row["allocation"] == "base" else str(uniform_frames(str(row["allocation"])))
        rows.append(
            {"map": row["effect"], "suite": row["suite"]}
            | {"row": f"{row['most']}-{row['fewest']}" if training else allocation}
            | {"frames": _frames(row) if training else None}
            | {"value": row["delta"], "low": row["ci_low"], "high": row["ci_high"]}
            | {key: row[key] for key in ("p_holm", "mdd", "n_questions", "n_seeds")}
        )
    return rows


def draw(selection: Selection, table: pd.DataFrame) -> Figure:
    """Two maps above one another on common columns: evaluation frames, their difference, images."""
    frames = sorted({int(count) for count in table["frames"].dropna()})
    budgets = [str(uniform_frames(name)) for name in selection.allocations]
    ends = f"{frames[-1]} \N{MINUS SIGN} {frames[0]}"
    columns: dict[Any, float] = {count: at for at, count in enumerate(frames)}
    columns |= {"difference": len(frames) + GAP, "image": len(frames) + 1 + 2 * GAP}
    scored = ["blind", "base", *budgets]
    figure = new_figure(DOUBLE_IN, 1.3 + ROW_IN * (len(scored) + len(budgets) + 1 + GAP))
    above, below = figure.subplots(2, 1, height_ratios=[len(scored), len(budgets) + 1 + GAP])
    scores, changes = (table[table["map"] == kind] for kind in ("score", "change"))
    largest = float(table.loc[table["map"] != "score", "value"].abs().max())
    diverging = Normalize(-largest / STRONGEST / 2, largest / STRONGEST / 2)
    for suite in selection.suites:
        values = scores.loc[(scores["suite"] == suite) & (scores["row"] != "blind"), "value"]
        low, span = float(values.min()), max(float(values.max() - values.min()), 1.0)
        for row in scores[scores["suite"] == suite].to_dict("records"):
            share = min(max((row["value"] - low) / span, 0.0), 1.0)
            colour = SCORES(PALEST + (DARKEST - PALEST) * share) if row["row"] != "blind" else "white"
            _cell(above, columns[_column(row)], scored.index(row["row"]), _of(row), colour, signed=False)
    for row in table[table["map"] == "evaluation"].to_dict("records"):
        colour = CHANGES(diverging(row["value"]))
        _cell(above, columns["difference"], scored.index(row["row"]), _of(row), colour, signed=True)
    for row in changes.to_dict("records"):
        colour = CHANGES(diverging(row["value"]))
        _cell(below, columns[_column(row)], budgets.index(row["row"]), _of(row), colour, signed=True)
    for row in table[table["map"] == "training"].to_dict("records"):
        colour = CHANGES(diverging(row["value"]))
        _cell(below, columns[_column(row)], len(budgets) + GAP, _of(row), colour, signed=True)
    spread = f"{budgets[-1]} \N{MINUS SIGN} {budgets[0]}"
    _axes(above, columns, ends, dict(enumerate(scored)), "score (% of maximum)")
    below_rows: dict[float, str] = {**dict(enumerate(budgets)), len(budgets) + GAP: spread}
    _axes(below, columns, "", below_rows, "change against the base with the same evaluation frames (points of 100)")
    questions = {suite: selection.questions(suite) for suite in selection.suites}
    above.set_xlabel("")
    counted = ", ".join(f"{suite} n = {count:,}" for suite, count in questions.items())
    figure.supxlabel(
        f"evaluation frames of the video suite; image suite\n{model_label(selection.models[0])}, "
        f"{selection.seeds_text}, {counted}",
        fontsize=7.5,
    )
    figure.supylabel("training frames", fontsize=7.5)
    return figure


def _column(row: Mapping[Any, Any]) -> Any:
    return "image" if row["suite"] == "image" else int(row["frames"])


def _of(row: Mapping[Any, Any]) -> Cell:
    return Cell(row["value"], row["low"], row["high"], row["p_holm"] < 0.05)


def _cell(axes: Axes, x: float, y: float, cell: Cell, colour: Any, signed: bool) -> None:
    """A coloured box with the number, bold where found, and its interval below."""
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, edgecolor="white", linewidth=1.2))
    sign = "+" if signed else ""
    value, low, high = (
        f"{number:{sign}.1f}".replace("-", "\N{MINUS SIGN}") for number in (cell.value, cell.low, cell.high)
    )
    axes.text(x, y - 0.19, value, ha="center", va="center", fontsize=8, fontweight="bold" if cell.found else "normal")
    axes.text(x, y + 0.22, f"[{low}, {high}]", ha="center", va="center", fontsize=SMALL_PT)


def _axes(axes: Axes, columns: Mapping[Any, float], ends: str, rows: Mapping[float, str], title: str) -> None:
    named = {at: str(name) if name != "difference" else ends for name, at in columns.items()}
    axes.set_xticks(list(named), list(named.values()))
    axes.set_yticks(list(rows), list(rows.values()))
    axes.set_xlim(-0.52, max(columns.values()) + 0.52)
    axes.set_ylim(max(rows) + 0.52, -0.52)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_title(title, loc="left")


if __name__ == "__main__":
    run(main)
