"""Streamed gradients against those that autograd leaves, and AdamW's step against torch's."""

import pytest
import torch
from torch import Tensor, nn

from workflow_scripts.theory.gradients import Accumulated, SecondMoment, streaming, trainable


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


def test_one_batch_gives_the_first_step_of_adamw() -> None:
    """AdamW's first step is rate g / (|g| + eps); a second moment of one batch must give the same."""
    model, inputs = Tied(), torch.randn(6, 3)
    named = trainable(model.inner.named_parameters())
    moment = SecondMoment(named)
    with streaming(named, moment.take):
        for part in inputs.split(2):
            model(part).backward()
    squared = moment.end_batch(0.5)
    steps = moment.steps({"weight": 0.01, "bias": 0.002}, 1e-8)

    twin = Tied()
    (0.5 * twin(inputs)).backward()
    gradients = {name: parameter.grad.clone() for name, parameter in twin.inner.named_parameters()}  # type: ignore[union-attr]
    before = {name: parameter.detach().clone() for name, parameter in twin.inner.named_parameters()}
    rates = [{"params": [twin.inner.weight], "lr": 0.01}, {"params": [twin.inner.bias], "lr": 0.002}]
    torch.optim.AdamW(rates, weight_decay=0.0).step()
    assert squared == pytest.approx(sum(float(g.square().sum()) for g in gradients.values()) ** 0.5, rel=1e-5)
    for name, parameter in twin.inner.named_parameters():
        assert torch.allclose(steps[name] * gradients[name], before[name] - parameter.detach(), atol=1e-7)


def test_the_second_moment_is_the_mean_over_batches() -> None:
    named = trainable(nn.Linear(1, 1, bias=False).named_parameters())
    moment = SecondMoment(named)
    for value in (3.0, -1.0):
        moment.take("weight", torch.tensor([[value]]))
        moment.end_batch(1.0)
    assert float(moment.steps({"weight": 1.0}, 0.0)["weight"]) == pytest.approx(1 / 5**0.5)
