"""From letter likelihoods to a budget: what a bias for a letter can and cannot do."""

import numpy as np
import pytest

from workflow_scripts.predictors.choice import choose
from workflow_scripts.predictors.prompt import option_orders

BUDGETS = (8, 16, 32, 64)


def log_softmax(scores: np.ndarray) -> np.ndarray:
    return scores - np.log(np.exp(scores).sum(-1, keepdims=True))


def biased(content: np.ndarray, bias: np.ndarray, orders, rest: float = 0.0) -> np.ndarray:
    """What a model says that likes budgets by `content` and letters by `bias`, and other words by `rest`."""
    scores = np.array([[content[option] + bias[place] for place, option in enumerate(order)] for order in orders])
    return log_softmax(np.concatenate([scores, np.full((len(scores), 1), rest)], axis=1))[:, :-1]


def test_a_liking_for_letters_cancels_exactly() -> None:
    rng = np.random.default_rng(0)
    for count in (4, 8, 24):
        orders = option_orders(4, count, seed=1)
        for _ in range(50):
            content, bias = rng.normal(0, 1, 4), rng.normal(0, 5, 4)
            decision = choose(biased(content, bias, orders), orders, BUDGETS)
            assert decision.budget == BUDGETS[int(content.argmax())]
            expected = np.exp(log_softmax(content))
            probabilities = decision.evidence["probabilities"]
            assert list(probabilities.values()) == pytest.approx(expected.tolist(), abs=2e-6)


def test_a_single_order_is_at_the_mercy_of_the_bias() -> None:
    orders = option_orders(4, 1, seed=0)
    content, bias = np.array([2.0, 0, 0, 0]), np.array([0.0, 0, 0, 9])
    assert choose(biased(content, bias, orders), orders, BUDGETS).budget == 64


def test_a_model_that_only_likes_letters_says_nothing_and_the_smallest_wins() -> None:
    orders = option_orders(4, 4, seed=0)
    decision = choose(biased(np.zeros(4), np.array([0.1, 3.3, -2, 0.7]), orders), orders, BUDGETS)
    assert decision.budget == 8
    assert set(decision.evidence["probabilities"].values()) == {0.25}


def test_a_near_tie_goes_to_the_smaller_and_a_clear_one_does_not() -> None:
    orders = option_orders(4, 4, seed=0)
    near = biased(np.array([-5, 1.0, 1.0005, -5]), np.zeros(4), orders)
    clear = biased(np.array([-5, 1.0, 1.01, -5]), np.zeros(4), orders)
    assert choose(near, orders, BUDGETS).budget == 16
    assert choose(clear, orders, BUDGETS).budget == 32


def test_the_evidence_tells_how_much_the_letters_got() -> None:
    orders = option_orders(4, 4, seed=0)
    decision = choose(biased(np.zeros(4), np.zeros(4), orders, rest=np.log(12.0)), orders, BUDGETS)
    assert decision.evidence["letters"] == pytest.approx(0.25)
