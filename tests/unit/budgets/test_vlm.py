"""Budgets from a vision-language model, with a scorer in its place whose likes are known."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from workflow_scripts.budgets import vlm
from workflow_scripts.budgets.allocation import read_allocation
from workflow_scripts.settings import PredictorSettings
from workflow_scripts.vlm.conversation import Example

BUDGETS = (8, 16, 32, 64)
WANTED = {"quick": 64, "slow": 8, "medium": 32}
BIAS = np.array([0.0, 4.0, -3.0, 1.5])


def scorer(examples: Sequence[Example], options: Sequence[str]) -> np.ndarray:
    """Reads the options from the prompt, likes the budget that the instruction's word names, and B above all."""
    rows = []
    for example in examples:
        [turn] = example.turns
        listed = dict(re.findall(r"^([A-Z])\. (\d+) frames$", turn.text, re.MULTILINE))
        [wanted] = [budget for word, budget in WANTED.items() if word in turn.text]
        scores = np.array([1.0 if int(listed[letter]) == wanted else 0.0 for letter in options]) + BIAS
        rows.append(scores - np.log(np.exp(scores).sum()))
    return np.array(rows)


@pytest.fixture
def predictor() -> PredictorSettings:
    return PredictorSettings(name="p", model={"family": "qwen2.5-vl", "source": "none", "size_b": 1})


@pytest.fixture
def world(write_store, write_manifest) -> tuple[Path, Path]:
    store = write_store({f"v{k}": [k] * (20 + k) for k in range(5)}, "video,reason,detail\nbad,crash,x\n")
    words = ["quick", "slow", "medium", "slow", "quick"]
    samples = [(f"s{k}", f"v{k}", ["<image>\nFirst?", f"Is it {word}?"]) for k, word in enumerate(words)]
    return write_manifest([*samples, ("s5", "bad", ["quick?"])]), store


def test_the_instruction_decides_whatever_letter_the_model_likes(world, predictor, tmp_path: Path) -> None:
    manifest, store = world
    output = tmp_path / "hybrid-p.parquet"
    vlm.predict(manifest, [store], predictor, BUDGETS, output, scorer)
    frame = read_allocation(output, sample_ids=[f"s{k}" for k in range(6)], admissible=BUDGETS)
    assert frame["budget"].tolist() == [64, 8, 32, 8, 64, 8]
    evidence = [json.loads(text) for text in frame["evidence"]]
    expected = np.exp([0, 0, 0, 1]) / np.exp([0, 0, 0, 1]).sum()
    found = [evidence[0]["probabilities"][str(budget)] for budget in BUDGETS]
    assert found == pytest.approx(expected.tolist(), abs=2e-6)
    assert evidence[5] == {"no_frames": "crash"}


def test_the_model_sees_the_frames_and_the_questions_but_no_answer(world, predictor, tmp_path: Path) -> None:
    manifest, store = world
    asked: list[Example] = []

    def listening(examples: Sequence[Example], options: Sequence[str]) -> np.ndarray:
        asked.extend(examples)
        return scorer(examples, options)

    vlm.predict(manifest, [store], predictor, BUDGETS, tmp_path / "o.parquet", listening)
    assert len(asked) == 5 * predictor.option_orders
    for number, example in enumerate(asked):
        text = example.turns[0].text
        assert "First?\nIs it" in text
        assert "secret" not in text
        assert "<image>" not in text
        assert example.media.frames.shape == (8, 16, 16, 3)
        k = number // predictor.option_orders
        assert example.media.timestamps_s.tolist() == [(i * (20 + k) // 8) / 10 for i in range(8)]


def test_a_killed_prediction_goes_on_and_ends_the_same(
    world, predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vlm, "PART", 2)
    manifest, store = world
    vlm.predict(manifest, [store], predictor, BUDGETS, tmp_path / "whole.parquet", scorer)
    calls = 0

    def dying(examples: Sequence[Example], options: Sequence[str]) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return scorer(examples, options)

    output = tmp_path / "killed.parquet"
    with pytest.raises(KeyboardInterrupt):
        vlm.predict(manifest, [store], predictor, BUDGETS, output, dying)
    vlm.predict(manifest, [store], predictor, BUDGETS, output, dying)
    assert calls == 2 + 2
    assert output.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_parts_of_other_settings_are_not_taken(
    world, predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vlm, "PART", 2)
    manifest, store = world
    scored = 0

    def counting(examples: Sequence[Example], options: Sequence[str]) -> np.ndarray:
        nonlocal scored
        scored += len(examples)
        return scorer(examples, options)

    def dying(examples: Sequence[Example], options: Sequence[str]) -> np.ndarray:
        if scored >= 2 * predictor.option_orders:
            raise KeyboardInterrupt
        return counting(examples, options)

    with pytest.raises(KeyboardInterrupt):
        vlm.predict(manifest, [store], predictor, BUDGETS, tmp_path / "o.parquet", dying)
    assert scored == 2 * predictor.option_orders
    scored = 0
    other = predictor.model_copy(update={"seed": 1})
    vlm.predict(manifest, [store], other, BUDGETS, tmp_path / "o.parquet", counting)
    assert scored == 5 * predictor.option_orders
