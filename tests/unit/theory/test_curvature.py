"""Hessian-vector products and the largest curvature against a dense Hessian, steps against the loss itself."""

import contextlib

import pytest
import torch
from torch import Tensor, nn

from workflow_scripts.theory.curvature import Weights, dot, hessian_vector, largest_curvature, norm
from workflow_scripts.theory.gradients import Accumulated, streaming, trainable


class Toy:
    """A small network with a frozen layer, its loss, and its gradient as a measurement takes it."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 3))
        self.model[2].requires_grad_(False)
        self.inputs, self.targets = torch.randn(20, 4), torch.randint(3, (20,))
        self.named = trainable(self.model.named_parameters())

    def loss(self) -> Tensor:
        return nn.functional.cross_entropy(self.model(self.inputs), self.targets)

    def gradient(self) -> dict[str, Tensor]:
        total = Accumulated(self.named)
        with streaming(self.named, total.take):
            self.loss().backward()
        return total.values

    def flat(self, vector: dict[str, Tensor]) -> Tensor:
        return torch.cat([vector[name].flatten() for name, _ in self.named]).double()

    def dense(self) -> Tensor:
        """The Hessian, differentiated twice in float64."""
        shapes = [parameter.shape for _, parameter in self.named]
        sizes = [shape.numel() for shape in shapes]
        frozen = {name: value.double() for name, value in self.model.state_dict().items()}

        def of(flat: Tensor) -> Tensor:
            pieces = flat.split(sizes)
            moved = {
                name: piece.view(shape) for (name, _), piece, shape in zip(self.named, pieces, shapes, strict=True)
            }
            out = torch.func.functional_call(self.model, frozen | moved, (self.inputs.double(),))
            return nn.functional.cross_entropy(out, self.targets)

        return torch.autograd.functional.hessian(of, self.flat({name: p.detach() for name, p in self.named}))  # type: ignore[no-any-return]


def test_gradients_agree_with_finite_differences() -> None:
    toy = Toy()
    gradient = toy.gradient()
    weights = Weights(toy.named)
    direction = {name: torch.randn_like(value) for name, value in gradient.items()}
    with torch.no_grad():
        with weights.moved(direction, 1e-2):
            ahead = toy.loss().item()
        with weights.moved(direction, -1e-2):
            behind = toy.loss().item()
    assert dot(gradient, direction) == pytest.approx((ahead - behind) / 2e-2, rel=2e-3)


@pytest.mark.parametrize("seed", range(3))
def test_products_agree_with_the_dense_hessian(seed: int) -> None:
    toy = Toy()
    torch.manual_seed(seed)
    direction = {name: torch.randn_like(parameter) for name, parameter in toy.named}
    found = toy.flat(hessian_vector(Weights(toy.named), toy.gradient, direction, step=1e-3))
    expected = toy.dense() @ toy.flat(direction)
    assert torch.linalg.norm(found - expected) < 2e-3 * torch.linalg.norm(expected)


def test_the_largest_curvature_rises_to_the_largest_eigenvalue_and_never_above() -> None:
    toy = Toy()
    largest = float(torch.linalg.eigvalsh(toy.dense()).abs().max())
    found = largest_curvature(Weights(toy.named), toy.gradient, toy.gradient(), 40, step=1e-3)
    assert found[-1] == pytest.approx(largest, rel=0.01)
    assert max(found) < 1.003 * largest
    assert found[0] < found[1] < found[-1] * 1.001


def test_weights_come_back_to_the_bit() -> None:
    toy = Toy()
    before = {name: parameter.detach().clone() for name, parameter in toy.named}
    weights = Weights(toy.named)
    direction = {name: torch.randn_like(parameter) for name, parameter in toy.named}
    with contextlib.suppress(KeyError), weights.moved(direction, 0.3):
        went = norm({name: parameter.detach() - before[name] for name, parameter in toy.named})
        raise KeyError
    assert went == pytest.approx(0.3 * norm(direction), rel=1e-4)
    assert all(torch.equal(parameter, before[name]) for name, parameter in toy.named)


def test_weights_in_half_precision_are_refused() -> None:
    model = nn.Linear(2, 2).bfloat16()
    with pytest.raises(ValueError, match=r"weight is torch\.bfloat16; expected float32"):
        Weights(trainable(model.named_parameters()))


def test_a_second_order_step_is_predicted_better_than_a_first_order_one() -> None:
    toy = Toy()
    gradient = toy.gradient()
    weights = Weights(toy.named)
    curvature = dot(gradient, hessian_vector(weights, toy.gradient, gradient, step=1e-3))
    eta, before = 0.3, toy.loss().item()
    with weights.moved(gradient, -eta), torch.no_grad():
        change = toy.loss().item() - before
    first = -eta * dot(gradient, gradient)
    assert abs(first + eta**2 / 2 * curvature - change) < 0.3 * abs(first - change)
