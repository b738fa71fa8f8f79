"""The question a vision-language model is asked about a sample: how many frames are enough.

In: a conversation and the admissible budgets. Out: the prompt, with one letter an admissible budget, in a given order.
The miniature predictors are trained with this same module, so that training and use cannot differ.
"""

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from math import factorial
from string import ascii_uppercase

from workflow_scripts.settings import InputError

PLACEHOLDER = "<image>"
Order = tuple[int, ...]


def instruction(conversations: Iterable[Mapping[str, str]]) -> str:
    """All human turns of a LLaVA-Video-178K conversation, in order, without placeholder, one below the other.

    The predictor must not see an answer, so no other turn is read. Raises InputError if no human turn is left.
    """
    turns = [turn["value"].replace(PLACEHOLDER, "").strip() for turn in conversations if turn["from"] == "human"]
    if not any(turns):
        raise InputError("conversation without a human turn; expected at least one turn whose `from` is human")
    return "\n".join(turn for turn in turns if turn)


def letters(budgets: Sequence[int]) -> tuple[str, ...]:
    """The option letters, A first, as many as there are budgets."""
    if not 1 < len(budgets) <= len(ascii_uppercase):
        raise InputError(
            f"admissible budgets are {list(budgets)}; expected between 2 and {len(ascii_uppercase)} to choose from"
        )
    return tuple(ascii_uppercase[: len(budgets)])


def option_orders(options: int, orders: int, seed: int) -> tuple[Order, ...]:
    """`orders` different orders of `options` options; `order[place]` is the option listed at that place.

    The orders come in blocks of `options` rotations, so that within a block every option stands once at every
    place; a bias of the model for a letter then cancels. The first block rotates the rising order, the later ones
    rotate orders drawn with `seed`. The balance is exact when `orders` is a multiple of `options`.
    """
    if not 1 <= orders <= factorial(options):
        raise InputError(
            f"option_orders is {orders}; expected 1 to {factorial(options)}, all orders of {options} options"
        )
    draw = random.Random(seed)
    base = list(range(options))
    seen: dict[Order, None] = {}
    while len(seen) < orders:
        for shift in range(options):
            seen.setdefault(tuple(base[shift:] + base[:shift]))
        base = draw.sample(range(options), options)
    return tuple(seen)[:orders]


def prompt(question: str, text: str, budgets: Sequence[int], order: Order, frames: int) -> str:
    """`question` with {instruction}, {options} and {frames} filled in; place k of the options is `budgets[order[k]]`.

    `frames` is how many frames the model is shown. Filled in one pass: braces inside the instruction are text.
    """
    lines = [f"{letter}. {budgets[option]} frames" for letter, option in zip(letters(budgets), order, strict=True)]
    fill = {"{instruction}": text, "{options}": "\n".join(lines), "{frames}": str(frames)}
    return re.sub(r"\{(?:instruction|options|frames)\}", lambda match: fill[match.group()], question)
