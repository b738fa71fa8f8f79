"""The trade-off with mitigations: which points and paths are drawn, and what is refused."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.analysis.contrasts import COLUMNS
from workflow_scripts.figures import trade_off
from workflow_scripts.figures.selection import Selection, select
from workflow_scripts.settings import ExperimentSettings, InputError, RecipeSettings

Tables = Callable[..., list[str]]
MODEL = "qwen2.5-vl-7b"
ALLOCATIONS = ("uniform-16", "uniform-64", "hybrid-oracle")
VARIANTS: dict[str, tuple[dict[str, Any], float, float]] = {
    # settings, and image and video changes in points of 100
    "replay-50": ({"replay": 0.5}, 1.5, 5.0),
    "replay-20": ({"replay": 0.2}, -1.0, 6.0),
    "projection": ({"gradient_projection": 8}, -2.0, 5.5),
    "between-25": ({"interpolation": 0.25}, 0.3, 2.0),
    "between-75": ({"interpolation": 0.75}, -1.8, 5.8),
    "frozen": ({"learning_rates": {"vision_tower": 0, "projector": 1e-5, "language_model": 1e-5}}, -3.0, 6.2),
}
PLAIN = {"uniform-16": (-4.0, 1.0), "uniform-64": (-3.8, 6.5), "hybrid-oracle": (-3.0, 6.6)}


def recipes() -> list[RecipeSettings]:
    made = [RecipeSettings(name="full", deepspeed=None)]
    for name, (changes, _, _) in VARIANTS.items():
        made.append(RecipeSettings.model_validate({"name": name, "like": "full", "deepspeed": None, **changes}))
    return made


def settings(**changes: Any) -> ExperimentSettings:
    known: dict[str, Any] = {
        "figure": "trade_off",
        "recipe": "full",
        "variants": tuple(VARIANTS),
        "variant_allocations": ("uniform-64",),
        "models": (MODEL,),
        "allocations": ALLOCATIONS,
        "seeds": (1,),
        "eval_frames": (64,),
    }
    return ExperimentSettings.model_validate(known | changes)


@pytest.fixture
def flags(tables: Tables) -> list[str]:
    """Tables of the plain recipe at all allocations, and of each variant at one, with the changes above."""
    named = tables((MODEL,), ALLOCATIONS)
    for path in (Path(named[1]), Path(named[3])):
        table = pd.read_csv(path)
        like = table[(table["allocation"] == "uniform-64") & (table["recipe"] == "full")]
        table = pd.concat([table, *(like.assign(recipe=name) for name in VARIANTS)])
        if "delta" in table:
            for row, (recipe, allocation, suite) in enumerate(
                zip(table["recipe"], table["allocation"], table["benchmark"], strict=True)
            ):
                if suite in ("image", "video"):
                    pair = VARIANTS[recipe][1:] if recipe in VARIANTS else PLAIN[allocation]
                    change = pair[suite == "video"]
                    place = [table.columns.get_loc(name) for name in ("delta", "ci_low", "ci_high")]
                    table.iloc[row, place] = [change, change - 2, change + 2]
        table.to_csv(path, index=False)
    return named


def chosen(flags: list[str], **changes: Any) -> Selection:
    arguments = type("A", (), {"scores": Path(flags[1]), "deltas": Path(flags[3]), "settings": settings(**changes)})
    return select(arguments)  # type: ignore[arg-type]


def test_every_point_is_in_the_table_once_with_its_mitigation(flags: list[str]) -> None:
    table = trade_off.drawn(chosen(flags), trade_off.mitigations(recipes()))
    assert len(table) == len(PLAIN) + len(VARIANTS)
    for row in table.to_dict("records"):
        pair = VARIANTS[row["recipe"]][1:] if row["recipe"] in VARIANTS else PLAIN[row["allocation"]]
        assert (row["image_delta"], row["video_delta"]) == pytest.approx(pair)
    named = table.set_index("recipe")["mitigation"]
    assert named["replay-20"] == "replay 20%"
    assert named["between-25"] == "interpolated 25%"
    assert named["frozen"] == "part frozen vision tower"
    assert set(table.loc[table["recipe"] == "full", "mitigation"]) == {""}
    # by hand: nothing beats these in both
    assert set(table.loc[table["pareto"], "recipe"] + " " + table.loc[table["pareto"], "allocation"]) == {
        "replay-50 uniform-64",
        "replay-20 uniform-64",
        "full hybrid-oracle",
    }


def test_each_mitigation_stands_beside_the_plain_run(
    flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apart = {name: (change[1] - 1.0, change[2] + 2.0) for name, change in VARIANTS.items()}
    rows = [
        dict.fromkeys(COLUMNS, 1.0)
        | {"recipe": name, "allocation": "uniform-64", "against_recipe": "full", "against": "uniform-64"}
        | {"model": MODEL, "suite": suite, "benchmark": benchmark, "metric": "m", "delta": delta, "p_value": 0.01}
        | {"ci_low": delta - 0.5, "ci_high": delta + 0.5}
        for name, pair in apart.items()
        for suite, benchmark, delta in (("image", "mme", 9.0), ("image", "image", pair[0]), ("video", "video", pair[1]))
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "contrasts.csv", index=False)
    said = [*flags, "--recipes", json.dumps([one.model_dump(mode="json") for one in recipes()]), "--dpi", "40"]
    said += ["--settings", settings().model_dump_json(), "--contrasts", str(tmp_path / "contrasts.csv")]
    monkeypatch.setattr(sys, "argv", ["trade_off", *said, "--output-stem", str(tmp_path / "figure")])
    trade_off.main()
    table = pd.read_csv(tmp_path / "figure.csv").set_index("recipe")
    for name, (image, video) in apart.items():
        row = table.loc[name]
        assert (row["image_beside_run"], row["video_beside_run"]) == pytest.approx((image, video))
        assert row["video_beside_run_ci_low"] == pytest.approx(video - 0.5)
        assert row["image_beside_run_p_holm"] == pytest.approx(0.01 * len(VARIANTS))
    assert table.loc["full", "image_beside_run"].isna().all()


def test_paths_run_from_the_base_through_the_shares_to_the_run(flags: list[str]) -> None:
    figure = trade_off.draw(chosen(flags), trade_off.mitigations(recipes()))
    axes = figure.axes[0]
    paths = [[tuple(place) for place in np.asarray(line.get_xydata()).tolist()] for line in axes.lines]
    end = PLAIN["uniform-64"]
    assert [(0.0, 0.0), VARIANTS["between-25"][1:], VARIANTS["between-75"][1:], end] in paths
    assert [end, VARIANTS["replay-20"][1:], VARIANTS["replay-50"][1:]] in paths
    written = {text.get_text() for text in axes.texts}
    assert {"16", "64", "20%", "50%", "25%", "75%", "vision tower", "base", "oracle"} <= written
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [
        "uniform (frames)", "hybrid", "interpolated", "replay", "projection", "part frozen", "Pareto front",
    ]  # fmt: skip


def test_the_command_takes_the_recipes(flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = json.dumps([recipe.model_dump() for recipe in recipes()])
    more = ["--settings", settings().model_dump_json(), "--recipes", told, "--dpi", "40"]
    monkeypatch.setattr(sys, "argv", ["trade_off", *flags, *more, "--output-stem", str(tmp_path / "out" / "t")])
    trade_off.main()
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".csv", ".pdf", ".png", ".svg"]
    assert len(pd.read_csv(tmp_path / "out" / "t.csv")) == len(PLAIN) + len(VARIANTS)


def test_what_is_not_a_mitigation_or_not_told_is_refused(flags: list[str]) -> None:
    with pytest.raises(InputError, match="other is no mitigation"):
        trade_off.mitigations([recipes()[0], RecipeSettings(name="other", deepspeed=None)])
    with pytest.raises(InputError, match="figure trade_off expects one"):
        trade_off.drawn(chosen(flags))
    with pytest.raises(InputError, match=r"recipe replay-50, .*allocation uniform-16"):
        chosen(flags, variant_allocations=("uniform-16",))
