"""Rule `propositions`: what the gradients measured at several checkpoints say about the paper's three propositions.

Comes in: the folders of rules `alignment` and `steps`, one a checkpoint, and an allocation that holds each sample's
minimal sufficient budget. Goes out, into the folder `--output`, at 95 %:

- `alignment.csv`: a row a checkpoint (percent), direction (gradient, or AdamW's update), budget and group (all, or a
  part of the model): inner = A(T) and cosine, each with low and high, image_norm, video_norm; sketch_error, the
  standard error that the projection adds to inner, measured, and sketch_bound, what it may be at most.
- `decomposition.csv`: a row a checkpoint, direction and quantity: gamma and along at each budget, a, b, a/b and misfit
  (see workflow_scripts/theory/threshold.py), inner_change and cosine_change (of alignment and cosine, from the smallest
  budget to each), with low and high; `threshold`: the share of draws whose T* is this budget, 0 for none; `found`: the
  T* of the data.
- `steps.csv`: a row a checkpoint, budget and step: length, eta; what the images of P foretell, eta0, condition (is
  <g_I, g> < 0), within (eta < eta0), first_order, second_order; what those of Q do, eta0_held, within_held and
  first_order_held; the changes measured on Q and on held-out videos, image_change and video_change, with low and high;
  right and right_held (has image_change the sign of the first order, of P and of Q), decided (does its interval leave 0
  out). Of Q the proposition is tested as it stands, for the loss on these images; of P whether it carries over.
- `conditions.csv`: a row a checkpoint and budget: inner, inner_held, squared_norm, curvature (M_I), curvature_along
  (g' H g / |g|^2), eta0, condition; of the steps within eta0 how many there are, are right, decided, and both; the same
  of Q, steps_within_held and right_within_held; and turn, the first eta of the ladder at which the sign is not that of
  the first order of Q.
- `second_moment.csv`: a row a checkpoint and ratio of budget to sufficient budget: samples, growth (geometric mean of
  |g_T|^2 over |g_sufficient|^2) with low and high, rises (share of samples where it is above 1), inner (mean of
  <g_I, g_T> minus that at the sufficient budget) and bound (the same of the smoothness bound, over eta), with low and
  high.
- `smallest.csv`: a row a checkpoint and step length: samples with a choice of budgets from the sufficient one on, the
  share for which the bound is smallest at the sufficient one, and the share that chance would give.

Intervals draw batches anew, those of images and of videos apart, videos at all budgets together; in the last two tables
samples. The step's rate in the bound is that of a step so long along a gradient of the samples' root mean square norm;
in second_moment.csv that of the ladder's middle.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workflow_scripts.analysis.scores import read_table
from workflow_scripts.budgets.allocation import read_allocation
from workflow_scripts.settings import InputError
from workflow_scripts.settings.cli import run
from workflow_scripts.settings.files import atomic_path, read_parquet
from workflow_scripts.theory.moments import bootstrap_counts, cosine, cross, percentiles, within
from workflow_scripts.theory.projection import Group, sketch_bound
from workflow_scripts.theory.threshold import NONE, decompose

Array = NDArray[np.float64]
WHOLE = "all"
DIRECTIONS = {"gradient": "video", "update": "update"}
COLUMNS = {
    "alignment": (
        "percent", "direction", "budget", "group", "inner", "inner_low", "inner_high", "cosine", "cosine_low",
        "cosine_high", "image_norm", "video_norm", "sketch_error", "sketch_bound", "coordinates", "batches",
    ),
    "decomposition": ("percent", "direction", "quantity", "budget", "value", "low", "high"),
    "steps": (
        "percent", "budget", "length", "eta", "eta0", "condition", "within", "first_order", "second_order", "eta0_held",
        "within_held", "first_order_held", "image_change", "image_low", "image_high", "video_change", "video_low",
        "video_high", "right", "right_held", "decided",
    ),
    "conditions": (
        "percent", "budget", "inner", "inner_held", "squared_norm", "curvature", "curvature_along", "eta0", "condition",
        "steps_within", "right_within", "decided_within", "decided_right_within", "steps_within_held",
        "right_within_held", "turn",
    ),
    "second_moment": (
        "percent", "ratio", "samples", "growth", "growth_low", "growth_high", "rises", "inner", "inner_low",
        "inner_high", "bound", "bound_low", "bound_high",
    ),
    "smallest": ("percent", "length", "samples", "share", "low", "high", "chance"),
}  # fmt: skip


@dataclass(frozen=True)
class Checkpoint:
    """What was measured at one checkpoint."""

    folder: Path

    @cached_property
    def percent(self) -> int:
        return int(self._json("alignment.json")["percent"])

    @cached_property
    def curvature(self) -> dict[str, Any]:
        return self._json("curvature.json")

    @cached_property
    def arrays(self) -> dict[str, Any]:
        path = self.folder / "gradients.npz"
        if not path.is_file():
            raise InputError(f"file {path} is missing; expected what rule alignment writes")
        with np.load(path) as held:
            return dict(held)

    def table(self, name: str) -> pd.DataFrame:
        """A table that rule `alignment` or `steps` wrote."""
        found: pd.DataFrame = read_parquet(self.folder / name)
        return found

    @property
    def groups(self) -> dict[str, Group]:
        held = zip(*(self.arrays[key].tolist() for key in ("names", "sizes", "widths", "exact")), strict=True)
        return {name: Group(name, size, 0, width, exact) for name, size, width, exact in held}

    def places(self, kind: str, budget: int) -> NDArray[np.int64]:
        """Where the vectors of a kind and budget stand, in the order of their batches."""
        found = np.flatnonzero((self.arrays["kind"] == kind) & (self.arrays["budget"] == budget))
        return found[np.argsort(self.arrays["batch"][found])]

    @property
    def budgets(self) -> list[int]:
        return sorted({int(budget) for budget in self.arrays["budget"]} - {0})

    def _json(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        if not path.is_file():
            raise InputError(f"file {path} is missing; expected what rules alignment and steps write")
        held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return held


def alignment_rows(checkpoint: Checkpoint, draws: int, seed: int) -> Iterator[dict[str, Any]]:
    """Rows of `alignment.csv`."""
    gram, groups = checkpoint.arrays["gram"], checkpoint.groups
    image = checkpoint.places("image", 0)
    of_images, of_videos = _counts(checkpoint, draws, seed)
    blocks = {WHOLE: list(range(len(groups)))} | {name: [number] for number, name in enumerate(groups)}
    image_squared = within(gram[:, :, image[:, None], image].mean(axis=1), of_images)
    for direction, kind in DIRECTIONS.items():
        for budget in checkpoint.budgets:
            video = checkpoint.places(kind, budget)
            inner = cross(gram[:, :, image[:, None], video], of_images, of_videos)  # [groups, repeats, draws]
            squared = within(gram[:, :, video[:, None], video].mean(axis=1), of_videos)
            for name, members in blocks.items():
                estimate = inner[members].mean(axis=1).sum(axis=0)
                norms = image_squared[members].sum(axis=0), squared[members].sum(axis=0)
                repeats = inner[members, :, 0].sum(axis=0)
                held = {group: groups[group] for group in (list(groups)[number] for number in members)}
                yield {
                    "percent": checkpoint.percent,
                    "direction": direction,
                    "budget": budget,
                    "group": name,
                    **_limits("inner", estimate, len(video)),
                    **_limits("cosine", cosine(estimate, *norms), len(video)),
                    "image_norm": _root(norms[0][0]),
                    "video_norm": _root(norms[1][0]),
                    "sketch_error": float(np.std(repeats, ddof=1) / np.sqrt(len(repeats))),
                    "sketch_bound": sketch_bound(image_squared[members, 0], squared[members, 0], held),
                    "coordinates": sum(group.size for group in held.values()),
                    "batches": len(video),
                }


def decomposition_rows(checkpoint: Checkpoint, draws: int, seed: int) -> Iterator[dict[str, Any]]:
    """Rows of `decomposition.csv`: Proposition 2."""
    budgets = checkpoint.budgets
    if len(budgets) < 3:
        return
    gram = checkpoint.arrays["gram"].mean(axis=1).sum(axis=0)
    image = checkpoint.places("image", 0)
    of_images, of_videos = _counts(checkpoint, draws, seed)
    for direction, kind in DIRECTIONS.items():
        places = [checkpoint.places(kind, budget) for budget in budgets]
        alignment = np.stack([cross(gram[image[:, None], place], of_images, of_videos) for place in places])
        inner = np.stack([[within(gram[one[:, None], other], of_videos) for other in places] for one in places])
        inner = (inner + inner.transpose(1, 0, 2)) / 2
        found = decompose(budgets, inner, alignment)
        about = {"percent": checkpoint.percent, "direction": direction}
        count = len(places[0])
        for number, budget in enumerate(budgets):
            for quantity, values in (("gamma", found.gamma), ("along", found.along)):
                yield about | {"quantity": quantity, "budget": budget, **_plain(values[number], count)}
        cosines = cosine(alignment, within(gram[image[:, None], image], of_images), np.einsum("ttd->td", inner))
        for quantity, values in (("inner_change", alignment), ("cosine_change", cosines)):
            for number, budget in enumerate(budgets[1:], start=1):
                yield about | {"quantity": quantity, "budget": budget, **_plain(values[number] - values[0], count)}
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(found.b > 0, found.a / found.b, np.nan)
        for quantity, values in (("a", found.a), ("b", found.b), ("a/b", ratio), ("misfit", found.misfit)):
            yield about | {"quantity": quantity, "budget": 0, **_plain(values, count)}
        for budget in (NONE, *budgets):
            share = float((found.threshold[1:] == budget).mean())
            yield about | {"quantity": "threshold", "budget": budget, "value": share, "low": np.nan, "high": np.nan}
        value = int(found.threshold[0])
        yield about | {"quantity": "found", "budget": value, "value": value, "low": np.nan, "high": np.nan}


def step_rows(checkpoint: Checkpoint, draws: int, seed: int) -> Iterator[dict[str, Any]]:
    """Rows of `steps.csv`: Proposition 1."""
    about = checkpoint.table("budgets.parquet").set_index("budget")
    curvature = float(checkpoint.curvature["curvature"])
    for row in checkpoint.table("steps.parquet").to_dict("records"):
        known = about.loc[row["budget"]]
        eta0, eta0_held = (2 * abs(known[key]) / (curvature * known["squared_norm"]) for key in ("inner", "inner_held"))
        first, first_held = -row["eta"] * known["inner"], -row["eta"] * known["inner_held"]
        changes = {
            task: _limits(task, _per_token(row, task, draws, seed), len(row[f"{task}_changes"]))
            for task in ("image", "video")
        }
        image, video = changes["image"], changes["video"]
        measured = image.pop("image")
        yield {
            "percent": checkpoint.percent,
            **{key: row[key] for key in ("budget", "length", "eta")},
            "eta0": eta0,
            "condition": bool(known["inner"] < 0),
            "within": bool(row["eta"] < eta0),
            "first_order": first,
            "second_order": first + row["eta"] ** 2 / 2 * known["along"],
            "eta0_held": eta0_held,
            "within_held": bool(row["eta"] < eta0_held),
            "first_order_held": first_held,
            "image_change": measured,
            **image,
            "video_change": video.pop("video"),
            **video,
            "right": bool(np.sign(measured) == np.sign(first)),
            "right_held": bool(np.sign(measured) == np.sign(first_held)),
            "decided": bool(image["image_low"] > 0 or image["image_high"] < 0),
        }


def condition_rows(checkpoint: Checkpoint, steps: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows of `conditions.csv`, from those of `steps.csv` of this checkpoint."""
    for row in checkpoint.table("budgets.parquet").to_dict("records"):
        mine = steps[steps["budget"] == row["budget"]].sort_values("eta")
        inside = mine[mine["within"]]
        wrong = mine.loc[~mine["right_held"], "eta"]
        yield {
            "percent": checkpoint.percent,
            **{key: row[key] for key in ("budget", "inner", "inner_held", "squared_norm")},
            "curvature": checkpoint.curvature["curvature"],
            "curvature_along": row["along"] / row["squared_norm"],
            "eta0": mine["eta0"].iloc[0],
            "condition": bool(row["inner"] < 0),
            "steps_within": len(inside),
            "right_within": int(inside["right"].sum()),
            "decided_within": int(inside["decided"].sum()),
            "decided_right_within": int((inside["decided"] & inside["right"]).sum()),
            "steps_within_held": int(mine["within_held"].sum()),
            "right_within_held": int((mine["within_held"] & mine["right_held"]).sum()),
            "turn": wrong.iloc[0] if len(wrong) else np.nan,
        }


def second_moment_tables(
    checkpoint: Checkpoint, sufficient: pd.Series, draws: int, seed: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of `second_moment.csv` and of `smallest.csv`: Proposition 3."""
    table = checkpoint.table("samples.parquet")
    lacking = set(table["sample_id"]) - set(sufficient.index)
    if lacking:
        raise InputError(f"sample {min(lacking)} has no sufficient budget; expected one of every measured sample")
    norms = table.pivot(index="sample_id", columns="budget", values="squared_norm")
    inner = table.pivot(index="sample_id", columns="budget", values="inner")
    least = sufficient.loc[norms.index].to_numpy()
    budgets = np.array(norms.columns)
    at = np.searchsorted(budgets, least)
    order = np.arange(len(norms))
    squared, aligned = norms.to_numpy(), inner.to_numpy()
    curvature, whole = float(checkpoint.curvature["curvature"]), float(checkpoint.curvature["weights_norm"])
    typical = float(np.sqrt((squared[order, at]).mean()))
    lengths = sorted(set(checkpoint.table("steps.parquet")["length"]))
    eta = lengths[len(lengths) // 2] * whole / typical
    rows, smallest = [], []
    for ratio in sorted({float(budget / first) for budget in budgets for first in set(least)}):
        there = [(number, int(np.searchsorted(budgets, ratio * first))) for number, first in enumerate(least)]
        pairs = [(n, j) for n, j in there if j < len(budgets) and budgets[j] == ratio * least[n]]
        if ratio == 1 or len(pairs) < 2:
            continue
        chosen, column = np.array(pairs).T
        growth = np.log(squared[chosen, column] / squared[chosen, at[chosen]])
        moved = aligned[chosen, column] - aligned[chosen, at[chosen]]
        bound = -moved + eta * curvature / 2 * (squared[chosen, column] - squared[chosen, at[chosen]])
        grown = _limits("growth", _means(growth, draws, seed), len(pairs))
        rows.append(
            {
                "percent": checkpoint.percent,
                "ratio": ratio,
                "samples": len(pairs),
                **{key: float(np.exp(value)) for key, value in grown.items()},
                "rises": float((growth > 0).mean()),
                **_limits("inner", _means(moved, draws, seed), len(pairs)),
                **_limits("bound", _means(bound, draws, seed), len(pairs)),
            }
        )
    choice = at < len(budgets) - 1
    for length in lengths:
        bound = -aligned + length * whole / typical * curvature / 2 * squared
        bound = np.where(np.arange(len(budgets)) < at[:, None], np.inf, bound)
        hit = (bound.argmin(axis=1) == at)[choice].astype(float)
        if not choice.sum() > 1:
            continue
        share = _plain(_means(hit, draws, seed), int(choice.sum()))
        smallest.append(
            {
                "percent": checkpoint.percent,
                "length": length,
                "samples": int(choice.sum()),
                "share": share["value"],
                "low": share["low"],
                "high": share["high"],
                "chance": float((1 / (len(budgets) - at[choice])).mean()),
            }
        )
    return rows, smallest


def _counts(checkpoint: Checkpoint, draws: int, seed: int) -> tuple[Array, Array]:
    """How often each image batch and each video batch counts, in the data and in every draw."""
    generator = np.random.default_rng([seed, 2])
    images = len(checkpoint.places("image", 0))
    videos = len(checkpoint.places("video", checkpoint.budgets[0]))
    return bootstrap_counts(images, draws, generator), bootstrap_counts(videos, draws, generator)


def _per_token(row: dict[str, Any], task: str, draws: int, seed: int) -> Array:
    """Change of a task's mean loss in the data and in every draw of its batches."""
    changes, tokens = np.asarray(row[f"{task}_changes"]), np.asarray(row[f"{task}_tokens"], dtype=float)
    counts = bootstrap_counts(len(changes), draws, np.random.default_rng([seed, 3]))
    found: Array = (counts @ changes) / (counts @ tokens)
    return found


def _means(values: Array, draws: int, seed: int) -> Array:
    """Mean in the data and in every draw of the samples."""
    counts = bootstrap_counts(len(values), draws, np.random.default_rng([seed, 4]))
    found: Array = counts @ values / len(values)
    return found


def _limits(name: str, values: Array, batches: int) -> dict[str, float]:
    """The value in the data, which is the first one, and the interval of the draws."""
    low, high = percentiles(values[1:], batches)
    return {name: float(values[0]), f"{name}_low": float(low), f"{name}_high": float(high)}


def _plain(values: Array, batches: int) -> dict[str, float]:
    return {key.removeprefix("value_"): value for key, value in _limits("value", values, batches).items()}


def _root(squared: float) -> float:
    return float(np.sqrt(squared)) if squared > 0 else float("nan")


def tables(checkpoints: Sequence[Checkpoint], sufficient: pd.Series, draws: int, seed: int) -> dict[str, pd.DataFrame]:
    """All tables, by name."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in COLUMNS}
    for checkpoint in sorted(checkpoints, key=lambda one: one.percent):
        rows["alignment"] += alignment_rows(checkpoint, draws, seed)
        rows["decomposition"] += decomposition_rows(checkpoint, draws, seed)
        steps = list(step_rows(checkpoint, draws, seed))
        rows["steps"] += steps
        rows["conditions"] += condition_rows(checkpoint, pd.DataFrame(steps))
        moments, smallest = second_moment_tables(checkpoint, sufficient, draws, seed)
        rows["second_moment"] += moments
        rows["smallest"] += smallest
    return {name: pd.DataFrame(found, columns=list(COLUMNS[name])) for name, found in rows.items()}


def read_propositions(folder: Path) -> dict[str, pd.DataFrame]:
    """The tables in a folder, by name. Raises InputError where one is missing or lacks a column."""
    return {name: read_table(folder / f"{name}.csv", columns) for name, columns in COLUMNS.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, nargs="+", required=True, metavar="DIR", help="one a checkpoint")
    parser.add_argument("--sufficient", type=Path, required=True, help="budgets/hybrid-oracle.parquet")
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True, help="folder of the tables")
    options = parser.parse_args()
    allocation = read_allocation(options.sufficient).set_index("sample_id")["budget"]
    checkpoints = [Checkpoint(folder) for folder in options.measured]
    for name, table in tables(checkpoints, allocation, options.resamples, options.seed).items():
        with atomic_path(options.output / f"{name}.csv") as partial:
            table.to_csv(partial, index=False, lineterminator="\n")


if __name__ == "__main__":
    run(main)
