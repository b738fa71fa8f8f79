"""How predicted budgets compare with the true minimal ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def accuracy(true: Sequence[int], predicted: Sequence[int]) -> float:
    """Share of samples whose predicted budget is the true one."""
    return sum(a == b for a, b in zip(true, predicted, strict=True)) / len(true)


def majority(true: Sequence[int]) -> float:
    """The accuracy of giving every sample the commonest budget."""
    return max(Counter(true).values()) / len(true)


def table(true: Sequence[int], predicted: Sequence[int], budgets: Sequence[int]) -> str:
    """A Markdown table of counts: a row a true budget, a column a predicted one."""
    counts = Counter(zip(true, predicted, strict=True))
    head = "| true \\ predicted | " + " | ".join(map(str, budgets)) + " |"
    rule = "|---" * (len(budgets) + 1) + "|"
    rows = [f"| {a} | " + " | ".join(str(counts[a, b]) for b in budgets) + " |" for a in budgets]
    return "\n".join([head, rule, *rows])
