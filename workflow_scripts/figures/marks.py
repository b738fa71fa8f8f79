"""The marks that figures of changes share: a mean with its interval, and each seed where they are few."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from workflow_scripts.figures.selection import Selection
from workflow_scripts.figures.style import GREY

SEEDS_SHOWN_BELOW = 5
SEED: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 1.9, "markeredgewidth": 0, "alpha": 0.75}


def change_mark(
    axes: Axes, row: Mapping[str, Any], at: float, seeds_at: float, colour: str, marker: str, seeds: Sequence[float]
) -> None:
    """Draw the change of one row at height `at`, its 95 percent interval and mean; at `seeds_at` two to four seeds."""
    axes.plot([row["ci_low"], row["ci_high"]], [at, at], color=colour, linewidth=1.2, solid_capstyle="butt", zorder=2)
    axes.plot(row["delta"], at, marker=marker, markersize=4.2, color=colour, markeredgewidth=0, zorder=3)
    if shown(len(seeds)):
        axes.plot(seeds, [seeds_at] * len(seeds), color=colour, zorder=2, **SEED)


def shown(n_seeds: int) -> bool:
    """Are seeds drawn one by one."""
    return 1 < n_seeds < SEEDS_SHOWN_BELOW


def seed_handle(selection: Selection) -> list[Line2D]:
    """The legend's entry for single seeds, where they are drawn."""
    if not shown(int(selection.changes["n_seeds"].max())):
        return []
    return [Line2D([], [], color=GREY, label="each seed", **SEED)]


def seed_values(row: Mapping[str, Any], seed_columns: Sequence[str]) -> list[float]:
    """The changes of the seeds that a row has."""
    values = [float(row[column]) for column in seed_columns]
    return [value for value in values if value == value]
