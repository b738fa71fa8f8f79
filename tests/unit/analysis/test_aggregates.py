"""Our aggregates against lmms-eval's own functions and against brute force on resamples."""

import argparse
import importlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from workflow_scripts.analysis.aggregates import Statistic, averaged, count, statistic
from workflow_scripts.settings import InputError

RNG = np.random.default_rng(5)


def lmms(task: str, module: str = "utils") -> Any:
    return importlib.import_module(f"lmms_eval.tasks.{task}.{module}")


def clusters_of(rows: pd.DataFrame) -> list[str]:
    return sorted(rows["cluster"].unique())


def mme_rows(categories: tuple[str, ...] = ("existence", "count", "color"), images: int = 17) -> pd.DataFrame:
    rows = [
        {"category": c, "cluster": f"{c}/{i}.png", "answer": a, "response": "yes", "score": float(RNG.random() < 0.7)}
        for c in categories
        for i in range(images)
        for a in ("yes", "no")
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=3)


def mme_by_lmms_eval(rows: pd.DataFrame) -> float:
    results = [
        {"question_id": r["cluster"], "category": r["category"], "score": r["score"]} for _, r in rows.iterrows()
    ]
    return float(lmms("mme").mme_aggregate_results(results))


def binary_rows(n: int = 90) -> pd.DataFrame:
    answers, said = RNG.choice(["yes", "no"], n), RNG.choice(["yes", "no", "Yes", "perhaps"], n, p=[0.5, 0.3, 0.1, 0.1])
    right = np.char.lower(said.astype(str)) == answers.astype(str)
    clusters = [f"i{k}" for k in RNG.integers(0, 25, n)]
    return pd.DataFrame(
        {"cluster": clusters, "category": "random", "answer": answers, "response": said, "score": right.astype(float)}
    )


def pope_by_lmms_eval(metric: str, rows: pd.DataFrame) -> float:
    docs = [
        lmms("pope").pope_process_results({"answer": a, "question_id": 0}, [r])
        for a, r in zip(rows["answer"], rows["response"], strict=True)
    ]
    return float(getattr(lmms("pope"), metric.replace("pope_", "pope_aggregate_"))([doc[metric] for doc in docs]))


def test_mme_equals_lmms_eval() -> None:
    rows = mme_rows()
    assert statistic("mme_perception_score", 2000, rows, clusters_of(rows)).value() == pytest.approx(
        mme_by_lmms_eval(rows)
    )


def test_mme_splits_perception_and_cognition() -> None:
    rows = mme_rows(("existence", "code_reasoning"))
    parts = {m: statistic(f"mme_{m}_score", 2000, rows, clusters_of(rows)) for m in ("perception", "cognition")}
    for name, category in (("perception", "existence"), ("cognition", "code_reasoning")):
        assert parts[name].value() == pytest.approx(mme_by_lmms_eval(rows[rows["category"] == category]))


def test_mme_on_a_resample_equals_brute_force() -> None:
    rows = mme_rows(("existence", "count"), images=6)
    clusters = clusters_of(rows)
    found = statistic("mme_perception_score", 2000, rows, clusters)
    drawn = RNG.integers(0, len(clusters), len(clusters))
    copies = [
        rows[rows["cluster"] == clusters[c]].assign(cluster=f"{clusters[c]} copy {i}") for i, c in enumerate(drawn)
    ]
    weights = np.bincount(drawn, minlength=len(clusters)).astype(float)[None]
    assert found.resampled(weights)[0] == pytest.approx(mme_by_lmms_eval(pd.concat(copies)))


def test_mme_refuses_an_unpaired_question() -> None:
    rows = mme_rows().iloc[1:]
    with pytest.raises(InputError, match="expected 2"):
        statistic("mme_perception_score", 2000, rows, clusters_of(rows))


@pytest.mark.parametrize("metric", ["accuracy", "precision", "recall", "f1_score", "yes_ratio"])
def test_pope_equals_lmms_eval_on_all_and_on_a_resample(metric: str) -> None:
    rows = binary_rows()
    clusters = clusters_of(rows)
    found = statistic(f"pope_{metric}", 1, rows, clusters)
    assert found.value() == pytest.approx(pope_by_lmms_eval(f"pope_{metric}", rows))
    drawn = RNG.integers(0, len(clusters), len(clusters))
    resample = pd.concat([rows[rows["cluster"] == clusters[c]] for c in drawn])
    weights = np.bincount(drawn, minlength=len(clusters)).astype(float)[None]
    assert found.resampled(weights)[0] == pytest.approx(pope_by_lmms_eval(f"pope_{metric}", resample))


def test_mmstar_equals_lmms_eval() -> None:
    rows = pd.DataFrame(
        {
            "cluster": [f"i{i}" for i in range(60)],
            "category": RNG.choice(["recognition", "localization", "geometry"], 60, p=[0.6, 0.3, 0.1]),
            "score": RNG.integers(0, 2, 60).astype(float),
        }
    )
    results = [{"score": s, "l2_category": c} for s, c in zip(rows["score"], rows["category"], strict=True)]
    expected = lmms("mmstar").mmstar_aggregate_results(results)
    assert statistic("average", 1, rows, clusters_of(rows)).value() == pytest.approx(expected)


def test_video_mmmu_leaves_out_empty_open_responses_as_lmms_eval_does(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    module = lmms("videommmu")
    said = [("B", "B"), ("B", ""), ("3.14", ""), ("3.14", "It is 3.14."), ("falling", "no"), ("J", "API Error")]
    rows, results = [], []
    for number, (answer, response) in enumerate(said):
        kind = "multiple-choice" if len(answer) == 1 else "open"
        doc = {
            "id": f"validation_Physics_{number}",
            "answer": answer,
            "question_type": kind,
            "options": list("abcdefghij"),
        }
        results.append(module.videommmu_process_results(doc, [response])["mmmu_acc"])
        right = module.evaluate_videommmu(results[-1:])[1]["acc"]
        rows.append({"cluster": str(number), "answer": answer, "response": response, "score": float(right)})
    frame = pd.DataFrame(rows)
    expected = module.videommmu_aggregate_results(results)
    assert statistic("mmmu_acc", 1, frame, clusters_of(frame)).value() == pytest.approx(expected) == 2 / 5


def test_mvbench_leaves_out_empty_responses_as_lmms_eval_does() -> None:
    rows = pd.DataFrame(
        {"cluster": list("abcdef"), "response": ["A", "", "B", "A", "", "C"], "score": [1, 0, 0, 1, 0, 1]}
    )
    results = [{"pred_answer": r, "score": s} for r, s in zip(rows["response"], rows["score"], strict=True)]
    expected = lmms("mvbench").mvbench_aggregate_results(results)
    assert statistic("mvbench_accuracy", 100, rows, list("abcdef")).value() == pytest.approx(expected) == 75


@pytest.mark.parametrize(
    ("metric", "maximum", "expected"),
    [
        ("videomme_perception_score", 100, 75),
        ("avg_accuracy", 100, 75),
        ("any_other", 1, 0.75),
    ],
)
def test_the_others_are_means(metric: str, maximum: float, expected: float) -> None:
    rows = pd.DataFrame({"cluster": list("aabc"), "score": [1.0, 1.0, 0.0, 1.0], "category": "k"})
    assert statistic(metric, maximum, rows, list("abc")).value() == pytest.approx(expected)


def mmbench_rows(n: int = 40, copies: bool = True) -> pd.DataFrame:
    """Main questions with up to three shifted copies, which mostly get the answer of their main question."""
    rows = []
    for index in range(n):
        known = RNG.random() < 0.7
        for k in range(1 + int(copies) * int(RNG.integers(0, 4))):
            right = known if RNG.random() < 0.85 else not known
            rows.append((str(index + k * 1_000_000), f"i{index // 2}", f"c{index % 3}", float(right)))
    frame = pd.DataFrame(rows, columns=["question_id", "cluster", "category", "score"])
    return frame.sample(frac=1, random_state=1)


def mmbench_by_lmms_eval(rows: pd.DataFrame, folder: Path) -> float:
    options = {"A": "one", "B": "two", "C": "three", "D": "four", "E": "nan"}
    results = [
        {"index": int(i), "question": "q", "answer": "A", "prediction": "A" if s else "B", "hint": "nan", "source": ""}
        | {"split": "dev", "category": c, "L2-category": "l"}
        | options
        for i, s, c in zip(rows["question_id"], rows["score"], rows["category"], strict=True)
    ]
    arguments = argparse.Namespace(output_path=str(folder))
    return float(lmms("mmbench", "en_utils").mmbench_aggregate_dev_results_static(results, arguments))


@pytest.mark.filterwarnings("ignore")
def test_mmbench_equals_lmms_eval_with_shifted_copies_and_on_a_resample(tmp_path: Path) -> None:
    rows = mmbench_rows()
    clusters = clusters_of(rows)
    found = statistic("gpt_eval_score", 100, rows, clusters)
    assert found.value() == pytest.approx(mmbench_by_lmms_eval(rows, tmp_path))
    assert found.value() < 100 * rows["score"].mean()
    assert count("gpt_eval_score", rows) == 40
    one = rows[rows["category"] == "c1"]
    assert statistic("gpt_eval_score", 100, one, clusters).value() == pytest.approx(mmbench_by_lmms_eval(one, tmp_path))
    drawn = RNG.integers(0, len(clusters), len(clusters))
    copies = []
    for turn, c in enumerate(drawn):
        part = rows[rows["cluster"] == clusters[c]]
        copies.append(part.assign(question_id=(part["question_id"].astype(int) + 1000 * (turn + 1)).astype(str)))
    weights = np.bincount(drawn, minlength=len(clusters)).astype(float)[None]
    assert found.resampled(weights)[0] == pytest.approx(mmbench_by_lmms_eval(pd.concat(copies), tmp_path))


def test_mmbench_without_copies_is_a_mean_and_needs_its_index() -> None:
    rows = mmbench_rows(copies=False)
    found = statistic("gpt_eval_score", 100, rows, clusters_of(rows)).value()
    assert found == pytest.approx(100 * rows["score"].mean())
    with pytest.raises(InputError, match="question_id is 'q1'"):
        statistic("gpt_eval_score", 100, rows.assign(question_id="q1"), clusters_of(rows))


def test_tempcompass_and_videomme_equal_lmms_eval(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    scores = RNG.integers(0, 2, 40).astype(float)
    rows = pd.DataFrame({"cluster": [f"v{i}" for i in range(40)], "score": scores})
    rated = lmms("tempcompass").tempcompass_aggregate_rating([{"rating": s} for s in scores], None)
    assert statistic("avg_accuracy", 100, rows, clusters_of(rows)).value() == pytest.approx(rated)
    module = lmms("videomme")
    place = {
        "duration": module.VIDEO_TYPE[0],
        "category": module.CATEGORIES[0],
        "sub_category": module.SUB_CATEGORIES[0],
        "task_category": module.TASK_CATEGORIES[0],
    }
    results = [place | {"pred_answer": "A" if s else "B", "answer": "A"} for s in scores]
    expected = module.videomme_aggregate_results(results)
    assert statistic("videomme_perception_score", 100, rows, clusters_of(rows)).value() == pytest.approx(expected)


def test_tasks_are_weighted_by_their_questions() -> None:
    tasks = [
        pd.DataFrame({"cluster": list("ab"), "score": [1.0, 1.0]}),
        pd.DataFrame({"cluster": list("aabbab"), "score": 0.0}),
    ]
    parts = [statistic("avg_accuracy", 100, task, ["a", "b"]) for task in tasks]
    assert averaged(parts, [2, 6]).value() == pytest.approx(25)


def test_a_category_that_a_resample_misses_is_left_out() -> None:
    rows = pd.DataFrame({"cluster": ["a", "b"], "category": ["x", "y"], "score": [1.0, 0.0]})
    found = statistic("average", 1, rows, ["a", "b"])
    assert found.resampled(np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0]])).tolist() == [1.0, 0.0, 0.5]


def test_clusters_are_those_that_hold_a_question_of_the_score() -> None:
    rows = mme_rows(("existence", "code_reasoning"), images=4)
    clusters = [*clusters_of(rows), "unasked.png"]
    parts = [statistic(f"mme_{name}_score", 2000, rows, clusters) for name in ("perception", "cognition")]
    assert [part.n_clusters for part in (*parts, averaged(parts, [1, 1]))] == [4, 4, 8]


def test_every_resample_of_a_ratio_is_enumerated() -> None:
    found = Statistic(np.array([[1.0, 2.0], [3.0, 1.0]]), lambda sums: sums[..., 0] / sums[..., 1], np.ones(2, bool))
    weights = np.array([w for w in itertools.product((0.0, 1.0, 2.0), repeat=2) if sum(w) == 2])
    assert found.resampled(weights).tolist() == [3.0, 4 / 3, 0.5]
