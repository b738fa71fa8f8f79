"""The allocations that no predictor gives: the truth, its estimate from the answers' likelihood, and chance."""

import hashlib
import itertools
import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.budgets import likelihood
from workflow_scripts.budgets.allocation import read_allocation, write_allocation
from workflow_scripts.budgets.oracle import from_estimate, from_truth
from workflow_scripts.budgets.shuffled import shuffle
from workflow_scripts.predictors.choice import Decision
from workflow_scripts.settings import InputError, ModelSettings
from workflow_scripts.vlm.conversation import Example

BUDGETS = (8, 16, 32, 64)
MODEL = ModelSettings(name="m", family="qwen2.5-vl", source="none", size_b=1)
ENOUGH = {"once": 8, "twice": 32, "fleeting": 64}


def reader(examples: Sequence[Example]) -> tuple[np.ndarray, np.ndarray]:
    """Is sure of an answer once the clip has the frames that the question's word needs; more help by less than 0.1."""
    found = []
    for example in examples:
        assert [turn.role for turn in example.turns] == ["user", "assistant"] * (len(example.turns) // 2)
        assert example.turns[1].text == "a secret"
        frames = len(example.media.frames)
        needed = next(budget for word, budget in ENOUGH.items() if word in example.turns[0].text)
        found.append((-1.0 if frames >= needed else -5.0) + 0.0005 * frames)
    return np.array(found), np.full(len(examples), 7)


@pytest.fixture
def world(write_store, write_manifest) -> tuple[Path, Path]:
    store = write_store({f"v{k}": [k] * (70 + k) for k in range(5)}, "video,reason,detail\nbad,crash,x\n")
    words = ["once", "fleeting", "twice", "once", "fleeting"]
    samples = [(f"s{k}", f"v{k}", [f"Is it {word}?"]) for k, word in enumerate(words)]
    return write_manifest([*samples, ("s5", "bad", ["once?"])]), store


def test_the_smallest_budget_after_which_the_answer_gets_no_likelier(world, tmp_path: Path) -> None:
    manifest, store = world
    output = tmp_path / "hybrid-likelihood.parquet"
    likelihood.estimate(manifest, [store], MODEL, 0.1, BUDGETS, output, reader)
    frame = read_allocation(output, sample_ids=[f"s{k}" for k in range(6)], admissible=BUDGETS)
    assert frame["budget"].tolist() == [8, 64, 32, 8, 64, 8]
    evidence = [json.loads(text) for text in frame["evidence"]]
    assert evidence[2] == {"logprobs": {"8": -4.996, "16": -4.992, "32": -0.984, "64": -0.968}, "tokens": 7}
    assert evidence[5] == {"no_frames": "crash"}


def test_where_a_likelihood_stops_rising_by_trying_every_order_of_four_values() -> None:
    """The answer in other words: below the budget, something later is higher by more than the tolerance; from it on,
    nothing is."""
    for values in itertools.permutations((-3.0, -2.95, -1.0, -0.2)):
        for tolerance in (0.0, 0.1, 1.0, 10.0):
            found = likelihood.stops_rising(dict(zip(BUDGETS, values, strict=True)), tolerance)
            place = BUDGETS.index(found)
            assert max(values[place:]) - values[place] <= tolerance
            assert all(max(values[earlier:]) - values[earlier] > tolerance for earlier in range(place))
    assert likelihood.stops_rising({8: -2.0, 16: -2.5, 32: -1.9, 64: -9.0}, 0.2) == 8
    assert likelihood.stops_rising({8: -2.0, 16: -2.5, 32: -1.7, 64: -9.0}, 0.2) == 32


def test_a_killed_estimate_goes_on_and_ends_the_same(world, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(likelihood, "PART", 2)
    manifest, store = world
    likelihood.estimate(manifest, [store], MODEL, 0.1, BUDGETS, tmp_path / "whole.parquet", reader)
    read: list[int] = []

    def dying(examples: Sequence[Example]) -> tuple[np.ndarray, np.ndarray]:
        read.extend([1] * len(examples))
        if sum(read) == 2 * 4 + 2:
            raise KeyboardInterrupt
        return reader(examples)

    output = tmp_path / "killed.parquet"
    with pytest.raises(KeyboardInterrupt):
        likelihood.estimate(manifest, [store], MODEL, 0.1, BUDGETS, output, dying)
    assert not output.exists()
    likelihood.estimate(manifest, [store], MODEL, 0.1, BUDGETS, output, dying)
    assert len(read) == 2 * 4 + 2 + 3 * 4, "the first part is not read again"
    assert output.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    likelihood.estimate(manifest, [store], MODEL, 10.0, BUDGETS, output, reader)
    assert set(read_allocation(output)["budget"]) == {8}, "another tolerance, another answer"


def test_a_sample_too_long_is_named_with_its_frames(world, tmp_path: Path) -> None:
    def refusing(examples: Sequence[Example]) -> tuple[np.ndarray, np.ndarray]:
        if len(examples[0].media.frames) == 64:
            raise InputError("too long")
        return reader(examples)

    manifest, store = world
    with pytest.raises(InputError, match=r"64 frames, sample s\d.*: too long"):
        likelihood.estimate(manifest, [store], MODEL, 0.1, BUDGETS, tmp_path / "o.parquet", refusing)


@pytest.fixture
def known(tmp_path: Path) -> tuple[Path, Path]:
    """A manifest of three samples and their truth, in another order and with a record that was not drawn."""
    manifest = pd.DataFrame(
        {
            "sample_id": ["a/r-1-00000001", "a/r-2-00000002", "b/r-1-00000003"],
            "subset": ["a", "a", "b"],
            "format": ["caption", "open_ended", "caption"],
        }
    )
    truth = pd.DataFrame(
        [
            ("b", "r-1", "caption", 64),
            ("a", "r-9", "caption", 16),
            ("a", "r-2", "caption", 8),
            ("a", "r-1", "caption", 32),
            ("a", "r-2", "open_ended", 16),
        ],
        columns=["subset", "record_id", "format", "budget"],
    )
    paths = tmp_path / "known.parquet", tmp_path / "truth.parquet"
    manifest.to_parquet(paths[0])
    truth.to_parquet(paths[1])
    return paths


def test_the_oracle_is_the_truth(known: tuple[Path, Path], tmp_path: Path) -> None:
    manifest, truth = known
    from_truth(manifest, truth, BUDGETS, tmp_path / "hybrid-oracle.parquet")
    frame = read_allocation(tmp_path / "hybrid-oracle.parquet", admissible=BUDGETS).set_index("sample_id")
    assert frame["budget"].to_dict() == {"a/r-1-00000001": 32, "a/r-2-00000002": 16, "b/r-1-00000003": 64}
    with pytest.raises(InputError, match=r"hybrid-oracle.parquet: sample b/r-1-00000003 has budget 64"):
        from_truth(manifest, truth, (8, 16, 32), tmp_path / "hybrid-oracle.parquet")


def test_where_no_truth_is_known_the_oracle_is_the_estimate(known, write_budgets, tmp_path: Path) -> None:
    manifest, _ = known
    names = ["b/r-1-00000003", "a/r-1-00000001", "a/r-2-00000002"]
    estimate = write_budgets(names, [64, 8, 16], {"logprobs": {"8": -1.0}, "tokens": 3})
    from_estimate(manifest, estimate, BUDGETS, tmp_path / "hybrid-oracle.parquet")
    frame = read_allocation(tmp_path / "hybrid-oracle.parquet")
    assert frame["sample_id"].tolist() == sorted(names)
    assert frame["budget"].tolist() == [8, 16, 64]
    assert json.loads(frame["evidence"][0]) == {"logprobs": {"8": -1.0}, "tokens": 3}


def test_chance_deals_the_same_budgets_by_a_hash_alone(write_store, write_manifest, write_budgets, tmp_path) -> None:
    count = 200
    store = write_store({"v": [0] * 70}, "video,reason,detail\nbad,crash,x\n")
    names = [f"s{k}" for k in range(count)]
    videos = ["bad" if k % 10 == 0 else "v" for k in range(count)]
    manifest = write_manifest([(name, video, ["What?"]) for name, video in zip(names, videos, strict=True)])
    given = [random.Random(k).choice(BUDGETS) for k in range(count)]
    budgets = write_budgets(names, given)
    output = tmp_path / "hybrid-random.parquet"
    shuffle(manifest, [store], budgets, 3, BUDGETS, output)
    dealt = read_allocation(output, sample_ids=names, admissible=BUDGETS)["budget"].tolist()
    trains = [video == "v" for video in videos]

    expected = dict(zip(names, given, strict=True))
    line = [name for name, one in zip(names, trains, strict=True) if one]
    line.sort(key=lambda name: hashlib.sha256(b"3/" + name.encode()).digest())
    pile = list(Counter(budget for budget, one in zip(given, trains, strict=True) if one).elements())
    expected |= dict(zip(line, sorted(pile), strict=True))
    assert dealt == [expected[name] for name in names]
    assert Counter(zip(dealt, trains, strict=True)) == Counter(zip(given, trains, strict=True))
    agree = np.mean([one == other for one, other, t in zip(dealt, given, trains, strict=True) if t])
    assert agree < 0.4, "a budget fits its sample by chance alone"

    shuffle(manifest, [store], budgets, 4, BUDGETS, output)
    other = read_allocation(output)["budget"].tolist()
    assert other != dealt
    assert Counter(other) == Counter(dealt)


@pytest.fixture
def write_budgets(tmp_path: Path):
    """Write an allocation."""

    def write(names: Sequence[str], budgets: Sequence[int], evidence: dict | None = None) -> Path:
        path = tmp_path / "given.parquet"
        decisions = [Decision(budget, evidence or {}) for budget in budgets]
        write_allocation(path, list(names), decisions, admissible=BUDGETS)
        return path

    return write
