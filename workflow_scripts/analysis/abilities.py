"""What fine-tuning changed in each ability: the benchmarks' own categories, and perception, cognition, hallucination.

Comes in: evaluation folders. Goes out: analysis/<figure>/abilities.csv, a row a recipe, model, allocation, suite,
number of evaluation frames, benchmark and ability; columns in `COLUMNS`, then seed_<s>, the change of each seed.

- ability: the upper level of a benchmark's categories, where it has two. It is scored by the benchmark's main metric on
  its questions. area: see `areas`.
- benchmark `image` / `video`: an area's score in the suite, the unweighted mean of its abilities' scores, each as
  percent of its maximum; ability and area are then the area's name.
- base, tuned, blind: scores in the metric's unit; blind (empty where it was not evaluated) is the base model's that saw
  a grey picture. The other columns are those of deltas.csv.
- `read_abilities` adds `p_holm`, Holm-adjusted within a family: all abilities of a recipe, model, allocation, suite and
  number of evaluation frames; the areas are a family of their own.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from workflow_scripts.analysis import command
from workflow_scripts.analysis.areas import AREAS, area
from workflow_scripts.analysis.comparison import MEASURED, Comparison, averaged, check_alike, compare
from workflow_scripts.analysis.deltas import SUITES, paired
from workflow_scripts.analysis.evaluations import SUITE_METRIC, Evaluation, read_evaluations
from workflow_scripts.analysis.resampling import bootstrap_weights, holm, swap_masks
from workflow_scripts.analysis.scores import read_table
from workflow_scripts.settings import InputError
from workflow_scripts.settings.cli import run

RUN = ("recipe", "model", "allocation", "suite", "eval_frames", "view")
COLUMNS = (
    *RUN, "benchmark", "ability", "area", "metric", "maximum", "n_questions", "base", "blind", "tuned", *MEASURED,
)  # fmt: skip


def main() -> None:
    arguments = command.parser(__doc__).parse_args()
    table = abilities(read_evaluations(arguments.evaluations), arguments.resamples, arguments.seed)
    command.write(table, arguments.output)


def abilities(evaluations: Sequence[Evaluation], resamples: int, seed: int) -> pd.DataFrame:
    """All rows of the table."""
    blinds = {
        (one.checkpoint.model, one.suite, one.eval_frames, one.checkpoint.view): one
        for one in evaluations
        if one.checkpoint.blind
    }
    rows: list[dict[str, Any]] = []
    for checkpoint, base, tuned in paired(evaluations):
        shown = base.suite, base.eval_frames, checkpoint.view
        place = checkpoint.recipe, checkpoint.model, checkpoint.allocation, *shown
        blind = blinds.get((checkpoint.model, *shown))
        rows.extend(dict(zip(RUN, place, strict=True)) | row for row in _rows(base, blind, tuned, resamples, seed))
    seeds = sorted({column for row in rows for column in row if column.startswith("seed_")}, key=_number)
    return pd.DataFrame(rows, columns=[*COLUMNS, *seeds])


def _number(column: str) -> int:
    return int(column.removeprefix("seed_"))


def _rows(
    base: Evaluation, blind: Evaluation | None, tuned: Sequence[Evaluation], resamples: int, seed: int
) -> Iterator[dict[str, Any]]:
    for one in tuned:
        check_alike(base, one)
    places = [one.checkpoint.seed for one in tuned]
    parts: dict[str, list[tuple[Comparison, float, float, int]]] = {}
    for name, benchmark in base.benchmarks.items():
        size = len(benchmark.clusters), resamples, seed, name
        chance = bootstrap_weights(*size), swap_masks(*size)
        others = [one.benchmarks[name].by("ability") for one in tuned]
        unseen = blind.benchmarks[name].by("ability") if blind else {}
        for ability, (metric, score, maximum, n) in benchmark.by("ability").items():
            found = compare([score], [other[ability][1] for other in others], *chance, maximum / n)
            language = unseen[ability][1].value() if ability in unseen else np.nan
            named = {"benchmark": name, "ability": ability, "area": area(name, ability), "metric": metric}
            parts.setdefault(named["area"], []).append((found, language, maximum, n))
            yield named | _measured(found, maximum, language, n, places)
    for name in AREAS:
        if name in parts:
            of_area, languages, maxima, questions = zip(*parts[name], strict=True)
            language = float(np.mean([100 * value / most for value, most in zip(languages, maxima, strict=True)]))
            named = {"benchmark": base.suite, "ability": name, "area": name, "metric": SUITE_METRIC}
            yield named | _measured(averaged(of_area, maxima), 100.0, language, sum(questions), places)


def _measured(
    found: Comparison, maximum: float, blind: float, questions: int, places: Sequence[int | None]
) -> dict[str, Any]:
    scores = {"maximum": maximum, "n_questions": questions, "base": found.before, "blind": blind, "tuned": found.after}
    return scores | found.measured() | {f"seed_{s}": value for s, value in zip(places, found.seeds, strict=True)}


def read_abilities(path: Path) -> pd.DataFrame:
    """Read abilities.csv and add `p_holm`."""
    table = read_table(path, COLUMNS)
    if table.empty:
        raise InputError(f"file {path}: no row; expected the abilities of at least one fine-tuned model")
    table["p_holm"] = np.nan
    whole = table["benchmark"].isin(SUITES)
    for family in (table[~whole], table[whole]):
        for _, members in family.groupby(list(RUN), sort=False):
            table.loc[members.index, "p_holm"] = holm(members["p_value"].tolist())
    return table


if __name__ == "__main__":
    run(main)
