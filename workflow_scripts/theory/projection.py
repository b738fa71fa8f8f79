"""Gradients as short vectors whose inner products are those of the gradients: exact, or by a seeded random projection.

A gradient is never held whole. Its coordinates, in groups (parts of the model), are added piece by piece, from whatever
layer, sample or process they come: a projection is linear, so that projections of pieces add up to that of the whole.

The projection of a group of n coordinates on m buckets is a count sketch (Charikar, Chen and Farach-Colton 2002) whose
buckets are dealt by rotation: the coordinates are cut into blocks of m, each block is rotated by a random shift, every
coordinate has a random sign, and blocks are summed. Two coordinates of one block never meet and two of different blocks
meet with probability 1/m, as under the count sketch, so for fixed x, y, with signs that are 4-wise independent,

    E <Sx, Sy> = <x, y>,    Var <Sx, Sy> <= (|x|^2 |y|^2 + <x, y>^2) / m <= 2 |x|^2 |y|^2 / m,

and nothing is scattered: a GPU reads the gradient once. Shifts and signs come from a hash of the coordinate's number,
which behaves as random here but is not proven 4-wise independent; the error is measured beside the bound. To that end
the buckets of a group are `REPEATS` sketches of m / REPEATS buckets each, independent, whose mean is the estimate and
whose spread its error. Groups that have no more coordinates than buckets are kept exactly.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

REPEATS = 4
CHUNK = 2**22
"""Coordinates projected at once: their temporary copies take some 300 MB."""


@dataclass(frozen=True)
class Group:
    """A group's place in a projected vector: `start`, `width`; its size in coordinates; whether it is kept exactly."""

    name: str
    size: int
    start: int
    width: int
    exact: bool


class Projection:
    """Where each parameter's coordinates go, and how.

    Args:
        parameters: (name, group, number of coordinates) of every parameter, in an order that is the same everywhere.
        buckets: width of a group's projection, a power of two of at least 4 * REPEATS; None: all groups exact.
        seed: of shifts and signs.
    """

    def __init__(self, parameters: Iterable[tuple[str, str, int]], *, buckets: int | None, seed: int = 0) -> None:
        if buckets is not None and (buckets < 4 * REPEATS or buckets & (buckets - 1)):
            raise ValueError(f"buckets is {buckets}; expected a power of two of at least {4 * REPEATS}")
        sizes: dict[str, int] = {}
        self._places: dict[str, tuple[str, int, int]] = {}
        for name, group, count in parameters:
            self._places[name] = (group, sizes.get(group, 0), count)
            sizes[group] = sizes.get(group, 0) + count
        self.groups: dict[str, Group] = {}
        start = 0
        for name, size in sizes.items():
            exact = buckets is None or size <= buckets
            width = size if exact else int(buckets or 0)
            self.groups[name] = Group(name, size, start, width, exact)
            start += width
        self.width = start
        self.seed = seed

    @property
    def exact(self) -> bool:
        """Whether no group is sketched."""
        return all(group.exact for group in self.groups.values())

    def zeros(self, device: torch.device | str = "cpu") -> Tensor:
        """The projection of nothing: float32 [width]."""
        return torch.zeros(self.width, device=device)

    def add(self, into: Tensor, name: str, values: Tensor, offset: int = 0, scale: float = 1.0) -> None:
        """Add `scale` times the projection of some coordinates of a parameter to a projected vector.

        Args:
            into: float32 [width].
            name: the parameter.
            values: any shape and float type; its coordinates from `offset` on, in memory order, as a shard has them.

        Raises:
            KeyError: the parameter is unknown. ValueError: it has fewer coordinates.
        """
        group_name, first, count = self._places[name]
        group = self.groups[group_name]
        flat = values.detach().reshape(-1)
        if offset < 0 or offset + flat.numel() > count:
            raise ValueError(f"{name} has {count} coordinates; got {flat.numel()} from {offset} on")
        target = into[group.start : group.start + group.width]
        for start in range(0, flat.numel(), CHUNK):
            piece = flat[start : start + CHUNK].float()
            at = first + offset + start
            if group.exact:
                target[at : at + piece.numel()].add_(piece.to(target.device), alpha=scale)
            else:
                self._fold(target.view(REPEATS, -1), group, at, piece, scale)

    def _fold(self, target: Tensor, group: Group, at: int, piece: Tensor, scale: float) -> None:
        """Add the sketch of the coordinates from `at` on to `target` [REPEATS, buckets of each]."""
        columns = target.shape[1]
        block, lead = divmod(at, columns)
        blocks = -(-(lead + piece.numel()) // columns)
        padded = piece.new_zeros(blocks * columns)
        padded[lead : lead + piece.numel()] = piece
        bits = padded.view(torch.int32).view(blocks, columns)
        column = torch.arange(columns, device=piece.device, dtype=torch.int32)
        number = torch.arange(block, block + blocks, device=piece.device, dtype=torch.int32)
        of_block = _mix(number + _signed(zlib.crc32(f"{self.seed}/{group.name}".encode())))[:, None]
        signs = _mix(column ^ of_block)
        for repeat in range(REPEATS):
            shift = _mix(of_block + 0x1000 * (repeat + 1))
            flipped = (bits ^ ((signs << (8 * repeat)) & _SIGN)).view(torch.float32)
            moved = flipped.gather(1, ((column - shift) & (columns - 1)).long())
            target[repeat].add_(moved.sum(dim=0).to(target.device), alpha=scale)

    def inner_products(self, left: Tensor, right: Tensor) -> NDArray[np.float64]:
        """Inner products group by group: float64 [groups, REPEATS, n, m] of projected vectors [n, width], [m, width].

        The mean over the second axis is the estimate. Of an exact group all repeats are the same.
        """
        found = np.empty((len(self.groups), REPEATS, len(left), len(right)))
        for number, group in enumerate(self.groups.values()):
            a, b = (side[:, group.start : group.start + group.width].double() for side in (left, right))
            if group.exact:
                found[number] = (a @ b.T).cpu().numpy()
            else:
                a, b = (side.view(len(side), REPEATS, -1).transpose(0, 1) for side in (a, b))
                found[number] = (a @ b.transpose(1, 2)).cpu().numpy()
        return found


def sketch_bound(
    left: Sequence[float] | NDArray[np.float64],
    right: Sequence[float] | NDArray[np.float64],
    widths: Mapping[str, Group],
) -> float:
    """Standard error of an inner product over all groups that the module's bound allows, (2 sum |x|^2 |y|^2 / m)^(1/2).

    left, right: squared norms of the two vectors in each group, in the order of `widths`.
    """
    terms = [
        0.0 if group.exact else 2.0 * max(x, 0.0) * max(y, 0.0) / group.width
        for x, y, group in zip(left, right, widths.values(), strict=True)
    ]
    return float(np.sqrt(sum(terms)))


def _mix(x: Tensor) -> Tensor:
    """A hash of 32 bits, Wellons' lowbias32, of int32 numbers; products wrap around."""
    x = (x ^ ((x >> 16) & 0xFFFF)) * 0x7FEB352D
    x = (x ^ ((x >> 15) & 0x1FFFF)) * _signed(0x846CA68B)
    return x ^ ((x >> 16) & 0xFFFF)


def _signed(x: int) -> int:
    """32 bits as a signed number."""
    return x - 2**32 if x >= 2**31 else x


_SIGN = _signed(2**31)
