"""Floating point operations of training on a sample, counted from the model's layers and the sample's real grids.

A multiplication and an addition are two operations. What is counted is what the result needs, for one sample:

- A linear layer from `n` to `m` features over `r` rows: 2·r·n·m forward, as much again for the gradient of its weight
  where that is trained, and as much again for the gradient of its input where anything before it is trained. So a
  layer with nothing trained before it or in it costs its forward pass alone, a frozen layer behind a trained one two
  thirds of a trained one; LoRA's adapters are linear layers beside frozen ones. A patch embedding is a linear layer
  whose input, pixels, has no gradient.
- Attention of width `w` (heads times width of a head) over `p` pairs of query and key: 4·p·w forward (scores, mixture),
  twice that backward. A language model's query sees itself and what precedes it: p = L(L+1)/2. Qwen2.5-VL's vision
  tower attends within windows of `window_size` pixels, smaller ones at a frame's edges, and in the blocks of
  `fullatt_block_indexes` within a frame; Qwen3-VL's and CLIP's always attend within a frame.
- The language model's head over the positions that predict a supervised token, where `vlm.loss` computes it.

Not counted: padding; layers whose output is not used (LLaVA takes the last but one of CLIP); norms, activations, rotary
positions, softmax and the optimizer, which are no matrix products. `recomputed` is the second forward pass of blocks
under activation checkpointing, less the last linear layer of each, which torch does not repeat; it is the hardware's
work, not the model's. `masked` is the half of the language model's attention above the diagonal, which PaLM
(arXiv 2204.02311, appendix B) and figures that follow it count as work: `total + masked` compares with theirs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

OUTPUT_PROJECTIONS = ("o_proj", "out_proj", "proj")
"""Names of the linear layer behind attention; what it takes is as wide as attention."""
SIDE_BY_SIDE = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")
"""Names of layers that take the same input as their neighbours, not what these put out."""


@dataclass(frozen=True)
class Work:
    """What one sample gives a model's layers to do, by piece of their dotted names; the first piece found counts.

    `rows`: rows that linear layers see. `pairs`: pairs of query and key that attention sees, for one head of one layer.
    `masked`: further pairs that a causal mask leaves out.
    """

    rows: Mapping[str, int]
    pairs: Mapping[str, int]
    masked: Mapping[str, int] = field(default_factory=dict)


def text_work(inputs: Mapping[str, Tensor], vision_rows: Mapping[str, int], vision_pairs: Mapping[str, int]) -> Work:
    """Work of a causal language model with its head, beside that of the vision tower and projector.

    `inputs`: `input_ids [L]` and, if it is to be learnt from, `labels [L]`, -100 where nothing is.
    """
    length = inputs["input_ids"].numel()
    learnt = int((inputs["labels"][1:] != -100).sum()) if "labels" in inputs else 1
    return Work(
        rows={**vision_rows, "lm_head": learnt, "language_model": length},
        pairs={**vision_pairs, "language_model": length * (length + 1) // 2},
        masked={"language_model": length * (length - 1) // 2},
    )


@dataclass(frozen=True)
class Flops:
    """Operations, by what they are for. `total`: the model's work; `hardware`: what is computed, with recomputation."""

    forward: int = 0
    backward: int = 0
    recomputed: int = 0
    masked: int = 0

    @property
    def total(self) -> int:
        return self.forward + self.backward

    @property
    def hardware(self) -> int:
        return self.total + self.recomputed

    def __add__(self, other: "Flops") -> "Flops":
        return Flops(
            self.forward + other.forward,
            self.backward + other.backward,
            self.recomputed + other.recomputed,
            self.masked + other.masked,
        )

    def __mul__(self, times: int) -> "Flops":
        return Flops(self.forward * times, self.backward * times, self.recomputed * times, self.masked * times)


class ModelFlops:
    """Counts the operations of `model` on samples of any size.

    What is trained and what is recomputed are read when the first sample is counted. `model` may be wrapped by PEFT or
    sharded by ZeRO-3: only its layers' sizes are read.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.of_one: dict[tuple[str, ...], tuple[dict[str, Flops], dict[str, Flops]]] = {}

    def __call__(self, work: Work) -> Flops:
        """Operations of a forward and a backward pass over one sample.

        Raises:
            ValueError: a layer belongs to no piece of `work`.
        """
        pieces = (*work.rows, "", *work.pairs)
        if pieces not in self.of_one:
            walk = _Walk(list(work.rows), list(work.pairs))
            walk.visit("", self.model)
            self.of_one[pieces] = (walk.row, walk.pair)
        row, pair = self.of_one[pieces]
        found = Flops()
        for piece, count in work.rows.items():
            found += row[piece] * count
        for piece, count in work.pairs.items():
            found += pair[piece] * count
        for piece, count in work.masked.items():
            found += Flops(masked=pair[piece].total * count)
        return found


class _Walk:
    """Operations on one row and on one pair of each piece, summed over a model's layers in the order they compute."""

    def __init__(self, row_pieces: Sequence[str], pair_pieces: Sequence[str]) -> None:
        self.row = dict.fromkeys(row_pieces, Flops())
        self.pair = dict.fromkeys(pair_pieces, Flops())
        self.before = False  # whether anything that was passed is trained
        self.again = False  # whether the block at hand is recomputed
        self.last = ("", 0)  # its last linear layer: piece and size

    def visit(self, name: str, module: nn.Module) -> None:
        """Count a module, its children in order, then what it holds itself."""
        trained = any(parameter.requires_grad for parameter in module.parameters())
        is_block = isinstance(module, GradientCheckpointingLayer)
        if is_block:
            self.again = bool(module.gradient_checkpointing) and (self.before or trained)
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d):
            piece = _piece(name, list(self.row))
            size = getattr(module.weight, "ds_numel", module.weight.numel())  # ZeRO-3 leaves an empty tensor here
            passed_on = self.before and isinstance(module, nn.Linear)
            self.row[piece] += Flops(2 * size, 2 * size * (trained + passed_on), 2 * size * self.again)
            self.last = (piece, size)
        elif width := _attention_width(module):
            each = 4 * width
            self.pair[_piece(name, list(self.pair))] += Flops(
                each, 2 * each * (self.before or trained), each * self.again
            )
        entry = self.before
        for child, inner in module.named_children():
            neighbours = self.before
            if child in SIDE_BY_SIDE:
                self.before = entry
            self.visit(f"{name}.{child}", inner)
            self.before |= neighbours
        if is_block and self.again:
            piece, size = self.last
            self.row[piece] += Flops(recomputed=-2 * size)
            self.again = False
        self.before |= any(parameter.requires_grad for parameter in module.parameters(recurse=False))


def _piece(name: str, pieces: Sequence[str]) -> str:
    for piece in pieces:
        if f".{piece}." in f".{name}.":
            return piece
    raise ValueError(f"layer {name} belongs to none of {', '.join(pieces)}")


def _attention_width(module: nn.Module) -> int:
    """Heads times width of a head, where `module` is attention, else 0."""
    for name in OUTPUT_PROJECTIONS:
        projection = getattr(module, name, None)
        if isinstance(width := getattr(projection, "in_features", None), int):
            return width
    return 0
