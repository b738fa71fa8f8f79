"""The sweep under each way of showing videos, from made-up tables."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from workflow_scripts.figures import confounders
from workflow_scripts.figures.selection import Selection, select
from workflow_scripts.settings import ExperimentSettings, InputError

Tables = Callable[..., list[str]]
VIEWS = {"full": "", "z-integer": "integer_rate", "a-constant": "constant", "b-pixels": "total-802816"}
SHIFT = {"full": 0.0, "z-integer": -4.0, "a-constant": -2.0, "b-pixels": 3.0}
UNIFORM = ("uniform-8", "uniform-16", "uniform-32", "uniform-64")


@pytest.fixture
def sweep(tables: Tables) -> Callable[..., list[str]]:
    """Flags of tables where each recipe changes its base `SHIFT` more than the first does, whose base on video differs
    from the first's by as much."""

    def write(seeds: tuple[int, ...] = (1,)) -> list[str]:
        flags = tables(allocations=UNIFORM, seeds=seeds)
        scores, deltas = (pd.read_csv(flags[at], dtype={"view": object}) for at in (1, 3))
        more_scores, more_deltas = [scores], [deltas]
        for recipe, view in VIEWS.items():
            if not view:
                continue
            video = scores["suite"] == "video"
            tuned = scores[scores["seed"].notna()].assign(recipe=recipe)
            bases = scores[scores["seed"].isna() & video].assign(view=view)
            tuned.loc[tuned["suite"] == "video", "view"] = view
            points = SHIFT[recipe] / 100
            bases["value"] += points * bases["maximum"]
            tuned["value"] += points * tuned["maximum"] * np.where(tuned["suite"] == "video", 2, 1)
            changes = deltas.assign(recipe=recipe)
            changes.loc[changes["suite"] == "video", "view"] = view
            for column in ("delta", "ci_low", "ci_high"):
                changes[column] += points * changes["maximum"]
            changes["base"] += points * changes["maximum"] * (changes["suite"] == "video")
            more_scores += [tuned, bases]
            more_deltas.append(changes)
        pd.concat(more_scores).astype({"seed": "Int64"}).to_csv(flags[1], index=False)
        pd.concat(more_deltas).to_csv(flags[3], index=False)
        return flags

    return write


def settings(seeds: tuple[int, ...] = (1,), **changes: object) -> ExperimentSettings:
    given = {
        "figure": "confounders",
        "recipe": "full",
        "variants": list(VIEWS)[1:],
        "models": ["qwen2.5-vl-7b"],
        "allocations": UNIFORM,
        "seeds": seeds,
        "eval_frames": [64],
    }
    return ExperimentSettings.model_validate({**given, **changes})


def selection(flags: list[str], experiment: ExperimentSettings) -> Selection:
    paths = {"scores": Path(flags[1]), "deltas": Path(flags[3]), "settings": experiment}
    return select(type("Arguments", (), paths))  # type: ignore[arg-type]


def lines(axes: Axes) -> dict[str, list[float]]:
    """Heights of the marks of each line, by its name in the legend."""
    names = {(colour, marker): name for colour, marker, _, name in confounders.LOOK.values()}
    found = {}
    for line in axes.lines:
        key = str(line.get_color()), str(line.get_marker())
        if key in names and len(line.get_xdata()) == 4:
            found[names[key]] = list(line.get_ydata())
    return found


def test_each_line_is_a_recipe_against_its_own_base(sweep: Callable[..., list[str]]) -> None:
    chosen = selection(sweep(), settings())
    table = confounders.drawn(chosen)
    assert len(table) == 2 * 4 * 4
    assert table.groupby("recipe")["view"].unique().map(list).to_dict() == {r: [v] for r, v in VIEWS.items()}
    for axes, suite in zip(confounders.draw(chosen).axes, ("image", "video"), strict=True):
        heights = lines(axes)
        assert list(heights) == ["real time", "integer rate", "constant rate", "fixed total of pixels"]
        for (recipe, view), name in zip(VIEWS.items(), heights, strict=True):
            rows = table[(table["suite"] == suite) & (table["recipe"] == recipe)]
            assert rows["frames"].tolist() == [8, 16, 32, 64]
            assert heights[name] == pytest.approx(rows["delta"].tolist()), view
            first = table[(table["suite"] == suite) & (table["recipe"] == "full")]["delta"].to_numpy()
            assert rows["delta"].to_numpy() - first == pytest.approx([SHIFT[recipe]] * 4)
    # the blind score of the base that was shown videos alike; in the made-up tables 31 by default
    video = table[table["suite"] == "video"].drop_duplicates("recipe").set_index("recipe")["blind"]
    assert video.to_dict() == pytest.approx({recipe: 31 + shift for recipe, shift in SHIFT.items()})
    assert table[table["suite"] == "image"]["blind"].eq(31).all()


def test_the_command_writes_all_files_with_equal_bytes(
    sweep: Callable[..., list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [*sweep((1, 2, 3)), "--settings", settings((1, 2, 3)).model_dump_json(), "--dpi", "40"]
    found = []
    for turn in ("one", "two"):
        monkeypatch.setattr(sys, "argv", ["confounders", *flags, "--output-stem", str(tmp_path / turn / "confounders")])
        confounders.main()
        files = sorted((tmp_path / turn).iterdir())
        assert [file.name for file in files] == [f"confounders.{kind}" for kind in ("csv", "pdf", "png", "svg")]
        found.append([file.read_bytes() for file in files])
    assert found[0] == found[1]
    table = pd.read_csv(tmp_path / "one" / "confounders.csv", keep_default_na=False)
    assert table[["seed_1", "seed_2", "seed_3"]].mean(axis=1).to_numpy() == pytest.approx(table["delta"].to_numpy())


def test_a_missing_variant_and_a_double_difference_are_named(sweep: Callable[..., list[str]]) -> None:
    flags = sweep()
    deltas = pd.read_csv(flags[3])
    deltas[deltas["recipe"] != "b-pixels"].to_csv(flags[3], index=False)
    with pytest.raises(InputError, match=r"no row of recipe b-pixels, model qwen2\.5-vl-7b, allocation uniform-8"):
        selection(flags, settings())
    deltas.loc[deltas["view"] == "constant", "view"] = "constant-total-100"
    deltas.to_csv(flags[3], index=False)
    with pytest.raises(InputError, match="constant-total-100"):
        confounders.draw(selection(flags, settings()))


def test_it_is_of_both_suites(sweep: Callable[..., list[str]]) -> None:
    with pytest.raises(InputError, match="expects image and video, and one model"):
        confounders.draw(selection(sweep(), settings(suites=["video"])))


def test_the_caption_explains_lines_and_intervals() -> None:
    caption = (Path(confounders.__file__).parent / "captions" / "confounders.rst").read_text().lower()
    assert "interval" in caption
    assert all(name in caption for _, _, _, name in confounders.LOOK.values())
