"""Streamed gradients against those that autograd leaves, and AdamW's step against torch's."""

import pytest
import torch
from torch import Tensor, nn

from workflow_scripts.theory.gradients import Accumulated, SecondMoment, adamw_update, streaming, trainable


class Tied(nn.Module):
    """A parameter that is used twice, and one that is not reached."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.unused = nn.Linear(3, 3), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(self.inner(x).tanh()).square().sum()


def test_each_gradient_comes_once_and_none_stays() -> None:
    model, inputs = Tied(), torch.randn(5, 3)
    expected = torch.autograd.grad(model(inputs), [model.inner.weight, model.inner.bias])
    came: list[str] = []
    held = Accumulated(named := trainable(model.named_parameters()))
    with streaming(named, lambda name, gradient: (came.append(name), held.take(name, gradient))[0]):
        model(inputs).backward()
    assert sorted(came) == ["inner.bias", "inner.weight"]
    assert torch.allclose(held.values["inner.weight"], expected[0])
    assert torch.allclose(held.values["inner.bias"], expected[1])
    assert all(parameter.grad is None for parameter in model.parameters())
    model(inputs).backward()  # no longer streamed
    assert model.inner.weight.grad is not None
    assert len(came) == 2


def test_frozen_parameters_are_left_out() -> None:
    model = Tied()
    model.inner.bias.requires_grad_(False)
    assert [name for name, _ in trainable(model.named_parameters())] == ["inner.weight", "unused.weight", "unused.bias"]


def test_the_second_moment_is_that_of_batches() -> None:
    """Against batches drawn at random: the mean of their squared gradients."""
    generator = torch.Generator().manual_seed(0)
    samples = 1.5 + torch.randn(4000, 3, generator=generator) * torch.tensor([0.0, 1.0, 5.0])
    named = trainable(nn.Linear(3, 1, bias=False).named_parameters())
    moment = SecondMoment(named)
    for sample in samples:
        moment.take("weight", sample[None])
        moment.samples += 1
    found = moment.estimate(8, 2.0)["weight"][0]
    expected = 4 * (1.5**2 + torch.tensor([0.0, 1.0, 25.0]) / 8)
    assert torch.allclose(found, expected, rtol=0.05)


def test_the_second_moment_is_unbiased_and_never_negative() -> None:
    """As many samples as a batch has, of mean 0, where the estimate of the squared mean is often negative."""
    generator = torch.Generator().manual_seed(0)
    named = trainable(nn.Linear(20_000, 1, bias=False).named_parameters())
    moment = SecondMoment(named)
    for _ in range(4):
        moment.take("weight", torch.randn(1, 20_000, generator=generator))
        moment.samples += 1
    found = moment.estimate(4, 1.0)["weight"]
    assert float(found.min()) >= 0
    assert float(found.mean()) == pytest.approx(1 / 4, rel=0.03)


def test_fewer_samples_than_a_batch_are_refused() -> None:
    moment = SecondMoment(trainable(nn.Linear(1, 1).named_parameters()))
    moment.samples = 3
    with pytest.raises(ValueError, match="3 samples for batches of 4; expected at least 4"):
        moment.estimate(4, 1.0)


def test_updates_are_those_of_torchs_adamw() -> None:
    """After 4,000 steps of a constant gradient g0 torch's moments are g0 and g0^2; then comes a step with another."""
    parameter = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    optimizer = torch.optim.AdamW([parameter], lr=0.01, betas=(0.0, 0.999), weight_decay=0.0)
    for gradient in [[0.5, 1e-6]] * 4000 + [[0.5, 2.0]]:
        before = parameter.detach().clone()
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
    v = torch.tensor([0.25, 1e-12], dtype=torch.float64) * (1 - 0.999**4000)
    correction = 1 - 0.999**4001
    found = adamw_update(parameter.grad, v / correction, 0.01)  # type: ignore[arg-type]
    assert torch.allclose(found, before - parameter.detach(), rtol=0.02)
    assert float(found.abs().max()) < 0.01 / (1 - 0.999) ** 0.5
