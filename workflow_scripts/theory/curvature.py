"""Steps along a direction, Hessian-vector products and the largest curvature of a loss.

Hessian-vector products are central differences of gradients,

    H v ~ (grad L(theta + h v) - grad L(theta - h v)) / 2h,    h = STEP max(1, |theta|) / |v|,

two gradients each, with an error of h^2 |v|^3 times the third derivative and of the rounding of a gradient over h. They
need nothing of the model but gradients, so they work with every attention kernel, with activation checkpointing and
with weights spread over devices. Differentiating twice does not: torch's flash and memory-efficient kernels of
scaled_dot_product_attention, the default on CPU and GPU alike, have no second derivative and raise; only its kernel
MATH has one. Weights are to be float32: in bfloat16 so small a step is rounded away.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from workflow_scripts.theory.gradients import Named

Vector = Mapping[str, Tensor]
Gradient = Callable[[], dict[str, Tensor]]
"""Computes the gradient of the loss at the weights as they are: float32, by parameter."""
STEP = 3e-6


def dot(left: Vector, right: Vector) -> float:
    """Inner product, summed in float64."""
    return sum(float((left[name].double() * right[name].double()).sum()) for name in left)


def norm(vector: Vector) -> float:
    """Euclidean norm."""
    return dot(vector, vector) ** 0.5


class Weights:
    """The trained weights of a model, to be moved along a direction and put back to the bit. Memory: one more copy."""

    def __init__(self, named: Named) -> None:
        self._named = list(named)
        for name, parameter in self._named:
            if parameter.dtype != torch.float32:
                raise ValueError(f"{name} is {parameter.dtype}; expected float32, in which a small step is not lost")
        self._kept = {name: parameter.detach().clone() for name, parameter in self._named}

    @property
    def norm(self) -> float:
        """Norm of the weights."""
        return norm(self._kept)

    @contextmanager
    def moved(self, direction: Vector, length: float) -> Iterator[None]:
        """Weights theta + length * direction while it is open, theta after."""
        with torch.no_grad():
            for name, parameter in self._named:
                parameter.copy_(self._kept[name]).add_(direction[name], alpha=length)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in self._named:
                    parameter.copy_(self._kept[name])


def hessian_vector(weights: Weights, gradient: Gradient, direction: Vector, step: float = STEP) -> dict[str, Tensor]:
    """H v, by parameter, float32."""
    h = step * max(1.0, weights.norm) / norm(direction)
    with weights.moved(direction, h):
        ahead = gradient()
    with weights.moved(direction, -h):
        behind = gradient()
    return {name: ahead[name].sub_(behind[name]).div_(2 * h) for name in ahead}


def largest_curvature(
    weights: Weights, gradient: Gradient, start: Vector, iterations: int, step: float = STEP
) -> list[float]:
    """|H v| of the unit vectors v of a power iteration: rising, and never above the largest absolute eigenvalue of H.

    The last one is the estimate. It is a lower bound twice: the iteration may not have converged, and the smoothness
    constant of a neighbourhood is at least the curvature at its centre.
    """
    found = []
    vector = dict(start)
    for _ in range(iterations):
        length = norm(vector)
        product = hessian_vector(weights, gradient, {name: part / length for name, part in vector.items()}, step)
        found.append(norm(product))
        if found[-1] == 0:
            break
        vector = product
    return found
