"""Attention on the object asked about: the draw of questions, shares of planted attention, intervals by brute force."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from workflow_scripts.analysis.attention import MEAN, measure, read_pictures, read_shares, shares
from workflow_scripts.analysis.boxes import Asked, draw_questions
from workflow_scripts.analysis.concentration import concentration, read_concentration
from workflow_scripts.settings import AttentionSettings, InputError, ModelSettings
from workflow_scripts.settings.attention import layers_of
from workflow_scripts.settings.files import write_parquet
from workflow_scripts.vlm.observe import Seen

GRID = np.array([[x, y, x + 2, y + 2] for y in (0, 2) for x in (0, 2, 4)], dtype=float)  # a picture of 6 x 4 pixels


def picture(level: int = 0) -> Image.Image:
    return Image.fromarray(np.full((4, 6, 3), level, np.uint8))


def looks(*weights: list[float]) -> Any:
    """A look that gives the same weights to every question, and a token without a place last."""
    boxes = np.vstack([GRID, [np.nan] * 4])
    return lambda *_: Seen(np.array(weights, dtype=float), boxes)


def test_attention_planted_on_the_object_has_share_one_and_beside_it_none() -> None:
    on = np.array([0, 0, 0, 0, 0.3, 0, 0.7])
    boxes = np.vstack([GRID, [np.nan] * 4])
    assert shares(on, boxes, (2, 2, 4, 4)) == (1.0, pytest.approx(1 / 6))
    assert shares(on, boxes, (0, 0, 6, 2)) == (0.0, pytest.approx(3 / 6))
    assert shares(on, boxes, (3, 2, 6, 4)) == (0.5, pytest.approx(1.5 / 6))
    assert shares(np.full(7, 0.1), boxes, (1, 1, 3, 3))[0] == pytest.approx(4 / 24)


def test_what_is_written_of_each_question_and_layer(tmp_path: Path) -> None:
    asked = [Asked(f"q{k}", picture(k), "What?", "that", (2.0, 2.0, 4.0, 4.0)) for k in range(3)]
    layers = [[0.6, 0, 0, 0, 0, 0, 0.1], [0, 0, 0, 0, 0.2, 0, 0.1], [0.1] * 6 + [0.1]]
    settings = AttentionSettings(layers=(0.0, 0.66), pictures=2)
    measure(asked, looks(*layers), settings, tmp_path)
    table = read_shares(tmp_path)
    assert table["question_id"].tolist() == ["q0"] * 4 + ["q1"] * 4 + ["q2"] * 4
    first = table[table["question_id"] == "q0"].set_index("layer")
    assert first["share"].to_dict() == pytest.approx({MEAN: 0.25, 0: 0.0, 1: 1.0, 2: 1 / 6})
    assert first["seen"].to_dict() == pytest.approx({MEAN: 0.5, 0: 0.7, 1: 0.3, 2: 0.7})
    assert first["even"].tolist() == pytest.approx([1 / 6] * 4)
    shown = read_pictures(tmp_path)
    assert [one["question_id"] for one in shown] == ["q0", "q1"]
    assert shown[1]["picture"].tolist() == np.asarray(picture(1)).tolist()
    expected = np.zeros((4, 6))
    expected[:2, :2], expected[2:, 2:4] = 6 * 0.75, 6 * 0.25
    np.testing.assert_allclose(shown[0]["attention"], expected, rtol=1e-6)


def test_layers_are_those_whose_middle_is_in_the_share_of_the_depth() -> None:
    assert list(layers_of(4, (0.0, 1.0))) == [0, 1, 2, 3]
    assert list(layers_of(4, (0.5, 1.0))) == [2, 3]
    assert list(layers_of(28, (0.25, 0.5))) == [7, 8, 9, 10, 11, 12, 13]
    assert list(layers_of(2, (0.45, 0.5))) == [0]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two files of RefCOCO's columns: ten pictures, each asked about twice, boxes as COCO has them."""

    def row(number: int) -> dict[str, Any]:
        buffer = io.BytesIO()
        picture(20 * (number % 10)).save(buffer, "PNG")
        return {
            "image": {"bytes": buffer.getvalue(), "path": f"{number}.png"},
            "answer": [f"thing {number}", "another word"],
            "bbox": [4.0, 3.0, 5.0, 2.0] if number % 2 else [-1.0, 0.0, 3.0, 9.0],
        }

    for file in range(2):
        table = pa.Table.from_pylist([row(10 * file + k) for k in range(10)])
        (tmp_path / "data").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "data" / f"testB-{file}.parquet")
    return tmp_path


def test_questions_are_drawn_one_a_picture_and_filled_in(dataset: Path) -> None:
    asked = draw_questions(AttentionSettings(root=str(dataset), questions=10))
    assert len({np.asarray(one.picture).tobytes() for one in asked}) == 10
    for one in asked:
        number = int(one.question_id.rpartition("#")[2]) + 10 * int(one.question_id[11])
        half = "right" if number % 2 else "left"
        assert one.question.startswith(f"Is thing {number} in the left or")
        assert one.answer == half
        assert one.box == ((4, 3, 6, 4) if number % 2 else (0, 0, 2, 4)), "cut at the picture's edge"
    assert {one.question_id[11] for one in asked} == {"0", "1"}
    fewer = draw_questions(AttentionSettings(root=str(dataset), questions=4))
    assert [one.question_id for one in fewer] == [one.question_id for one in asked[:4]]
    other = draw_questions(AttentionSettings(root=str(dataset), questions=4, seed=1))
    assert [one.question_id for one in fewer] != [one.question_id for one in other]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pattern": "none-*"}, ["none-*", "snakemake --cores 1 fetch_boxes"]),
        ({"questions": 11}, ["attention.questions is 11", "10 pictures"]),
        ({"question": "Is it {phrase}?"}, ["column phrase is missing", "bbox"]),
        ({"box_corners": True, "questions": 10}, ["column bbox is [", "attention.box_corners"]),
        ({"box": "answer"}, ["column answer is ", "four numbers"]),
    ],
)
def test_data_that_cannot_be_used_are_refused(dataset: Path, change: dict[str, Any], words: list[str]) -> None:
    settings = AttentionSettings(**{"root": str(dataset), "questions": 4} | change)
    with pytest.raises(InputError) as raised:
        draw_questions(settings)
    assert all(word in str(raised.value) for word in words), raised.value


MODELS = [
    ModelSettings(name=name, family="qwen2.5-vl", source="none", size_b=size)
    for name, size in (("s", 3.0), ("l", 72.0))
]


@pytest.fixture
def measured(tmp_path: Path) -> dict[str, np.ndarray]:
    """Shares of both models before and after, two seeds, by place; columns: share and even, of 40 questions."""
    draw = np.random.default_rng(0)
    even, common = draw.uniform(0.05, 0.2, 40), draw.uniform(1, 2, 40)
    places = ["base/s", "base/l", *(f"tuned/full/{name}/uniform-16/seed-{seed}" for name in "sl" for seed in (1, 2))]
    found = {}
    for number, place in enumerate(places):
        share = even * (common + draw.uniform(0, 0.3, 40)) + 0.02 * number
        found[place] = np.stack([share, even], axis=1)
        rows = [
            {"question_id": f"q{k}", "layer": layer, "share": share[k] / (layer + 2), "even": even[k], "seen": 0.3}
            for k in range(40)
            for layer in (MEAN, 0)
        ]
        write_parquet(pd.DataFrame(rows).astype({"layer": "int32"}), tmp_path / "looks" / place / "shares.parquet")
    return found


def ratio(table: np.ndarray, drawn: Any = slice(None)) -> float:
    return float(table[drawn, 0].sum() / table[drawn, 1].sum())


def test_levels_changes_and_sizes(measured: dict[str, np.ndarray], tmp_path: Path) -> None:
    folders = [tmp_path / "looks" / place for place in measured]
    table = concentration(folders, MODELS, 4000, 0).set_index(["effect", "state", "model", "layer"])
    base = {name: ratio(measured[f"base/{name}"]) for name in "sl"}
    tuned = {name: [ratio(measured[f"tuned/full/{name}/uniform-16/seed-{seed}"]) for seed in (1, 2)] for name in "sl"}
    for name in "sl":
        assert table.loc[("level", "base", name, MEAN), "value"] == pytest.approx(base[name])
        assert table.loc[("level", "base", name, 0), "value"] == pytest.approx(base[name] / 2)
        assert table.loc[("level", "tuned", name, MEAN), "value"] == pytest.approx(np.mean(tuned[name]))
        change = table.loc[("change", "change", name, MEAN)]
        assert change["value"] == pytest.approx(np.mean(tuned[name]) - base[name])
        assert change["n_seeds"] == 2
        assert change["recipe"] == "full"
    assert table.loc[("level", "base", "s", MEAN), "p_value"] < 1e-6, "1.5 times what evenly spread attention has"
    assert table.loc[("level", "base", "s", 0), "value"] < 1 < table.loc[("level", "base", "s", MEAN), "value"]
    size = table.loc["size"]
    assert size.loc[("base", "l", MEAN), "value"] == pytest.approx(base["l"] - base["s"])
    assert size.loc[("tuned", "l", MEAN), "value"] == pytest.approx(np.mean(tuned["l"]) - np.mean(tuned["s"]))
    gains = {name: np.mean(tuned[name]) - base[name] for name in "sl"}
    assert size.loc[("change", "l", MEAN), "value"] == pytest.approx(gains["l"] - gains["s"])
    assert set(size["smallest"]) == {"s"}
    assert (table["n_questions"] == 40).all()
    path = tmp_path / "concentration.csv"
    table.reset_index().to_csv(path, index=False)
    assert len(read_concentration(path)) == len(table)


def test_an_interval_of_one_seed_is_that_of_drawing_pictures_anew(measured: dict[str, np.ndarray], tmp_path) -> None:
    """The same draw by hand: pictures with replacement, both models on the same ones."""
    places = ["base/s", "tuned/full/s/uniform-16/seed-1"]
    table = concentration([tmp_path / "looks" / place for place in places], MODELS[:1], 4000, 0)
    found = table[table["effect"] == "change"].iloc[0]
    draw = np.random.default_rng(5)
    before, after = (measured[place] for place in places)
    differences = [ratio(after, drawn) - ratio(before, drawn) for drawn in draw.integers(0, 40, (4000, 40))]
    width = np.std(differences)
    assert found["ci_low"] == pytest.approx(np.percentile(differences, 2.5), abs=0.15 * width)
    assert found["ci_high"] == pytest.approx(np.percentile(differences, 97.5), abs=0.15 * width)
    apart = np.hypot(*(np.std([ratio(one, d) for d in draw.integers(0, 40, (4000, 40))]) for one in (before, after)))
    assert width < 0.9 * apart, "the same pictures, so their part that both models share cancels"
    assert "size" not in set(table["effect"]), "of one size"


def test_other_questions_and_a_missing_base_are_refused(measured: dict[str, np.ndarray], tmp_path: Path) -> None:
    folders = [tmp_path / "looks" / place for place in measured]
    with pytest.raises(InputError, match="model l is tuned, but its base is not there"):
        concentration([folder for folder in folders if folder != tmp_path / "looks" / "base/l"], MODELS, 10, 0)
    changed = read_shares(folders[1]).assign(question_id=lambda table: "x" + table["question_id"])
    write_parquet(changed, folders[1] / "shares.parquet")
    with pytest.raises(InputError, match=r"looks/base/l: other questions than in .*looks/base/s"):
        concentration(folders, MODELS, 10, 0)
    with pytest.raises(InputError, match=r"expected .*looks/base/<model>"):
        concentration([tmp_path / "elsewhere"], MODELS, 10, 0)


def test_the_texts_of_pictures_are_json(tmp_path: Path) -> None:
    measure(
        [Asked("q", picture(), 'Say "é"', " a", (0, 0, 2, 2), "It is")], looks([1.0] * 7), AttentionSettings(), tmp_path
    )
    with np.load(tmp_path / "pictures.npz") as held:
        assert json.loads(str(held["texts"]))[0] == {"question_id": "q", "question": 'Say "é"', "answer": "It is a"}
