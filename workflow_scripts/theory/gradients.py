"""Gradients as they come out of the backward pass, one parameter at a time, so that they are never all there at once.

`streaming` hands each parameter's gradient to a function as soon as it is complete and drops it. What is kept is up to
the function: a projection, a squared norm, a running mean. Weights stay as they are; memory is that of a forward and
backward pass and of one parameter's gradient, whatever the number of tasks.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import Parameter

Named = Sequence[tuple[str, Parameter]]
Take = Callable[[str, Tensor], None]


def trainable(named: Iterable[tuple[str, Parameter]]) -> list[tuple[str, Parameter]]:
    """The parameters that ask for a gradient."""
    return [(name, parameter) for name, parameter in named if parameter.requires_grad]


@contextmanager
def streaming(named: Named, take: Take) -> Iterator[None]:
    """While it is open, each backward pass calls `take(name, gradient)` for each parameter it reaches, and keeps none.

    A parameter that is used twice comes once, its gradients summed.
    """

    def hook(name: str) -> Callable[[Tensor], None]:
        def taken(parameter: Tensor) -> None:
            if parameter.grad is not None:
                take(name, parameter.grad)
                parameter.grad = None

        return taken

    handles = [parameter.register_post_accumulate_grad_hook(hook(name)) for name, parameter in named]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class Accumulated:
    """A sum of gradients in float32, by parameter. Memory: one copy of the trained parameters."""

    def __init__(self, named: Named) -> None:
        self.values = {name: torch.zeros_like(parameter, dtype=torch.float32) for name, parameter in named}

    def take(self, name: str, gradient: Tensor) -> None:
        """Add a gradient."""
        self.values[name].add_(gradient)


class SecondMoment:
    """AdamW's second moment, elementwise, as the mean of squared batch gradients. Memory: as `Accumulated`, twice.

    AdamW keeps a running mean of the squared gradients of the batches it has seen. Where that is not kept, the mean
    over independent batches of the same size and data, at the same weights, has the same expectation while weights
    change slowly over its window of 1 / (1 - beta2) steps.
    """

    def __init__(self, named: Named) -> None:
        self._squares, self._batch = Accumulated(named).values, Accumulated(named).values
        self.batches = 0

    def take(self, name: str, gradient: Tensor) -> None:
        """Add a sample's share to the gradient of the batch at work."""
        self._batch[name].add_(gradient)

    def end_batch(self, scale: float) -> float:
        """Square the batch's gradient, times `scale`; returns its norm."""
        squared = 0.0
        for name, gradient in self._batch.items():
            gradient.mul_(scale)
            squared += float(gradient.double().square().sum())
            self._squares[name].addcmul_(gradient, gradient)
            gradient.zero_()
        self.batches += 1
        return squared**0.5

    def steps(self, rates: dict[str, float], epsilon: float) -> dict[str, Tensor]:
        """What AdamW multiplies the first moment with, rate / (sqrt(v) + epsilon), by parameter. Ends the estimate."""
        found = {}
        for name in list(self._squares):
            found[name] = rates[name] / ((self._squares.pop(name) / self.batches).sqrt_() + epsilon)
        self._batch.clear()
        return found
