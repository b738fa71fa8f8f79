"""How concentrated attention is on the object asked about: before and after Video-SFT, and across model sizes.

    python -m workflow_scripts.analysis.concentration --folders looks/base/qwen2.5-vl-3b ... --models '[...]' \\
        --resamples 2000 --seed 0 --output concentration.csv

Comes in: folders of rule `attention`, `.../looks/base/<model>` and `.../looks/tuned/<recipe>/<model>/<allocation>/
seed-<s>`. Goes out: a table, columns in COLUMNS. A value is a concentration, or a difference of two: the share of
attention in the objects' boxes over the share that evenly spread attention would have there, each summed over the
questions; 1 is what a model gets that looks anywhere. By `effect`:

- level: of one model in one state, base or tuned (a mean over its seeds); a row for each layer and, layer -1, one for
  the mean of the chosen layers, which is what the other effects are of.
- change: tuned less base, of one model, question by question.
- size: the largest less the smallest model of a family, in each state, and in their change.

Intervals: pictures are drawn anew, every model scored on the same draws, and seeds enter as in `resampling`; p values
are of a level being 1, as attention spread evenly has, and of a difference being 0.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workflow_scripts.analysis.attention import MEAN, read_shares
from workflow_scripts.analysis.comparison import Comparison
from workflow_scripts.analysis.resampling import (
    bootstrap_weights,
    minimal_detectable,
    seed_interval,
    seed_p_value,
    standard_errors,
)
from workflow_scripts.analysis.scores import read_table
from workflow_scripts.settings import InputError, ModelSettings, plan
from workflow_scripts.settings.cli import json_of, run
from workflow_scripts.settings.files import atomic_path

COLUMNS = (
    "effect", "state", "model", "size_b", "smallest", "recipe", "allocation", "layer", "share", "even", "seen", "value",
    "ci_low", "ci_high", "p_value", "n_questions", "n_seeds", "se_questions", "se_seeds", "mdd",
)  # fmt: skip
PURPOSE = "attention"
Run = tuple[str, str]  # recipe and allocation


class Looks:
    """The shares of one model in one state: of each seed and layer a row a question, all in the same order."""

    def __init__(self, seeds: Sequence[pd.DataFrame]) -> None:
        self.seeds = list(seeds)

    def layers(self) -> list[int]:
        """The layers, the mean first."""
        return sorted(self.seeds[0]["layer"].unique().tolist())

    def sums(self, layer: int) -> list[NDArray[np.float64]]:
        """For each seed float64 [questions, 2]: share in the box, and evenly spread."""
        return [one.loc[one["layer"] == layer, ["share", "even"]].to_numpy() for one in self.seeds]

    def mean(self, column: str, layer: int) -> float:
        """Over questions and seeds."""
        return float(np.mean([one.loc[one["layer"] == layer, column].mean() for one in self.seeds]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folders", nargs="+", type=Path, required=True, metavar="DIR")
    parser.add_argument("--models", type=json_of(list[ModelSettings]), required=True, help="the models, as JSON")
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    table = concentration(arguments.folders, arguments.models, arguments.resamples, arguments.seed)
    with atomic_path(arguments.output) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")


def concentration(folders: Sequence[Path], models: Sequence[ModelSettings], resamples: int, seed: int) -> pd.DataFrame:
    """All rows of the table."""
    bases, runs, number = _read(folders, {model.name for model in models})
    weights = bootstrap_weights(number, resamples, seed, PURPOSE)
    rows = list(_rows(bases, runs, sorted(models, key=lambda one: one.size_b), weights))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table["n_questions"] = number
    return table


def subject_of(folder: Path) -> plan.Subject:
    """What was looked at. Raises InputError where a folder's place does not say."""
    head, _, tail = folder.as_posix().partition("/looks/")
    kind = tail.split("/")[0]
    if not head or len(tail.split("/")) != {"base": 2, "tuned": 5}.get(kind):
        raise InputError(f"folder {folder}: expected .../looks/base/<model> or .../looks/tuned/<recipe>/<model>/...")
    return plan.Subject.parse(tail)


def _read(folders: Sequence[Path], models: set[str]) -> tuple[dict[str, Looks], dict[tuple[Run, str], Looks], int]:
    """The looks of each base model, of each run by recipe, allocation and model, and the number of questions."""
    bases: dict[str, Looks] = {}
    runs: dict[tuple[Run, str], dict[int, pd.DataFrame]] = {}
    first: tuple[Path, list[str]] | None = None
    for folder in folders:
        subject = subject_of(folder)
        if subject.model not in models:
            raise InputError(f"folder {folder}: model {subject.model} is not among --models")
        found = read_shares(folder)
        asked = found.loc[found["layer"] == MEAN, "question_id"].tolist()
        first = first or (folder, asked)
        if asked != first[1]:
            raise InputError(f"folder {folder}: other questions than in {first[0]}; expected the same, in one order")
        if subject.run is None:
            bases[subject.model] = Looks([found])
        else:
            key = (subject.run.recipe, subject.run.allocation), subject.model
            runs.setdefault(key, {})[subject.run.seed] = found
    assert first is not None
    tuned = {key: Looks([found for _, found in sorted(seeds.items())]) for key, seeds in runs.items()}
    if lacking := sorted({model for _, model in tuned} - set(bases)):
        raise InputError(f"--folders: model {lacking[0]} is tuned, but its base is not there; expected both")
    return bases, tuned, len(first[1])


def _rows(
    bases: Mapping[str, Looks],
    runs: Mapping[tuple[Run, str], Looks],
    models: Sequence[ModelSettings],
    weights: NDArray[np.float64],
) -> Iterator[dict[str, Any]]:
    levels: dict[tuple[str, Run | None, str], Comparison] = {}
    for model in (model for model in models if model.name in bases):
        for run_, looks in [(None, bases[model.name])] + [
            (run_, one) for (run_, m), one in runs.items() if m == model.name
        ]:
            state = "base" if run_ is None else "tuned"
            for layer in looks.layers():
                found = _level(looks.sums(layer), weights)
                if layer == MEAN:
                    levels[state, run_, model.name] = found
                shown = {name: looks.mean(name, layer) for name in ("share", "even", "seen")}
                yield _named("level", state, model, run_) | {"layer": layer} | shown | _measured(found, null=1.0)
    for (state, run_, name), tuned in levels.items():
        if state == "tuned":
            model = next(one for one in models if one.name == name)
            change = _difference(levels["base", None, name], tuned)
            yield _named("change", "change", model, run_) | {"layer": MEAN} | _measured(change)
    yield from _across_sizes(levels, [model for model in models if model.name in bases])


def _across_sizes(
    levels: Mapping[tuple[str, Run | None, str], Comparison], models: Sequence[ModelSettings]
) -> Iterator[dict[str, Any]]:
    """The largest less the smallest model of each family."""
    for family in dict.fromkeys(model.family for model in models):
        of_family = [model for model in models if model.family == family]
        small, large = of_family[0], of_family[-1]
        if small.size_b == large.size_b:
            continue
        ends = (small.name, large.name)
        base = _difference(*(levels["base", None, name] for name in ends))
        yield _named("size", "base", large, None) | {"smallest": small.name, "layer": MEAN} | _measured(base)
        for run_ in dict.fromkeys(run_ for state, run_, _ in levels if state == "tuned"):
            if any(("tuned", run_, name) not in levels for name in ends):
                continue
            tuned = _difference(*(levels["tuned", run_, name] for name in ends))
            for state, found in (("tuned", tuned), ("change", _difference(base, tuned))):
                yield _named("size", state, large, run_) | {"smallest": small.name, "layer": MEAN} | _measured(found)


def _level(seeds: Sequence[NDArray[np.float64]], weights: NDArray[np.float64]) -> Comparison:
    """A concentration, as its difference from 0."""
    values = np.array([_ratio(one.sum(axis=0)) for one in seeds])
    resampled = np.mean([_ratio(weights @ one) for one in seeds], axis=0)
    return Comparison(0.0, float(values.mean()), values, resampled, np.zeros(0), weights.shape[1], 0.0)


def _difference(before: Comparison, after: Comparison) -> Comparison:
    """Paired by question, and by seed where both have several; one that has a single one is held against each."""
    seeds = after.seeds - before.seeds
    moved = after.resampled - before.resampled
    return Comparison(before.after, after.after, seeds, moved, np.zeros(0), after.clusters, 0.0)


def _ratio(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    ratio: NDArray[np.float64] = sums[..., 0] / sums[..., 1]
    return ratio


def _named(effect: str, state: str, model: ModelSettings, run_: Run | None) -> dict[str, Any]:
    named = {"effect": effect, "state": state, "model": model.name, "size_b": model.size_b}
    return named | ({} if run_ is None else {"recipe": run_[0], "allocation": run_[1]})


def _measured(found: Comparison, null: float = 0.0) -> dict[str, Any]:
    """The columns of a value; `null` is what its p value is of."""
    chance = found.resampled, found.seeds, found.clusters
    p_value = seed_p_value(found.resampled - null, found.seeds - null, found.clusters)
    low, high = seed_interval(*chance)
    of_questions, of_seeds = standard_errors(*chance)
    return {
        "value": float(found.seeds.mean()), "ci_low": low, "ci_high": high, "p_value": p_value,
        "n_seeds": len(found.seeds), "se_questions": of_questions, "se_seeds": of_seeds,
        "mdd": minimal_detectable(*chance),
    }  # fmt: skip


def read_concentration(path: Path) -> pd.DataFrame:
    """Read concentration.csv; see the module for its columns."""
    table = read_table(path, COLUMNS)
    if table.empty:
        raise InputError(f"file {path}: no row; expected at least one model")
    return table


if __name__ == "__main__":
    run(main)
