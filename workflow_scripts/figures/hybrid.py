"""Table 2: the score of every benchmark for the base model and for each allocation.

Comes in: scores.csv, deltas.csv, and optionally the manifest and budgets, for mean budgets. Goes out: a table (.md,
.tex, .html) and the numbers (.csv), a row a model, allocation and benchmark.

A cell holds the score, and below it the 95 percent interval: of a tuned score that of the change, put around the score
(does it hold the base score?); of base and blind the score's own. The best allocation of a column is bold only where
its score is above the upper ends of the other allocations' intervals, and its own interval above the base.
"""

import argparse
from collections.abc import Mapping
from typing import Any

import pandas as pd

from workflow_scripts.figures.samples import add_arguments as add_sample_arguments
from workflow_scripts.figures.samples import read_budgets
from workflow_scripts.figures.save import save_csv, save_table
from workflow_scripts.figures.selection import Selection, add_arguments, select
from workflow_scripts.figures.style import allocation_label, benchmark_label, model_label, uniform_frames
from workflow_scripts.settings.cli import run

NOTE = (
    "Scores in % of the metric's maximum; below, 95% intervals: for tuned models the paired interval of the change, "
    "put around the score; for base and blind the score's own. Image mean and video mean: unweighted mean of the "
    "suite's benchmarks. Bold: best allocation, where above the other allocations' intervals and with its own above "
    "the base."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    add_sample_arguments(parser, required=False)
    arguments = parser.parse_args()
    selection = select(arguments)
    means = {}
    if arguments.manifest and arguments.budgets:
        budgets = read_budgets(arguments.manifest, arguments.budgets)
        means = {name: float(budgets[name].mean()) for name in selection.allocations if name in budgets}
    table = numbers(selection, means)
    header, rows = cells(table, selection)
    note = f"{NOTE} {selection.held_text[0].upper() + selection.held_text[1:]}."
    save_table(header, rows, note, arguments.output_stem)
    save_csv(table, arguments.output_stem)


def numbers(selection: Selection, mean_budgets: Mapping[str, float]) -> pd.DataFrame:
    """A row a model, allocation (or base, blind) and benchmark: score, low, high, delta, p_holm, best."""
    rows: list[dict[str, Any]] = []
    for model in selection.models:
        for name in columns(selection):
            same = {"model": model, "benchmark": name, "n_questions": selection.questions(name)}
            group: list[dict[str, Any]] = []
            for allocation in selection.allocations:
                change = selection.change(model, allocation, name)
                budget = mean_budgets.get(allocation, uniform_frames(allocation))
                group.append(
                    same
                    | {"allocation": allocation, "mean_budget": budget, "score": change["tuned"]}
                    | {"low": change["base"] + change["ci_low"], "high": change["base"] + change["ci_high"]}
                    | {key: change[key] for key in ("delta", "p_value", "p_holm", "n_seeds", *selection.seed_columns)}
                )
            best = max(group, key=lambda row: float(row["score"]))
            bar = max([float(row["high"]) for row in group if row is not best], default=-float("inf"))
            base = selection.reference(model, name, "base")
            best["best"] = best["score"] > bar and (base is None or best["low"] > base["value"])
            for kind in ("base", "blind"):
                found = selection.reference(model, name, kind)
                if found:
                    limits = {"low": found["ci_low"], "high": found["ci_high"]}
                    rows.append(same | {"allocation": kind, "score": found["value"]} | limits)
            rows += group
    table = pd.DataFrame(rows)
    table["best"] = table["best"].eq(True)
    return table


def columns(selection: Selection) -> list[str]:
    """Each suite's benchmarks, then its mean."""
    names: list[str] = []
    for suite in selection.suites:
        names += [name for name in selection.benchmarks if selection.suite_of(name) == suite] + [suite]
    return names


def cells(table: pd.DataFrame, selection: Selection) -> tuple[list[str], list[list[str]]]:
    """The table as text."""
    several = len(selection.models) > 1
    names = columns(selection)
    header = [
        "Training frames",
        "Mean budget",
        *(f"{benchmark_label(n)}\nn = {selection.questions(n):,}" for n in names),
    ]
    rows = []
    for model in selection.models:
        for allocation in ("blind", "base", *selection.allocations):
            found = table[(table["model"] == model) & (table["allocation"] == allocation)].set_index("benchmark")
            if found.empty:
                continue
            label = allocation_label(allocation)
            budget = found["mean_budget"].iloc[0]
            row = [f"{model_label(model)}, {label}" if several else label]
            row.append("\N{EN DASH}" if pd.isna(budget) else f"{budget:.1f}".removesuffix(".0"))
            rows.append(row + [_cell(found.loc[name].to_dict()) if name in found.index else "" for name in names])
    return header, rows


def _cell(row: Mapping[Any, Any]) -> str:
    score = f"{row['score']:.1f}"
    return f"{f'**{score}**' if row['best'] else score}\n[{row['low']:.1f}, {row['high']:.1f}]"


if __name__ == "__main__":
    run(main)
