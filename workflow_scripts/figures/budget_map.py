"""Training frames against evaluation frames: what each does with the other held.

Comes in: scores.csv, deltas.csv, frame_effects.csv. Goes out: a double-width figure. Above, a map of scores: a row the
blind model, the base model and each training budget, a column each number of evaluation frames, and the image suite,
which has no frames. Below, a map of changes: of each row against the base with the same evaluation frames. Beside and
under them the difference between the most and the fewest frames, in evaluation and in training.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
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
PALEST, DARKEST = 0.02, 0.5
STRONGEST = 0.28
"""How far a change's colour goes from the middle of its map."""


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
    if "video" not in selection.suites:
        raise InputError("deltas: no row of the video suite; the map expects it")
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
    margins = list(table.loc[table["map"] == "training", "row"].drop_duplicates())
    columns = {str(count): float(at) for at, count in enumerate(frames)}
    if (table["map"] == "evaluation").any():
        columns[f"{frames[-1]}-{frames[0]}"] = len(frames) + GAP
    if "image" in selection.suites:
        columns["image"] = max(columns.values()) + 1 + GAP
    references = [name for name in ("blind", "base") if name in set(table["row"])]
    scored = {name: float(at) for at, name in enumerate(references + budgets)}
    changed = {name: float(at) for at, name in enumerate(budgets)}
    changed |= {name: len(budgets) + GAP for name in margins}
    figure = new_figure(DOUBLE_IN, 1.3 + ROW_IN * (len(scored) + len(changed) + GAP))
    above, below = figure.subplots(2, 1, height_ratios=[len(scored), len(changed) + GAP])
    shades = _shades(table)
    for row in table.to_dict("records"):
        axes, rows = (above, scored) if row["map"] in ("score", "evaluation") else (below, changed)
        shade = shades[row["suite"] if row["map"] == "score" else "change"]
        colour = "white" if row["row"] == "blind" else shade.to_rgba(row["value"])
        across = f"{frames[-1]}-{frames[0]}" if row["map"] == "evaluation" else _column(row)
        _cell(axes, columns[across], rows[row["row"]], row, colour)
    _axes(above, columns, scored, "score (% of maximum)")
    plain = {name: at for name, at in columns.items() if "-" not in name}
    _axes(below, plain, changed, "change against the base with the same evaluation frames (points of 100)")
    below.set_xlim(above.get_xlim())
    counted = ", ".join(f"{suite} n = {selection.questions(suite):,}" for suite in selection.suites)
    across = "evaluation frames of the video suite" + ("; image suite" if "image" in columns else "")
    figure.supxlabel(f"{across}\n{model_label(selection.models[0])}, {selection.seeds_text}, {counted}", fontsize=7.5)
    figure.supylabel("training frames", fontsize=7.5)
    return figure


def _column(row: Mapping[Any, Any]) -> str:
    return "image" if row["suite"] == "image" else str(int(row["frames"]))


def _shades(table: pd.DataFrame) -> dict[str, ScalarMappable]:
    """From values to colours on which black text is readable: of each suite's scores, and of all changes around 0."""
    scores = table[(table["map"] == "score") & (table["row"] != "blind")]
    shades = {}
    for suite, values in scores.groupby("suite")["value"]:
        low, span = float(values.min()), max(float(values.max() - values.min()), 1.0)
        unit = span / (DARKEST - PALEST)
        shades[str(suite)] = ScalarMappable(Normalize(low - PALEST * unit, low + (1 - PALEST) * unit), "Blues")
    largest = max(float(table.loc[table["map"] != "score", "value"].abs().max()), 1.0) / STRONGEST / 2
    return shades | {"change": ScalarMappable(Normalize(-largest, largest), "PuOr")}


def _cell(axes: Axes, x: float, y: float, row: Mapping[Any, Any], colour: Any) -> None:
    """A coloured box with the number, bold where it differs from 0 after Holm's correction, and its interval below."""
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, edgecolor="white", linewidth=1.2))
    value, low, high = (_number(row[key], row["map"] != "score") for key in ("value", "low", "high"))
    weight = "bold" if row["p_holm"] < 0.05 else "normal"
    axes.text(x, y - 0.19, value, ha="center", va="center", fontsize=8, fontweight=weight)
    axes.text(x, y + 0.22, f"[{low}, {high}]", ha="center", va="center", fontsize=SMALL_PT)


def _number(value: float, signed: bool) -> str:
    text = f"{value:+.1f}" if signed else f"{value:.1f}"
    return "0.0" if text.lstrip("+-") == "0.0" else text.replace("-", "\N{MINUS SIGN}")


def _axes(axes: Axes, columns: Mapping[str, float], rows: Mapping[str, float], title: str) -> None:
    named = [[name.replace("-", " \N{MINUS SIGN} ") for name in side] for side in (columns, rows)]
    axes.set_xticks(list(columns.values()), named[0])
    axes.set_yticks(list(rows.values()), named[1])
    axes.set_xlim(-0.52, max(columns.values()) + 0.52)
    axes.set_ylim(max(rows.values()) + 0.52, -0.52)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_title(title, loc="left")


if __name__ == "__main__":
    run(main)
