"""Gradient projection, on vectors whose products are known."""

import numpy as np
import pytest
import torch
from torch import Tensor

from workflow_scripts.finetuning.projection import take_out

SHAPES = ((3, 4), (5,), (2, 1, 2))


def parts(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in SHAPES]


def flat(tensors: list[Tensor | None]) -> np.ndarray:
    return np.concatenate([tensor.double().flatten().numpy() for tensor in tensors if tensor is not None])


@pytest.mark.parametrize("seed", range(6))
def test_what_conflicts_is_gone_and_nothing_else_is(seed: int) -> None:
    """Against the projection of numpy vectors: where <g, h> < 0 the rest is orthogonal to h, else g is untouched."""
    gradient, reference = parts(seed), parts(seed + 100)
    g, h = flat([*gradient]), flat([*reference])
    found = take_out(gradient, reference)
    assert found.inner == pytest.approx(g @ h, rel=1e-6)
    assert found.cosine == pytest.approx(g @ h / np.linalg.norm(g) / np.linalg.norm(h), rel=1e-6)
    assert found.projected == (g @ h < 0)
    after = flat([*gradient])
    if g @ h < 0:
        assert after @ h == pytest.approx(0, abs=1e-5)
        np.testing.assert_allclose(after, g - (g @ h) / (h @ h) * h, rtol=1e-5, atol=1e-6)
        # the nearest such vector: what was taken out lies along h alone
        assert abs((g - after) @ h) == pytest.approx(np.linalg.norm(g - after) * np.linalg.norm(h), rel=1e-6)
    else:
        assert np.array_equal(after, g)


def test_both_signs_are_among_the_cases() -> None:
    signs = {float(flat([*parts(seed)]) @ flat([*parts(seed + 100)])) < 0 for seed in range(6)}
    assert signs == {True, False}


def test_a_parameter_without_a_gradient_counts_as_zeros() -> None:
    gradient: list[Tensor | None] = [torch.tensor([1.0, 2.0]), torch.zeros(2), None]
    reference: list[Tensor | None] = [torch.tensor([-1.0, 0.0]), torch.tensor([0.0, 2.0]), None]
    assert take_out(gradient, reference).inner == -1.0
    torch.testing.assert_close(gradient[0], torch.tensor([1.0 - 1 / 5, 2.0]))
    torch.testing.assert_close(gradient[1], torch.tensor([0.0, 2 / 5]))
    alone: list[Tensor | None] = [torch.tensor([1.0]), None]
    other: list[Tensor | None] = [None, None]
    assert take_out(alone, other).projected is False


def test_all_processes_go_by_the_sums_that_they_agree_on() -> None:
    """This process alone sees a positive product; together it is negative, and the component goes."""
    gradient, reference = [torch.tensor([1.0, 0.0])], [torch.tensor([1.0, 1.0])]
    found = take_out(gradient, reference, lambda sums: sums * torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64))
    assert found.projected
    torch.testing.assert_close(gradient[0], torch.tensor([1.5, 0.5]))
