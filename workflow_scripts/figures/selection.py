"""From the study's tables to the numbers of one figure.

All scores are put in percent of their metric's maximum, so that benchmarks share an axis; changes are in points of that
scale. Only a benchmark's main metric is drawn.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from workflow_scripts.analysis.deltas import read_deltas
from workflow_scripts.analysis.scores import read_scores_table
from workflow_scripts.settings import ExperimentSettings, InputError
from workflow_scripts.settings.cli import json_of
from workflow_scripts.settings.experiments import FRAMES_AXIS

SUITES = ("image", "video")
SCORES = ("base", "tuned", "delta", "ci_low", "ci_high", "se_questions", "se_seeds", "mdd")


@dataclass(frozen=True)
class Selection:
    """One experiment.

    changes: a row a recipe, model, allocation and benchmark (`image` and `video`: the suites' means): recipe, model,
      family, size_b, allocation, suite, eval_frames, view, benchmark, metric, maximum, base, tuned, delta, ci_low,
      ci_high (of delta), p_value, p_holm, n_questions, n_seeds, n_clusters, mdd (the minimal detectable difference),
      seed_<s>: the change of each seed, and blind: the base model's score where it sees a grey picture (nan: not
      evaluated); all scores in percent of maximum.
    references: a row a model, view, benchmark and kind (base, blind): value, ci_low, ci_high in percent of maximum.
    """

    models: tuple[str, ...]
    allocations: tuple[str, ...]
    changes: pd.DataFrame
    references: pd.DataFrame

    @property
    def benchmarks(self) -> list[str]:
        """The benchmarks without the suites' means, image first."""
        return [name for suite in SUITES for name in self._of(suite) if name not in SUITES]

    @property
    def suites(self) -> list[str]:
        return [suite for suite in SUITES if len(self._of(suite))]

    def _of(self, suite: str) -> list[str]:
        return list(self.changes.loc[self.changes["suite"] == suite, "benchmark"].drop_duplicates())

    def suite_of(self, benchmark: str) -> str:
        return str(self.changes.loc[self.changes["benchmark"] == benchmark, "suite"].iloc[0])

    def change(self, model: str, allocation: str, benchmark: str, recipe: str | None = None) -> dict[str, Any]:
        """The row of one mark; recipe: needed where there are several."""
        rows = self.changes[
            (self.changes["model"] == model)
            & (self.changes["allocation"] == allocation)
            & (self.changes["benchmark"] == benchmark)
            & (self.changes["recipe"] == (recipe or self.changes["recipe"].iloc[0]))
        ]
        return {str(key): value for key, value in rows.iloc[0].to_dict().items()}

    def reference(self, model: str, benchmark: str, kind: str) -> dict[str, Any] | None:
        """The base or blind score of a model; None where it was not evaluated."""
        rows = self.references[
            (self.references["model"] == model)
            & (self.references["benchmark"] == benchmark)
            & (self.references["kind"] == kind)
        ]
        return None if rows.empty else {str(key): value for key, value in rows.iloc[0].to_dict().items()}

    def questions(self, benchmark: str) -> int:
        return int(self.changes.loc[self.changes["benchmark"] == benchmark, "n_questions"].iloc[0])

    @property
    def seed_columns(self) -> list[str]:
        return [column for column in self.changes.columns if str(column).startswith("seed_")]

    @property
    def seeds_text(self) -> str:
        """`3 seeds`, or `1-3 seeds` where runs differ."""
        counts = sorted({int(n) for n in self.changes["n_seeds"]})
        if counts == [1]:
            return "1 seed"
        return f"{counts[0]} seeds" if len(counts) == 1 else f"{counts[0]}\N{EN DASH}{counts[-1]} seeds"

    @property
    def frames_text(self) -> str:
        """`16 evaluation frames`; empty without videos, and where they are an axis."""
        frames = self.changes.loc[self.changes["suite"] == "video", "eval_frames"].unique()
        return f"{int(frames[0])} evaluation frames" if len(frames) == 1 else ""

    @property
    def held_text(self) -> str:
        """Seeds and evaluation frames, which are the same throughout a figure."""
        return ", ".join(text for text in (self.seeds_text, self.frames_text) if text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of a figure of scores."""
    parser.add_argument("--scores", type=Path, required=True, help="analysis/scores.csv")
    parser.add_argument("--deltas", type=Path, required=True, help="analysis/deltas.csv")
    parser.add_argument(
        "--settings", type=json_of(ExperimentSettings), default=None, help="the experiment, as JSON; left out: all runs"
    )
    parser.add_argument("--dpi", type=int, default=300, help="resolution of the PNG")
    parser.add_argument("--output-stem", type=Path, required=True, help="path of the output without its extension")


def select(arguments: argparse.Namespace) -> Selection:
    """Read the tables and keep the experiment's runs. Raises InputError where one of them is missing."""
    scores, deltas = read_scores_table(arguments.scores), read_deltas(arguments.deltas)
    settings: ExperimentSettings | None = arguments.settings
    if deltas.empty:
        raise InputError(f"file {arguments.deltas}: no row; expected at least one fine-tuned model")
    if settings is not None:
        deltas = _of_experiment(deltas, settings, arguments.deltas)
        scores = scores[scores["model"].isin(settings.models)]
    if settings is None or settings.figure != FRAMES_AXIS:
        _check_frames(deltas, arguments.deltas)
    deltas = deltas[deltas["main"]]
    models = settings.models if settings else tuple(deltas["model"].drop_duplicates())
    allocations = settings.allocations if settings else tuple(deltas["allocation"].drop_duplicates())
    changes, references = _changes(scores, deltas), _references(scores, deltas)
    shown = ["model", "benchmark", "view", "eval_frames"]
    blind = references[references["kind"] == "blind"].set_index(shown)["value"]
    changes["blind"] = [blind.get(key) for key in changes[shown].itertuples(index=False, name=None)]
    return Selection(models, _in_order(allocations), changes.astype({"blind": float}), references)


def _in_order(allocations: Sequence[str]) -> tuple[str, ...]:
    """Uniform allocations by frames, then the others as given."""

    def key(name: str) -> tuple[bool, int]:
        family, _, rest = name.partition("-")
        return family != "uniform", int(rest) if family == "uniform" and rest.isdigit() else 0

    return tuple(sorted(allocations, key=key))


def _of_experiment(deltas: pd.DataFrame, settings: ExperimentSettings, path: Path) -> pd.DataFrame:
    kept = deltas[
        deltas["recipe"].isin(settings.recipes)
        & deltas["model"].isin(settings.models)
        & deltas["allocation"].isin(settings.allocations)
        & deltas["suite"].isin(settings.suites)
        & ((deltas["suite"] != "video") | deltas["eval_frames"].isin(settings.eval_frames))
    ]
    fits = [row.allocation in settings.allocations_of(row.recipe) for row in kept.itertuples()]
    kept = kept[pd.Series(fits, index=kept.index, dtype=bool)]
    held = set(kept[["recipe", "model", "allocation", "suite", "eval_frames"]].itertuples(index=False, name=None))
    for recipe, model, allocation, suite in product(
        settings.recipes, settings.models, settings.allocations, settings.suites
    ):
        if allocation not in settings.allocations_of(recipe):
            continue
        for frames in settings.eval_frames if suite == "video" else (1,):
            if (recipe, model, allocation, suite, frames) not in held:
                raise InputError(
                    f"file {path}: no row of recipe {recipe}, model {model}, allocation {allocation}, suite {suite}, "
                    f"eval_frames {frames}; the experiment of figure {settings.figure} expects one"
                )
    few = kept[kept["n_seeds"] < len(settings.seeds)]
    if not few.empty:
        row = few.iloc[0]
        raise InputError(
            f"file {path}: model {row['model']}, allocation {row['allocation']} has {row['n_seeds']} seeds; the "
            f"experiment of figure {settings.figure} expects {len(settings.seeds)}"
        )
    return kept


def _check_frames(deltas: pd.DataFrame, path: Path) -> None:
    """No other figure has an axis of evaluation frames."""
    frames = sorted(deltas.loc[deltas["suite"] == "video", "eval_frames"].unique())
    if len(frames) > 1:
        raise InputError(f"file {path}: eval_frames is {', '.join(map(str, frames))}; a figure expects one")


def percent(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The table with these columns in percent of the row's maximum."""
    scaled = table.copy()
    for column in columns:
        scaled[column] = 100 * table[column] / table["maximum"]
    return scaled


def _changes(scores: pd.DataFrame, deltas: pd.DataFrame) -> pd.DataFrame:
    facts = scores.drop_duplicates("model").set_index("model")[["family", "size_b"]]
    table = percent(deltas, SCORES).drop(columns=["main"])
    table.insert(2, "family", table["model"].map(facts["family"]))
    table.insert(3, "size_b", table["model"].map(facts["size_b"]))
    keys = ["recipe", "model", "allocation", "suite", "eval_frames", "benchmark", "metric"]
    runs = scores[(scores["category"] == "all") & scores["seed"].notna()]
    by_seed = percent(runs, ("value",)).pivot_table(index=keys, columns="seed", values="value")
    by_seed.columns = pd.Index([f"seed_{seed}" for seed in by_seed.columns])
    merged = table.merge(by_seed.reset_index(), on=keys, how="left")
    for column in by_seed.columns:
        merged[column] = merged[column] - merged["base"]
    return merged.dropna(axis="columns", how="all") if not merged.empty else merged


def _references(scores: pd.DataFrame, deltas: pd.DataFrame) -> pd.DataFrame:
    keys = ["model", "suite", "eval_frames", "view", "benchmark", "metric"]
    rows = scores[(scores["category"] == "all") & scores["seed"].isna()]
    rows = rows.merge(deltas[keys].drop_duplicates(), on=keys)
    rows = percent(rows, ("value", "ci_low", "ci_high"))
    rows["kind"] = rows["blind"].astype(bool).map({True: "blind", False: "base"})
    columns = ["family", "size_b", "kind", "value", "maximum", "ci_low", "ci_high", "n_questions"]
    return rows[[*keys, *columns]].reset_index(drop=True)
