"""Questions about a scene, in the forms that training records and benchmarks need."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

YES_NO = ("yes", "no")


@dataclass(frozen=True)
class Question:
    """One question with its truth.

    ``text`` holds neither options nor a format instruction. ``options`` holds ("yes", "no") or four distinct values,
    the answer among them, in an order that carries no information. ``budget`` is the minimal sufficient number of
    uniform frames (1 for an image). ``check`` and ``claim`` are templates with one ``{}`` for a value: the same
    question as a yes/no question and as a statement; they are empty for questions that are yes/no themselves.
    """

    ability: str
    text: str
    answer: str
    options: tuple[str, ...]
    budget: int = 1
    check: str = ""
    claim: str = ""

    @property
    def is_yes_no(self) -> bool:
        return self.options == YES_NO

    def as_yes_no(self, truth: bool, rng: random.Random) -> Question:
        """The same question asked as "is it so?", about the answer or about one of the other options."""
        if not self.check:
            raise ValueError(f"question {self.text!r} has no yes/no form")
        value = self.answer if truth else rng.choice([option for option in self.options if option != self.answer])
        return replace(
            self, text=self.check.format(value), answer="yes" if truth else "no", options=YES_NO, check="", claim=""
        )


def choice(
    rng: random.Random,
    ability: str,
    text: str,
    answer: str,
    values: Sequence[str],
    check: str,
    claim: str,
    budget: int = 1,
    decoys: Sequence[str] = (),
) -> Question:
    """A question with four options: the answer, ``decoys`` that must be among them, others drawn from ``values``."""
    wrong = [value for value in dict.fromkeys(decoys) if value != answer][:3]
    rest = [value for value in values if value != answer and value not in wrong]
    wrong += rng.sample(rest, 3 - len(wrong))
    options = [answer, *wrong]
    rng.shuffle(options)
    return Question(ability, text, answer, tuple(options), budget, check, claim)


def yes_no(ability: str, text: str, truth: bool, budget: int = 1) -> Question:
    return Question(ability, text, "yes" if truth else "no", YES_NO, budget)
