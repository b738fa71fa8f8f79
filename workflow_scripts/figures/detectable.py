"""Table: the smallest change that each benchmark can show, by model.

Comes in: the study's scores.csv and deltas.csv. Goes out: a table (.md, .tex, .html), a row a benchmark and suite, and
its numbers (.csv), a row a model and benchmark.

A cell holds the minimal detectable difference (`analysis.resampling`), the median over the model's runs (recipes,
allocations, numbers of evaluation frames) with their range, and the model's base and blind scores.
"""

import argparse
from pathlib import Path

import pandas as pd

from workflow_scripts.analysis.deltas import read_deltas
from workflow_scripts.analysis.scores import read_scores_table
from workflow_scripts.figures.save import save_csv, save_table
from workflow_scripts.figures.selection import SUITES, percent
from workflow_scripts.figures.style import benchmark_label, count, model_label
from workflow_scripts.settings import InputError
from workflow_scripts.settings.cli import run

NOTE = (
    "Minimal detectable difference in points of 100: the true change whose 95% interval leaves 0 out in four of five "
    "studies with as many questions and seeds; before correction for multiple comparisons. Median over a model's runs "
    "({runs}), in brackets the smallest and the largest. A change that was not found may still be as large as this. "
    "Base and blind: scores of the base model, and of the base model shown a grey picture, in % of the maximum."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, required=True, help="analysis/scores.csv")
    parser.add_argument("--deltas", type=Path, required=True, help="analysis/deltas.csv")
    parser.add_argument("--output-stem", type=Path, required=True, help="path of the output without its extension")
    arguments = parser.parse_args()
    deltas = read_deltas(arguments.deltas)
    if deltas.empty:
        raise InputError(f"file {arguments.deltas}: no row; expected at least one fine-tuned model")
    table = numbers(read_scores_table(arguments.scores), deltas)
    seeds = sorted(set(deltas["n_seeds"]))
    runs = " to ".join(dict.fromkeys(count(int(n), "seed") for n in (seeds[0], seeds[-1])))
    save_table(*cells(table), NOTE.format(runs=runs), arguments.output_stem)
    save_csv(table, arguments.output_stem)


def numbers(scores: pd.DataFrame, deltas: pd.DataFrame) -> pd.DataFrame:
    """A row a model and benchmark, in percent of the maximum: median, least, most of the minimal detectable difference
    over runs; base and blind, the means over the numbers of evaluation frames; n_questions, n_clusters, n_runs."""
    keys = ["model", "suite", "benchmark"]
    found = percent(deltas[deltas["main"]], ["mdd"]).groupby(keys, sort=False)
    table = found["mdd"].agg(median="median", least="min", most="max", n_runs="size")
    table = table.join(found[["n_questions", "n_clusters", "n_seeds"]].first())
    whole = percent(scores[(scores["category"] == "all") & scores["seed"].isna()], ["value"])
    whole = whole.merge(deltas.loc[deltas["main"], [*keys, "metric"]].drop_duplicates(), on=[*keys, "metric"])
    for name, rows in (("base", whole[~whole["blind"].astype(bool)]), ("blind", whole[whole["blind"].astype(bool)])):
        table[name] = rows.groupby(keys)["value"].mean()
    return table.reset_index()


def cells(table: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """The table as text: a suite's benchmarks, then its mean."""
    models = list(table["model"].drop_duplicates())
    header = ["Benchmark", "Questions", "Images or videos", *map(model_label, models)]
    rows = []
    for suite in SUITES:
        names = table.loc[table["suite"] == suite, "benchmark"].drop_duplicates()
        for name in sorted(names, key=lambda one: one in SUITES):
            of_name = table[table["benchmark"] == name].set_index("model")
            first = of_name.iloc[0]
            row = [benchmark_label(name), f"{first['n_questions']:,}", f"{first['n_clusters']:,.0f}"]
            rows.append(row + [_cell(of_name.loc[model]) if model in of_name.index else "" for model in models])
    return header, rows


def _cell(row: pd.Series) -> str:
    blind = "not evaluated" if pd.isna(row["blind"]) else f"{row['blind']:.1f}"
    spread = f"[{row['least']:.1f}, {row['most']:.1f}], {count(int(row['n_runs']), 'run')}"
    return f"{row['median']:.1f}\n{spread}\nbase {row['base']:.1f}, blind {blind}"


if __name__ == "__main__":
    run(main)
