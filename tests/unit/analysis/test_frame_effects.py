"""The effect of frames in training and in evaluation, from planted scores."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.analysis.evaluations import read_evaluations
from workflow_scripts.analysis.frame_effects import COLUMNS, frame_effects, read_frame_effects
from workflow_scripts.settings import InputError

Make = Callable[..., pd.DataFrame]
Write = Callable[..., Path]
RIGHT = {
    ("base", 1, 8): 20, ("base", 1, 16): 22, ("base", 1, 64): 26,
    ("uniform-8", 1, 8): 30, ("uniform-8", 1, 16): 30, ("uniform-8", 1, 64): 31,
    ("uniform-8", 2, 8): 28, ("uniform-8", 2, 16): 30, ("uniform-8", 2, 64): 33,
    ("uniform-64", 1, 8): 36, ("uniform-64", 1, 16): 30, ("uniform-64", 1, 64): 40,
    ("uniform-64", 2, 8): 38, ("uniform-64", 2, 16): 30, ("uniform-64", 2, 64): 40,
}  # fmt: skip


def folders(make: Make, write: Write, right: dict[tuple[str, int, int], int]) -> list[Path]:
    """Of 100 questions so many right, by allocation, seed and evaluation frames."""
    found = []
    for (allocation, seed, frames), count in right.items():
        rows = make((np.arange(100) < count).astype(float))
        kind = "base" if allocation == "base" else "tuned"
        entry = ("videomme", "videomme", "videomme_perception_score", float(count), 100.0)
        found.append(write(kind, rows, [entry], frames=frames, allocation=allocation, seed=seed))
    return found


def test_each_effect_holds_the_other_budget(mean_benchmark: Make, write_evaluation: Write, tmp_path: Path) -> None:
    table = frame_effects(read_evaluations(folders(mean_benchmark, write_evaluation, RIGHT)), 200, 0)
    assert tuple(table.columns) == COLUMNS
    table.to_csv(tmp_path / "effects.csv", index=False)
    read = read_frame_effects(tmp_path / "effects.csv")
    whole = read[read["benchmark"] == "video"]
    training = whole[whole["effect"] == "training"].set_index("eval_frames")
    assert training["delta"].to_dict() == pytest.approx({8: 37 - 29, 16: 0, 64: 40 - 32})
    assert set(training["fewest"]) == {8}
    assert set(training["most"]) == {64}
    evaluation = whole[whole["effect"] == "evaluation"].set_index("allocation")
    assert evaluation["delta"].to_dict() == pytest.approx({"base": 6, "uniform-8": 3, "uniform-64": 3})
    assert evaluation["n_seeds"].to_dict() == {"base": 1, "uniform-8": 2, "uniform-64": 2}
    # seed by seed: 6 and 10, whatever the seeds' own scores; s is 2
    assert training.loc[8, "se_seeds"] == pytest.approx(2)
    assert (whole["p_holm"] >= whole["p_value"]).all()
    assert read["main"].all()


def test_seeds_that_have_no_partner_are_named(mean_benchmark: Make, write_evaluation: Write) -> None:
    few = {key: count for key, count in RIGHT.items() if key != ("uniform-64", 2, 8)}
    with pytest.raises(InputError, match=r"seeds beside it are \[1\].*are\s+\[1, 2\]"):
        frame_effects(read_evaluations(folders(mean_benchmark, write_evaluation, few)), 20, 0)
