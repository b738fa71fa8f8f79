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
    """AdamW's second moment, elementwise, from the gradients of single samples. Memory: as `Accumulated`, twice.

    AdamW keeps a running mean of the squared gradients of the batches it has seen. Where that is not kept, E g_B^2 of
    batches of B samples, at the same weights, has the same expectation while weights change slowly over the window of
    1 / (1 - beta2) steps. With E g and E g^2 of single samples, E g_B^2 = E g^2 / B + (1 - 1/B) (E g)^2, and from n
    samples, unbiased and never below 0 for n >= B,

        v = S2 / (n B) + (1 - 1/B) (S1^2 - S2) / (n (n - 1)),    S1 = sum of g, S2 = sum of g^2.
    """

    def __init__(self, named: Named) -> None:
        self._sums, self._squares = Accumulated(named).values, Accumulated(named).values
        self.samples = 0

    def take(self, name: str, gradient: Tensor) -> None:
        """Add the gradient of a sample; it comes whole, from one backward pass."""
        gradient = gradient.float()
        self._sums[name].add_(gradient)
        self._squares[name].addcmul_(gradient, gradient)

    def estimate(self, batch_size: int, scale: float) -> dict[str, Tensor]:
        """v of batches of so many samples, each gradient times `scale`, by parameter. Ends the estimate."""
        n, share = self.samples, 1 - 1 / batch_size
        if n < max(batch_size, 2):
            raise ValueError(f"{n} samples for batches of {batch_size}; expected at least {max(batch_size, 2)}")
        found = {}
        for name in list(self._sums):
            squares, sums = self._squares.pop(name), self._sums.pop(name)
            v = squares * (1 / (n * batch_size) - share / (n * (n - 1))) + sums.square_() * (share / (n * (n - 1)))
            found[name] = v.clamp_(min=0).mul_(scale**2)
        return found


def adamw_update(gradient: Tensor, v: Tensor, rate: float, beta2: float = 0.999, epsilon: float = 1e-8) -> Tensor:
    """What AdamW subtracts for a batch with this gradient, v before it: rate g / (sqrt(beta2 v + (1-beta2) g^2) + eps).

    The gradient stands for the first moment, which averages such batches. Its own share in the second moment matters
    where v knows little: without it, a weight that these batches move and the earlier ones hardly did would go as far
    as rate / eps.
    """
    own = gradient.square().mul_(1 - beta2).add_(v, alpha=beta2)
    return gradient / own.sqrt_().add_(epsilon) * rate
