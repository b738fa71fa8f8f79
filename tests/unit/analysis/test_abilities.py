"""Changes by ability and by area, against counts by hand."""

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.analysis.abilities import COLUMNS, abilities, read_abilities
from workflow_scripts.analysis.areas import OTHER, PLACES, area
from workflow_scripts.analysis.evaluations import read_evaluations
from workflow_scripts.settings.paper import BENCHMARKS, MVBENCH, TEMPCOMPASS, VIDEO_MMMU

Make = Callable[..., pd.DataFrame]
Write = Callable[..., Path]


def test_every_ability_that_the_benchmarks_name_has_an_area() -> None:
    """Names from lmms-eval's own lists; MME's two groups are the areas."""
    for group, names in importlib.import_module("lmms_eval.tasks.mme.utils").eval_type_dict.items():
        assert {area("mme", name) for name in names} == {group.lower()}
    assert set(PLACES) == set(BENCHMARKS)
    named = {
        "videomme": importlib.import_module("lmms_eval.tasks.videomme.utils").TASK_CATEGORIES,
        "mvbench": MVBENCH,
        "video_mmmu": VIDEO_MMMU,
        "mmstar": [row["category"] for row in BENCHMARKS["mmstar"]["metrics"] if "category" in row],
    }
    for benchmark, names in named.items():
        placed = [name for group in PLACES[benchmark].values() for name in group]
        assert sorted(placed) == sorted(names)
    assert area("tempcompass", TEMPCOMPASS[0]) == area("mine", "action") == OTHER


def folders(make: Make, write: Write) -> list[Path]:
    """60 questions, 20 of each ability. Base: 10, 16, 20 right; two seeds with 6 and 8, 16 and 18, 10 and 10; blind 5
    of each."""
    kinds = ["action"] * 20 + ["speed"] * 20 + ["smell"] * 20

    def one(kind: str, rights: tuple[int, int, int], seed: int = 1) -> Path:
        score = np.concatenate([(np.arange(20) < right).astype(float) for right in rights])
        rows = make(score, name="tempcompass").assign(category=kinds, ability=kinds)
        return write(kind, rows, [("tempcompass", "tempcompass", "avg_accuracy", 100 * score.mean(), 100.0)], seed=seed)

    tuned = [one("tuned", rights, seed) for seed, rights in ((1, (6, 16, 10)), (2, (8, 18, 10)))]
    return [one("base", (10, 16, 20)), one("blind", (5, 5, 5)), *tuned]


def test_abilities_are_scored_alone_and_areas_are_their_means(
    mean_benchmark: Make, write_evaluation: Write, tmp_path: Path
) -> None:
    table = abilities(read_evaluations(folders(mean_benchmark, write_evaluation)), 400, 0)
    assert tuple(table.columns) == (*COLUMNS, "seed_1", "seed_2")
    rows = table.set_index("ability")
    assert rows[["base", "blind", "tuned"]].loc["action"].tolist() == [50, 25, 35]
    assert rows.loc["action", ["seed_1", "seed_2"]].tolist() == [-20, -10]
    assert rows.loc["speed", "delta"] == pytest.approx(5)
    assert rows.loc["smell", ["area", "n_questions", "n_clusters", "n_seeds"]].tolist() == [OTHER, 20, 20, 2]
    whole = rows.loc["perception"]
    assert whole[["benchmark", "n_questions", "n_clusters"]].tolist() == ["video", 40, 40]
    assert whole[["base", "blind", "tuned"]].tolist() == pytest.approx([65, 25, 60])
    assert OTHER not in rows.index
    table.to_csv(tmp_path / "abilities.csv", index=False)
    read = read_abilities(tmp_path / "abilities.csv").set_index("ability")
    p_values = read.loc[["action", "speed", "smell"], "p_value"]
    assert read.loc[p_values.idxmin(), "p_holm"] == pytest.approx(min(1, 3 * p_values.min()))
    assert read.loc["perception", "p_holm"] == read.loc["perception", "p_value"]


def test_answers_that_all_stay_leave_a_change_possible(mean_benchmark: Make, write_evaluation: Write) -> None:
    """`smell` falls from 20 to 10 in both seeds alike; an ability without any change still has an interval."""
    paths = folders(mean_benchmark, write_evaluation)
    same = abilities(read_evaluations([paths[0], *paths[2:3]]), 400, 0).set_index("ability")
    assert same.loc["speed", "delta"] == 0
    assert same.loc["speed", "ci_low"] < -5 < 5 < same.loc["speed", "ci_high"]
    assert same.loc["speed", "mdd"] == pytest.approx(30)
    assert same.loc["speed", "p_value"] == 1
    assert same["blind"].isna().all()
