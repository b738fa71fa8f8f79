"""Table 1: the hybrid allocations' predictors compared, with a figure of the budgets they gave.

Comes in: scores.csv, deltas.csv, the manifest, the budgets of each allocation and, where a study knows them, the true
minimal sufficient budgets; contrasts.csv, where allocations are set against each other; and Snakemake's benchmark files
of the jobs that gave the budgets. Goes out: a table (.md, .tex, .html), a figure (.pdf, .svg, .png; also in the page)
and the numbers behind both (.csv): a row an allocation, then a row a contrast.

Frames saved are against giving every sample the largest admissible budget. Intervals of shares are Wilson's, at 95
percent, those of mean budgets Student's: samples are on different videos. Seconds are of one job, its start and the
loading of its model included, divided by the samples: a cost on the machine that ran it, without an interval.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

from workflow_scripts.analysis.contrasts import read_contrasts
from workflow_scripts.budgets.truth import read_truth
from workflow_scripts.figures.samples import add_arguments as add_sample_arguments
from workflow_scripts.figures.samples import read_budgets
from workflow_scripts.figures.save import save_figure, save_table, svg_text
from workflow_scripts.figures.selection import Selection, add_arguments, select
from workflow_scripts.figures.style import (
    BLACK,
    DOUBLE_IN,
    SMALL_PT,
    allocation_label,
    mark,
    model_label,
    new_figure,
    uniform_frames,
)
from workflow_scripts.settings import InputError
from workflow_scripts.settings.cli import run

NOTE = (
    "n = {n:,} training samples. Frames saved: against the largest admissible budget, {largest}, for every sample. "
    "Image and video change: of the suites' means after Video-SFT, in points of 100, {model}, {held}. "
    "Base and blind: the base model's scores, and those where it is shown a grey picture, in % of the maximum. "
    "Brackets: 95% intervals."
)
SUITE_KEYS = ("base", "blind", "delta", "ci_low", "ci_high", "n_questions")
TRUTH_NOTE = " Exact, too few: share of samples whose budget is, or is below, the true minimal sufficient budget."
NO_TRUTH = " Exact, too few: not known, as the study names no true budgets (budgets.truth is null)."
ESTIMATED = (
    " The oracle's budgets are estimates: where a model finds the sample's own answer no likelier with more frames."
)
COST_NOTE = (
    " Seconds: of the job that gave the budgets, its start included, a sample; \N{EN DASH}: no job's time is at hand."
)
CONTRAST_NOTE = (
    " Rows \N{GREEK CAPITAL LETTER DELTA}: the first allocation's scores less the second's, on the same questions and "
    "seeds; p: Holm-adjusted over these rows of a suite."
)
UNKNOWN = "\N{EN DASH}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    add_sample_arguments(parser, required=True)
    parser.add_argument("--truth", type=Path, default=None, help="true budgets: subset, record_id, format, budget")
    parser.add_argument("--contrasts", type=Path, default=None, help="analysis/predictors/contrasts.csv")
    parser.add_argument(
        "--costs", nargs="*", type=Path, default=[], metavar="JSONL", help="benchmark files <allocation>.jsonl"
    )
    parser.add_argument("--admissible", nargs="+", type=int, required=True, metavar="FRAMES", help="frames.budgets")
    arguments = parser.parse_args()
    selection = select(arguments)
    if len(selection.models) > 1:
        raise InputError(f"models {', '.join(selection.models)}: the table is of one model; expected one")
    budgets = read_budgets(arguments.manifest, arguments.budgets)
    missing = [name for name in selection.allocations if name not in budgets]
    if missing:
        raise InputError(f"--budgets: none of allocation {missing[0]}; expected one for each of the experiment's")
    if arguments.truth:
        budgets["truth"] = read_truth(arguments.truth, budgets)
    admissible = sorted(arguments.admissible)
    _check(budgets, selection, admissible)
    table = numbers(selection, budgets, admissible, {_allocation(path): seconds(path) for path in arguments.costs})
    header, rows = cells(table, selection)
    contrasts = compared(arguments.contrasts, selection) if arguments.contrasts else pd.DataFrame()
    rows += contrast_cells(contrasts, selection)
    model = model_label(selection.models[0])
    note = NOTE.format(n=len(budgets), largest=admissible[-1], model=model, held=selection.held_text)
    figure = draw(budgets, selection, admissible)
    note += COST_NOTE + (TRUTH_NOTE if arguments.truth else NO_TRUTH) + (CONTRAST_NOTE if len(contrasts) else "")
    note += ESTIMATED if not arguments.truth and "hybrid-oracle" in selection.allocations else ""
    save_table(header, rows, note, arguments.output_stem, svg_text(figure))
    save_figure(figure, pd.concat([table, contrasts], ignore_index=True), arguments.output_stem, arguments.dpi)


def _allocation(path: Path) -> str:
    return path.name.removesuffix(".jsonl")


def seconds(path: Path) -> float:
    """Wall seconds of the last attempt of a job. Raises InputError where the file is no benchmark of Snakemake's."""
    try:
        return float(json.loads(path.read_text(encoding="utf-8").splitlines()[-1])["s"])
    except (OSError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"file {path}: {error!r}; expected a benchmark file of Snakemake's, with seconds `s`"
        ) from None


def hybrids(selection: Selection) -> list[str]:
    return [name for name in selection.allocations if uniform_frames(name) is None]


def _check(budgets: pd.DataFrame, selection: Selection, admissible: list[int]) -> None:
    for name in [*selection.allocations, *(["truth"] if "truth" in budgets else [])]:
        strange = budgets.loc[~budgets[name].isin(admissible), name]
        if not strange.empty:
            raise InputError(
                f"budgets of {name}: {int(strange.iloc[0])} frames; expected one of {', '.join(map(str, admissible))}"
            )


def numbers(
    selection: Selection, budgets: pd.DataFrame, admissible: list[int], costs: dict[str, float]
) -> pd.DataFrame:
    """A row an allocation: mean_budget and saved (share of the largest admissible) with their intervals, share_<n>,
    seconds (a sample), scores and changes of the suites; with truth also exact, too_few, too_many with their intervals,
    and cell_<true>_<given> (counts). costs: seconds of a job, by allocation."""
    rows = []
    for allocation in selection.allocations:
        given = budgets[allocation]
        row: dict[str, Any] = {"allocation": allocation, "n_samples": len(given), "mean_budget": given.mean()}
        half = stats.t.ppf(0.975, len(given) - 1) * given.sem() if len(given) > 1 else math.nan
        row |= {"mean_budget_low": given.mean() - half, "mean_budget_high": given.mean() + half}
        row |= {"saved": 1 - given.mean() / admissible[-1]}
        row |= {"saved_low": row["saved"] - half / admissible[-1], "saved_high": row["saved"] + half / admissible[-1]}
        row["seconds"] = costs[allocation] / len(given) if allocation in costs else math.nan
        row |= {f"share_{n}": (given == n).mean() for n in admissible}
        for suite in selection.suites:
            change = selection.change(selection.models[0], allocation, suite)
            row |= {f"{suite}_{key}": change[key] for key in SUITE_KEYS}
        if "truth" in budgets:
            truth = budgets["truth"]
            for name, is_it in (("exact", given == truth), ("too_few", given < truth), ("too_many", given > truth)):
                low, high = wilson(int(is_it.sum()), len(is_it))
                row |= {name: is_it.mean(), f"{name}_low": low, f"{name}_high": high}
            row |= {f"cell_{t}_{g}": int(((truth == t) & (given == g)).sum()) for t in admissible for g in admissible}
        rows.append(row)
    return pd.DataFrame(rows)


def wilson(right: int, n: int) -> tuple[float, float]:
    """Wilson's 95 percent interval of a share (Wilson 1927)."""
    z = 1.959964
    centre, half = right + z * z / 2, z * math.sqrt(right * (n - right) / n + z * z / 4)
    return (centre - half) / (n + z * z), (centre + half) / (n + z * z)


def cells(table: pd.DataFrame, selection: Selection) -> tuple[list[str], list[list[str]]]:
    """The table as text."""
    known = "exact" in table
    header = [
        "Allocation",
        "Mean budget",
        "Frames saved",
        "Seconds\na sample",
        *(f"{suite.capitalize()} change\n{_references(table, suite)}" for suite in selection.suites),
    ]
    header += ["Exact", "Too few"]
    rows = []
    for row in table.to_dict("records"):
        cell = [
            allocation_label(str(row["allocation"])),
            f"{row['mean_budget']:.1f}\n[{row['mean_budget_low']:.1f}, {row['mean_budget_high']:.1f}]",
            f"{100 * row['saved']:.0f}%\n[{100 * row['saved_low']:.0f}, {100 * row['saved_high']:.0f}]",
            UNKNOWN if math.isnan(row["seconds"]) else f"{row['seconds']:.2g}",
        ]
        for suite in selection.suites:
            value, low, high = (row[f"{suite}_{key}"] for key in ("delta", "ci_low", "ci_high"))
            cell.append(f"{_signed(value)}\n[{_signed(low)}, {_signed(high)}]")
        for name in ("exact", "too_few"):
            if known:
                low, high = row[f"{name}_low"], row[f"{name}_high"]
                cell.append(f"{100 * row[name]:.0f}%\n[{100 * low:.0f}, {100 * high:.0f}]")
            else:
                cell.append(UNKNOWN)
        rows.append(cell)
    return header, rows


def compared(path: Path, selection: Selection) -> pd.DataFrame:
    """The suites' rows of contrasts.csv: allocation, against, suite, delta, ci_low, ci_high, p_value, p_holm, ..."""
    table = read_contrasts(path)
    rows = table[table["benchmark"].isin(selection.suites) & (table["model"] == selection.models[0])]
    return rows.drop(columns=["main", "metric", "maximum"]).reset_index(drop=True)


def contrast_cells(contrasts: pd.DataFrame, selection: Selection) -> list[list[str]]:
    """A row of the table a pair of allocations."""
    rows = []
    for (first, second), pair in contrasts.groupby(["allocation", "against"], sort=False) if len(contrasts) else ():
        names = f"{allocation_label(str(first))}\n\N{MINUS SIGN} {allocation_label(str(second))}"
        cell = [f"\N{GREEK CAPITAL LETTER DELTA} {names}", "", "", ""]
        by_suite = pair.set_index("suite")
        for suite in selection.suites:
            one = by_suite.loc[suite]
            interval = f"[{_signed(one['ci_low'])}, {_signed(one['ci_high'])}], {_probability(one['p_holm'])}"
            cell.append(f"{_signed(one['delta'])}\n{interval}")
        rows.append([*cell, "", ""])
    return rows


def _probability(value: float) -> str:
    return "p < 0.01" if value < 0.01 else f"p = {value:.2f}"


def _references(table: pd.DataFrame, suite: str) -> str:
    """The base and blind scores that all changes of a suite are beside."""
    base, blind = (table[f"{suite}_{kind}"].iloc[0] for kind in ("base", "blind"))
    return f"base {base:.1f}" + ("" if pd.isna(blind) else f", blind {blind:.1f}")


def _signed(value: float) -> str:
    text = f"{value:+.1f}".replace("-", "\N{MINUS SIGN}")
    return "0.0" if text[1:] == "0.0" else text


def draw(budgets: pd.DataFrame, selection: Selection, admissible: list[int]) -> Figure:
    """A column a predictor: the histogram of budgets, with truth also how they meet the true ones."""
    names = hybrids(selection)
    if not names:
        raise InputError(f"allocations {', '.join(selection.allocations)}: none is hybrid-<...>; predictors needs one")
    known = "truth" in budgets
    width = max(2.2 * min(len(names), 3), 3.35)
    figure = new_figure(min(width, DOUBLE_IN), 3.9 if known else 1.75)
    panels = figure.subplots(1 + known, len(names), squeeze=False, height_ratios=[1, 1.25] if known else [1])
    for column, name in enumerate(names):
        top = panels[0, column]
        _histogram(top, budgets, name, admissible, known)
        top.set_title(f"{allocation_label(name).removeprefix('hybrid ')}\nmean {budgets[name].mean():.1f}")
        if known:
            _confusion(panels[1, column], budgets, name, admissible)
        if column:
            for panel in panels[:, column]:
                panel.tick_params(labelleft=False)
            top.sharey(panels[0, 0])
    panels[0, 0].set_ylabel("share of samples (%)")
    if known:
        panels[1, 0].set_ylabel("true budget (n)\ncells: % of row")
        figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper right", ncols=2, handlelength=1.2)
    tallest = max(bar.get_height() for axes in panels[0] for bar in axes.patches)
    panels[0, 0].set_ylim(0, 1.05 * tallest)
    figure.supxlabel(f"predicted budget (frames), n = {len(budgets):,} samples", fontsize=7.5)
    return figure


def _histogram(axes: Axes, budgets: pd.DataFrame, name: str, admissible: list[int], known: bool) -> None:
    shares = [100 * float((budgets[name] == n).mean()) for n in admissible]
    axes.bar(range(len(admissible)), shares, width=0.7, color=mark(name).colour, label="predicted")
    if known:
        true = [100 * float((budgets["truth"] == n).mean()) for n in admissible]
        axes.bar(range(len(admissible)), true, width=0.7, fill=False, edgecolor=BLACK, linewidth=0.9, label="true")
    axes.set_xticks(range(len(admissible)), [str(n) for n in admissible])


def _confusion(axes: Axes, budgets: pd.DataFrame, name: str, admissible: list[int]) -> None:
    """Rows: true budget; each row's percentages add to 100."""
    counts = np.array(
        [[((budgets["truth"] == t) & (budgets[name] == g)).sum() for g in admissible] for t in admissible]
    )
    totals = counts.sum(axis=1, keepdims=True)
    shares = 100 * counts / np.maximum(totals, 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=100, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        colour = "white" if share > 60 else "black"
        text = f"{share:.0f}" if totals[row, 0] else "\N{EN DASH}"
        axes.text(column, row, text, ha="center", va="center", fontsize=SMALL_PT, color=colour)
    axes.set_xticks(range(len(admissible)), [str(n) for n in admissible])
    axes.set_yticks(
        range(len(admissible)), [f"{n} ({total:,})" for n, total in zip(admissible, totals[:, 0], strict=True)]
    )
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


if __name__ == "__main__":
    run(main)
