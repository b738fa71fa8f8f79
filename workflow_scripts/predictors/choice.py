"""From the likelihoods of option letters, under several orders of the options, to one budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workflow_scripts.predictors.prompt import Order

TIE = 1e-3  # nats


@dataclass(frozen=True)
class Decision:
    """The budget of one sample, in frames, and why."""

    budget: int
    evidence: Mapping[str, object]


def choose(logprobs: NDArray[np.floating], orders: Sequence[Order], budgets: Sequence[int]) -> Decision:
    """The most likely budget. `logprobs` [orders, options]: log-probability of the letter at each place, per order.

    The log-probabilities of a budget are averaged over the orders and then normalised over the budgets. A liking for
    a letter adds the same to whatever stands there; where every budget stood equally often at every place
    (`prompt.option_orders`), it adds the same to every budget and cancels exactly, which it would not in an average
    of probabilities.

    Budgets within 0.001 nats of the best are tied, and the smallest of them wins: equally likely to be enough, it
    costs least. The evidence holds the probability of each budget and `letters`, the probability that the model gave
    to all letters together, averaged over orders: near 0, it did not understand the question.
    """
    scores = np.zeros(len(budgets))
    for row, order in zip(logprobs, orders, strict=True):
        scores[list(order)] += row
    scores /= len(orders)
    likely = np.exp(scores - scores.max())
    likely /= likely.sum()
    tied = [budget for budget, score in zip(budgets, scores, strict=True) if score >= scores.max() - TIE]
    evidence = {
        "probabilities": {str(budget): round(float(p), 6) for budget, p in zip(budgets, likely, strict=True)},
        "letters": round(float(np.exp(logprobs).sum(axis=1).mean()), 6),
    }
    return Decision(min(tied), evidence)
