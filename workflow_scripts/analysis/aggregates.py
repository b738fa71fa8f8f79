"""Each benchmark's own score, written as a function of sums over its questions.

A score that is a function of sums can be recomputed on any resample of the clusters by adding up rows of one small
matrix, which makes exact bootstrap of non-means (MME's acc + acc_plus, POPE's F1) as cheap as that of a mean.
The numbers are those of lmms-eval 0.7.3 (`lmms_eval/tasks/<task>/utils.py`, the `*_aggregate_*` functions); the tests
compare the two.

Definitions, by metric:

- `mme_perception_score`, `mme_cognition_score`: over the image pairs of a category, the mean of
  100 * accuracy + 100 * (both right), 200 at most; summed over the categories.
- `pope_accuracy`, `pope_precision`, `pope_recall`, `pope_f1_score`: of the answer "yes"; 0 where undefined.
  `pope_yes_ratio` is lmms-eval's: the share of "yes" in the ground truth, not in the responses.
- `average` (MMStar): the unweighted mean over second-level categories of the accuracy in each.
- `mvbench_accuracy`: percent right of the questions with a non-empty response.
- `gpt_eval_score` (MMBench, judge-free): percent right of the main questions, those with an index below 10^6; one is
  right only if its copies with shifted options, at index + k * 10^6, are right too (CircularEval).
- `videomme_perception_score`, `avg_accuracy` (TempCompass): percent right.
- `mmmu_acc` (Video-MMMU): mean score of all questions but the open ones (those whose answer is no letter) with an
  empty response, which lmms-eval takes for a failed request and leaves out.
- Every metric not named here: mean score, times 100 where the maximum is 100.
- A benchmark of several tasks (MVBench, TempCompass, Video-MMMU): the mean of its tasks' scores, weighted by their
  numbers of questions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workflow_scripts.settings import InputError

Array = NDArray[np.float64]
CIRCULAR = "gpt_eval_score"
CIRCULAR_STRIDE = 1_000_000
MME_COGNITION = ("commonsense_reasoning", "numerical_calculation", "text_translation", "code_reasoning")


@dataclass(frozen=True)
class Statistic:
    """A score as a function of cluster sums.

    sums: float64 [clusters, k], row c the sum of the k features over the questions of cluster c.
    combine: maps feature sums [..., k] to scores [...]; nan where a resample holds no question at all.
    present: bool [clusters], which of them hold a question of the score.
    """

    sums: Array
    combine: Callable[[Array], Array]
    present: NDArray[np.bool_]

    @property
    def n_clusters(self) -> int:
        """The number of clusters that the score is over."""
        return int(self.present.sum())

    def value(self) -> float:
        """The score on all questions."""
        return float(self.combine(self.sums.sum(axis=0)))

    def resampled(self, weights: Array) -> Array:
        """The score on each resample: weights [resamples, clusters], how often each cluster was drawn."""
        return self.combine(weights @ self.sums)


def _cluster_sums(features: Array, clusters: NDArray[np.int64], n_clusters: int) -> Array:
    sums = np.zeros((n_clusters, features.shape[1]))
    np.add.at(sums, clusters, features)
    return sums


def _group_means(sums: Array) -> Array:
    """Sums [..., 2 * groups] (totals, then counts) to means [..., groups]; nan for a group with no question."""
    totals, counts = np.split(sums, 2, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(counts > 0, totals / counts, np.nan)


def _mean_of_present(means: Array) -> Array:
    present = ~np.isnan(means)
    with np.errstate(invalid="ignore"):
        return np.nansum(means, axis=-1) / np.where(present.sum(axis=-1) > 0, present.sum(axis=-1), np.nan)


def _grouped(scores: Array, counts: Array, groups: Sequence[str]) -> tuple[Array, int]:
    """Features [questions, 2 * groups] of a mean by group; groups in sorted order, so equal for equal questions."""
    names, index = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    features = np.zeros((len(index), 2 * len(names)))
    rows = np.arange(len(index))
    features[rows, index] = scores
    features[rows, len(names) + index] = counts
    return features, len(names)


def _mean(responses: pd.DataFrame, scale: float) -> tuple[Array, Callable[[Array], Array]]:
    scores = responses["score"].to_numpy(float)
    features, _ = _grouped(scores, np.ones(len(scores)), [""] * len(scores))
    return features, lambda sums: scale * _group_means(sums)[..., 0]


def _mean_of_categories(responses: pd.DataFrame, scale: float) -> tuple[Array, Callable[[Array], Array]]:
    scores = responses["score"].to_numpy(float)
    features, _ = _grouped(scores, np.ones(len(scores)), responses["category"].tolist())
    return features, lambda sums: scale * _mean_of_present(_group_means(sums))


def _mean_of_answered(responses: pd.DataFrame, scale: float) -> tuple[Array, Callable[[Array], Array]]:
    # lmms-eval strips an answer before it is scored
    answered = (responses["response"].fillna("").str.strip() != "").to_numpy(float)
    features, _ = _grouped(responses["score"].to_numpy(float) * answered, answered, [""] * len(answered))
    # lmms-eval scores a task with no answer at all as 0
    return features, lambda sums: scale * np.nan_to_num(_group_means(sums)[..., 0])


def _mean_of_parsed(responses: pd.DataFrame, scale: float) -> tuple[Array, Callable[[Array], Array]]:
    choice = responses["answer"].fillna("").str.fullmatch("[A-J]")
    parsed = (choice | ~responses["response"].fillna("").str.strip().isin(["", "API Error"])).to_numpy(float)
    features, _ = _grouped(responses["score"].to_numpy(float) * parsed, parsed, [""] * len(parsed))
    return features, lambda sums: scale * np.nan_to_num(_group_means(sums)[..., 0])


def _mme(responses: pd.DataFrame, scale: float) -> tuple[Array, Callable[[Array], Array]]:
    pairs = responses.groupby(["category", "cluster"], sort=False)["score"]
    sizes = pairs.transform("size")
    if (sizes != 2).any():
        row = responses[(sizes != 2).to_numpy()].iloc[0]
        raise InputError(
            f"benchmark MME: image {row['cluster']} has {int(sizes[sizes != 2].iloc[0])} questions of category "
            f"{row['category']}; expected 2, its aggregate is over pairs"
        )
    both = (pairs.transform("sum") == 2).to_numpy(float)
    # each question of a pair carries half of the pair
    halves = (100 * responses["score"].to_numpy(float) + 100 * both) / 2
    features, n = _grouped(halves, np.full(len(halves), 0.5), responses["category"].tolist())
    return features, lambda sums: n * _mean_of_present(_group_means(sums))


def _circular(responses: pd.DataFrame, scale: float) -> tuple[Array, Callable[[Array], Array]]:
    index = _circular_index(responses)
    right = responses["score"].groupby(index % CIRCULAR_STRIDE).transform("min").to_numpy(float)
    main = (index < CIRCULAR_STRIDE).to_numpy(float)
    features, _ = _grouped(right * main, main, [""] * len(main))
    return features, lambda sums: scale * _group_means(sums)[..., 0]


def _circular_index(responses: pd.DataFrame) -> pd.Series:
    """MMBench's index of each response: the last part of its question_id."""
    ids = responses["question_id"].astype(str)
    index = pd.to_numeric(ids.str.rpartition("/")[2], errors="coerce")
    if index.isna().any():
        raise InputError(
            f"metric {CIRCULAR}: question_id is {ids[index.isna()].iloc[0]!r}; expected MMBench's index, a number"
        )
    return index.astype("int64")


def _pope_counts(responses: pd.DataFrame) -> Array:
    said = responses["response"].fillna("").str.lower().str.strip()
    truth = responses["answer"].str.lower().str.strip()
    columns = [(truth == "yes") & (said == "yes"), (truth == "no") & (said == "yes"), (truth == "yes") & (said == "no")]
    return np.stack([column.to_numpy(float) for column in columns], axis=1)


def _ratio(numerator: Array, denominator: Array) -> Array:
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def _pope(which: str) -> Callable[[pd.DataFrame, float], tuple[Array, Callable[[Array], Array]]]:
    def features(responses: pd.DataFrame, scale: float) -> tuple[Array, Callable[[Array], Array]]:
        def combine(sums: Array) -> Array:
            hits, false_alarms, misses = sums[..., 0], sums[..., 1], sums[..., 2]
            precision, recall = _ratio(hits, hits + false_alarms), _ratio(hits, hits + misses)
            if which == "precision":
                return scale * precision
            if which == "recall":
                return scale * recall
            return scale * _ratio(2 * precision * recall, precision + recall)

        return _pope_counts(responses), combine

    return features


def _pope_yes_ratio(responses: pd.DataFrame, scale: float) -> tuple[Array, Callable[[Array], Array]]:
    truth = responses["answer"].str.lower().str.strip()
    return _mean(responses.assign(score=(truth == "yes").astype(float)), scale)


Features = Callable[[pd.DataFrame, float], tuple[Array, Callable[[Array], Array]]]
AGGREGATES: dict[str, Features] = {
    "mme_perception_score": _mme,
    "mme_cognition_score": _mme,
    "pope_precision": _pope("precision"),
    "pope_recall": _pope("recall"),
    "pope_f1_score": _pope("f1"),
    "pope_yes_ratio": _pope_yes_ratio,
    "average": _mean_of_categories,
    CIRCULAR: _circular,
    "mvbench_accuracy": _mean_of_answered,
    "mmmu_acc": _mean_of_parsed,
}


def questions_of(metric: str, responses: pd.DataFrame) -> pd.DataFrame:
    """The responses that a metric is about: MME's two scores split its questions, every other takes all."""
    if metric == "mme_perception_score":
        return responses[~responses["category"].isin(MME_COGNITION)]
    if metric == "mme_cognition_score":
        return responses[responses["category"].isin(MME_COGNITION)]
    return responses


def count(metric: str, responses: pd.DataFrame) -> int:
    """The number of questions that a metric is over; shifted copies of a question are no questions of their own."""
    rows = questions_of(metric, responses)
    return int((_circular_index(rows) < CIRCULAR_STRIDE).sum()) if metric == CIRCULAR else len(rows)


def statistic(metric: str, maximum: float, responses: pd.DataFrame, clusters: Sequence[str]) -> Statistic:
    """The score `metric` of one task.

    responses: the task's rows, with columns question_id, cluster, category, response, answer, score (0 to 1, no nan).
    clusters: every cluster of the benchmark, sorted; the order of the rows of `sums`.
    Scores are in 0..1 where `maximum` is 1, else percent (MME: its own points).
    """
    rows = questions_of(metric, responses)
    if rows.empty:
        raise InputError(f"metric {metric}: no question of it in the responses")
    features, combine = AGGREGATES.get(metric, _mean)(rows, 1.0 if maximum == 1 else 100.0)
    index = np.asarray(pd.Index(clusters).get_indexer(pd.Index(rows["cluster"])))
    present = np.bincount(index, minlength=len(clusters)) > 0
    return Statistic(_cluster_sums(features, index, len(clusters)), combine, present)


def category_metric(metric: str, category: str) -> str:
    """The metric that scores one category's questions: the benchmark's own, on them alone."""
    if metric.startswith("mme_"):
        return "mme_cognition_score" if category in MME_COGNITION else "mme_perception_score"
    return metric


def averaged(statistics: Sequence[Statistic], weights: Sequence[float]) -> Statistic:
    """The weighted mean of several scores over the same clusters (the tasks of a benchmark, by their questions)."""
    shares = np.asarray(weights, dtype=float)

    def mean(values: Array) -> Array:
        present = np.where(np.isnan(values), 0.0, shares)
        with np.errstate(invalid="ignore"):
            return (np.nan_to_num(values) * present).sum(axis=-1) / present.sum(axis=-1)

    return _composed(statistics, mean)


def _composed(statistics: Sequence[Statistic], join: Callable[[Array], Array]) -> Statistic:
    ends = np.cumsum([part.sums.shape[1] for part in statistics])[:-1]

    def combine(sums: Array) -> Array:
        pieces = np.split(sums, ends, axis=-1)
        values = [part.combine(piece) for part, piece in zip(statistics, pieces, strict=True)]
        return join(np.stack(values, axis=-1))

    present = np.any([part.present for part in statistics], axis=0)
    return Statistic(np.concatenate([part.sums for part in statistics], axis=1), combine, present)
