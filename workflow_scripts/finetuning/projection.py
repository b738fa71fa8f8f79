"""Gradient projection: what of the videos' gradient would raise the image loss is taken out of it.

A-GEM (Chaudhry et al., arXiv 1812.00420): where the inner product of the gradient g with a reference gradient h is
negative, g becomes g - <g, h> / <h, h> h, the nearest gradient whose inner product with h is not negative; else it
stays. All trained parameters count as one vector. The gradients are those of the whole optimizer step, added up over
micro-batches and averaged over processes, before clipping.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Alignment:
    """Of two gradients, before anything was taken out: inner product, and norms of the gradient and the reference."""

    inner: float
    norm: float
    reference_norm: float

    @property
    def cosine(self) -> float:
        """0 where either is zero."""
        return self.inner / (self.norm * self.reference_norm) if self.norm and self.reference_norm else 0.0

    @property
    def projected(self) -> bool:
        """Whether a component was taken out."""
        return self.inner < 0


def take_out(
    gradients: Sequence[Tensor | None],
    reference: Sequence[Tensor | None],
    agree: Callable[[Tensor], Tensor] = lambda sums: sums,
) -> Alignment:
    """Project `gradients` in place; None stands for zeros, which a gradient must not be where the reference is not.

    agree: turns the three sums of products of this process (float64 [3]) into what all processes go by.
    """
    pairs = [(g, h) for g, h in zip(gradients, reference, strict=True) if g is not None]
    held = [h for h in reference if h is not None]
    zero = torch.zeros((), dtype=torch.float64, device=pairs[0][0].device if pairs else None)
    sums = torch.stack(
        [
            sum((_inner(g, h) for g, h in pairs if h is not None), zero),
            sum((_inner(g, g) for g, _ in pairs), zero),
            sum((_inner(h, h) for h in held), zero),
        ]
    )
    inner, square, reference_square = agree(sums).tolist()
    found = Alignment(inner, square**0.5, reference_square**0.5)
    if found.projected:
        for g, h in pairs:
            if h is not None:
                g.add_(h.to(g.dtype), alpha=-inner / reference_square)
    return found


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return (a.float() * b.float()).sum(dtype=torch.float64)
