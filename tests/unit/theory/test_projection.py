"""The projection against the inner products it stands for: exact where asked, linear, and within its stated error."""

import numpy as np
import pytest
import torch
from torch import Tensor

from workflow_scripts.theory.projection import REPEATS, Projection, sketch_bound

SIZES = [("layer.weight", "layer", 30_000), ("layer.bias", "layer", 500), ("head.weight", "head", 9_000)]


def drawn(seed: int = 0) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Two vectors with heavy coordinates and a cosine that is not 0, by parameter."""
    generator = torch.Generator().manual_seed(seed)
    x, y = {}, {}
    for name, _, count in SIZES:
        shared, one, other = (
            torch.randn(count, generator=generator) * torch.rand(count, generator=generator) ** 6 for _ in range(3)
        )
        x[name], y[name] = shared + one, shared - 0.4 * other
    return x, y


def project(projection: Projection, vector: dict[str, Tensor]) -> Tensor:
    into = projection.zeros()
    for name, values in vector.items():
        projection.add(into, name, values)
    return into


def dot(
    x: dict[str, Tensor], y: dict[str, Tensor], names: tuple[str, ...] = tuple(name for name, *_ in SIZES)
) -> float:
    return sum(float(x[name].double() @ y[name].double()) for name in names)


def test_without_buckets_inner_products_are_exact_by_group() -> None:
    x, y = drawn()
    projection = Projection(SIZES, buckets=None)
    found = projection.inner_products(project(projection, x)[None], project(projection, y)[None])
    assert found.shape == (2, REPEATS, 1, 1)
    assert projection.exact
    assert projection.width == 39_500
    expected = [dot(x, y, ("layer.weight", "layer.bias")), dot(x, y, ("head.weight",))]
    assert found[:, :, 0, 0] == pytest.approx(np.repeat(expected, REPEATS).reshape(2, REPEATS), rel=1e-5)


def test_a_group_no_larger_than_its_projection_is_kept() -> None:
    projection = Projection([("small", "a", 64), ("large", "b", 65)], buckets=64)
    assert [(group.exact, group.width) for group in projection.groups.values()] == [(True, 64), (False, 64)]
    vector = projection.zeros()
    values = torch.arange(64.0)
    projection.add(vector, "small", values)
    assert torch.equal(vector[:64], values)


def test_pieces_add_up_to_the_whole() -> None:
    """As shards of several processes, micro-batches and parameters do."""
    x, _ = drawn()
    projection = Projection(SIZES, buckets=1024, seed=3)
    whole = project(projection, x)
    shards = [projection.zeros() for _ in range(3)]
    for name, values in x.items():
        for shard, piece in zip(shards, values.tensor_split(3), strict=True):
            offset = (piece.data_ptr() - values.data_ptr()) // values.element_size()
            projection.add(shard, name, piece, offset=offset, scale=0.25)
            projection.add(shard, name, piece, offset=offset, scale=0.75)
    assert torch.allclose(sum(shards), whole, atol=1e-4)  # type: ignore[arg-type]


def test_inner_products_are_unbiased_and_err_as_stated() -> None:
    """Over 200 seeds: the mean is right, the spread within the bound, and the measured error is the spread."""
    x, y = drawn()
    truth = dot(x, y)
    errors, measured = [], []
    bound = 0.0
    for seed in range(200):
        projection = Projection(SIZES, buckets=512, seed=seed)
        found = projection.inner_products(project(projection, x)[None], project(projection, y)[None])
        repeats = found[:, :, 0, 0].sum(axis=0)
        errors.append(repeats.mean() - truth)
        measured.append(repeats.var(ddof=1) / REPEATS)
        members = [("layer.weight", "layer.bias"), ("head.weight",)]
        squares = [np.array([dot(side, side, names) for names in members]) for side in (x, y)]
        bound = sketch_bound(*squares, projection.groups)
    spread = float(np.std(errors))
    assert abs(np.mean(errors)) < 4 * spread / np.sqrt(len(errors))
    assert 0.4 * bound < spread < bound
    assert np.sqrt(np.mean(measured)) == pytest.approx(spread, rel=0.15)


def test_heavy_columns_do_not_meet() -> None:
    """A matrix whose rows are as wide as a block: its columns would all fall together if blocks were not rotated."""
    matrix = torch.zeros(256, 128)
    matrix[:, 7] = torch.randn(256, generator=torch.Generator().manual_seed(0))
    found = []
    for seed in range(100):
        projection = Projection([("matrix", "all", matrix.numel())], buckets=128 * REPEATS, seed=seed)
        vector = project(projection, {"matrix": matrix})
        found.append(projection.inner_products(vector[None], vector[None])[0, :, 0, 0].mean())
    squared = float(matrix.square().sum())
    assert np.std(found) < squared * np.sqrt(2 / (128 * REPEATS)) * 1.2
    assert np.mean(found) == pytest.approx(squared, rel=0.02)


@pytest.mark.parametrize("buckets", [8, 100])
def test_a_width_that_is_no_power_of_two_is_refused(buckets: int) -> None:
    with pytest.raises(ValueError, match="expected a power of two of at least 16"):
        Projection(SIZES, buckets=buckets)


def test_more_coordinates_than_a_parameter_has_are_refused() -> None:
    projection = Projection(SIZES, buckets=None)
    with pytest.raises(ValueError, match=r"layer\.bias has 500 coordinates; got 400 from 101 on"):
        projection.add(projection.zeros(), "layer.bias", torch.ones(400), offset=101)
