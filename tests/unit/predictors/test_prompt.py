"""What a predictor is asked."""

from collections import Counter

import pytest

from workflow_scripts.predictors.prompt import instruction, letters, option_orders, prompt
from workflow_scripts.settings import InputError
from workflow_scripts.settings.budgets import QUESTION


def test_the_instruction_is_all_human_turns_and_nothing_else() -> None:
    conversation = [
        {"from": "human", "value": "<image>\nWhat is it?"},
        {"from": "gpt", "value": "A cat."},
        {"from": "human", "value": "What does it do?\nA. Sleep."},
        {"from": "gpt", "value": "A."},
    ]
    assert instruction(conversation) == "What is it?\nWhat does it do?\nA. Sleep."


def test_a_conversation_without_a_human_turn_is_refused() -> None:
    with pytest.raises(InputError, match="human"):
        instruction([{"from": "human", "value": "<image>\n"}, {"from": "gpt", "value": "A cat."}])


def test_the_prompt_lists_the_budgets_in_the_order_given() -> None:
    text = prompt("{instruction}|{options}", "What?", [8, 16, 32], (2, 0, 1), 8)
    assert text == "What?|A. 32 frames\nB. 8 frames\nC. 16 frames"


def test_braces_in_the_instruction_are_text() -> None:
    text = prompt("{frames}: {instruction}|{options}", "What is {options} or {0}?", [8, 16], (0, 1), 4)
    assert text == "4: What is {options} or {0}?|A. 8 frames\nB. 16 frames"


def test_the_study_s_question_is_filled_completely() -> None:
    text = prompt(QUESTION, "What?", [8, 16, 32, 64], (0, 1, 2, 3), 8)
    assert "Here are 8 frames" in text
    assert "What?" in text
    assert "D. 64 frames" in text
    assert "{" not in text


@pytest.mark.parametrize(("options", "orders"), [(4, 4), (4, 8), (4, 24), (3, 6), (2, 2)])
def test_whole_blocks_of_orders_are_distinct_and_balanced(options: int, orders: int) -> None:
    drawn = option_orders(options, orders, seed=5)
    assert len(set(drawn)) == orders
    assert all(sorted(order) == list(range(options)) for order in drawn)
    at = Counter((place, option) for order in drawn for place, option in enumerate(order))
    assert set(at.values()) == {orders // options}


def test_orders_follow_the_seed() -> None:
    assert option_orders(4, 12, 1) == option_orders(4, 12, 1)
    assert option_orders(4, 12, 1) != option_orders(4, 12, 2)
    assert option_orders(4, 1, 0) == ((0, 1, 2, 3),)


@pytest.mark.parametrize("orders", [0, 25])
def test_impossible_numbers_of_orders_are_refused(orders: int) -> None:
    with pytest.raises(InputError, match=f"option_orders is {orders}; expected 1 to 24"):
        option_orders(4, orders, 0)


def test_letters_need_something_to_choose() -> None:
    assert letters([8, 16, 32]) == ("A", "B", "C")
    with pytest.raises(InputError, match="expected between 2 and 26"):
        letters([8])
