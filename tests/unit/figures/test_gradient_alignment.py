"""The figure of gradients from tables with known numbers."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from workflow_scripts.analysis.propositions import COLUMNS, WHOLE
from workflow_scripts.figures import gradient_alignment
from workflow_scripts.settings import ExperimentSettings, to_json

EXPERIMENT = ExperimentSettings(
    figure="gradient_alignment",
    recipe="full",
    models=("qwen2.5-vl-7b",),
    allocations=("uniform-64",),
    seeds=(1,),
)
BUDGETS = (8, 16, 32)
GROUPS = (WHOLE, "vision_tower", "layer 0", "layer 1", "language_model")


def around(name: str, value: float) -> dict[str, float]:
    return {name: value, f"{name}_low": value - 0.1, f"{name}_high": value + 0.1}


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in COLUMNS}
    for percent in (0, 50, 100):
        about = {"percent": percent}
        for budget in BUDGETS:
            for direction in ("gradient", "update"):
                for place, group in enumerate(GROUPS):
                    value = 0.4 - budget / 100 - place / 10 - percent / 1000
                    rows["alignment"].append(
                        about | {"direction": direction, "budget": budget, "group": group, "batches": 16}
                        | around("cosine", value) | around("inner", 10 * value)
                        | {"image_norm": 4.0, "video_norm": 5.0 if group == WHOLE else 0.1}
                    )  # fmt: skip
            found = {"direction": "gradient", "quantity": "gamma", "budget": budget, "value": (budget - 8) / 24}
            rows["decomposition"].append(about | found)
            for number, eta in enumerate((0.1, 1.0, 10.0)):
                step = {"budget": budget, "eta": eta, "eta0_held": 0.5, "first_order_held": -eta}
                step |= {"image_change": -eta + number * eta, "image_low": -1.5 * eta, "image_high": 2.0 * eta}
                rows["steps"].append(about | step)
        for quantity, value in (("a", 3.0), ("b", 2.0)):
            rows["decomposition"].append(
                about | {"direction": "gradient", "quantity": quantity, "budget": 0, "value": value}
            )
        for ratio in (0.5, 2.0):
            rows["second_moment"].append(about | {"ratio": ratio} | around("growth", ratio))
    for name, columns in COLUMNS.items():
        pd.DataFrame(rows[name], columns=list(columns)).to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


def test_marks_are_the_tables(tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stem = tables / "gradient_alignment"
    given = ["--tables", str(tables), "--settings", to_json(EXPERIMENT), "--dpi", "60", "--output-stem", str(stem)]
    monkeypatch.setattr("sys.argv", ["gradient_alignment", *given])
    gradient_alignment.main()
    assert all((tables / f"gradient_alignment.{kind}").stat().st_size > 2000 for kind in ("pdf", "svg", "png"))
    behind = pd.read_csv(tables / "gradient_alignment.csv").set_index(["panel", "percent", "series", "x"])["value"]
    assert behind["gradient", 50, "all", 16] == pytest.approx(0.19)
    assert behind["update", 100, "all", 8] == pytest.approx(0.22)
    # At the most frames, in the order of the model: inner products over the norms of the whole.
    assert behind["parts"].index.get_level_values("percent").nunique() == 3
    assert behind["parts", 50, "layer 1", 2] == pytest.approx(10 * (0.4 - 0.32 - 0.3 - 0.05) / 20)
    assert behind["decomposition", 0, "16", (16 - 8) / 24] == pytest.approx(2.4)
    assert behind["decomposition", 0, "fit", 1.0] == 1.0
    # Measured over foretold, against the rate over the sufficient one.
    assert [behind["steps", 0, "8", x] for x in (0.2, 2.0, 20.0)] == pytest.approx([1.0, 0.0, -1.0])
    assert behind["second_moment", 0, "all", 2.0] == 2.0


def test_intervals_keep_their_order_where_the_sign_is_turned(tables: Path) -> None:
    behind = gradient_alignment.drawn(gradient_alignment.read_propositions(tables))
    shown = behind[behind["panel"] == "steps"]
    assert (shown["low"] <= shown["high"]).all()
    assert shown["low"].iloc[0] == pytest.approx(-2.0)
