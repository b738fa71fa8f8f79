"""What answers look at: attention of the tokens that an answer is predicted from, to the tokens of the picture.

Weights as the model's own layers compute them: query and key are taken where they enter a layer's attention, rotated
and scaled, and the softmax is done again in float32 for the rows that are asked for alone. The pass itself stays with
torch's kernel, so that memory grows with the answer times the context, not with the context's square.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from workflow_scripts.settings import InputError
from workflow_scripts.vlm.conversation import Example, Turn
from workflow_scripts.vlm.encode import IGNORED, collate, encode
from workflow_scripts.vlm.load import VLM

SDPA_OBSERVED = "sdpa_observed"


@dataclass(frozen=True)
class Seen:
    """What an answer looks at in a picture.

    Attributes:
        weights: float64 ``[layers, tokens]``, attention to each token of the picture, a mean over heads and over the
            answer's tokens: shares of all attention, so a layer's row sums to what goes to the picture at all.
        boxes: float64 ``[tokens, 4]``, left, top, right, bottom of what each token shows, in pixels of the picture;
            nan where it shows no place (a mark of a row's end).
    """

    weights: NDArray[np.float64]
    boxes: NDArray[np.float64]


@dataclass
class _Observer:
    """Rows to watch ``[R]`` and columns to keep ``[C]`` of one unpadded example; a row of means for each layer."""

    rows: Tensor
    columns: Tensor
    layers: dict[int, Tensor] = field(default_factory=dict)

    def see(self, module: Any, query: Tensor, key: Tensor, mask: Tensor | None, scaling: float | None) -> None:
        """Keep a layer's weights. query ``[1, heads, L, width]``, key ``[1, key heads, L, width]``."""
        rows = self.rows.to(query.device)
        looking = query[0, :, rows].float()  # [heads, R, width]
        # Heads that share a key stand behind each other.
        looking = looking.unflatten(0, (key.shape[1], -1)).flatten(1, 2)  # [key heads, heads each * R, width]
        scores = looking @ key[0].float().transpose(1, 2) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
        scores = scores.unflatten(1, (-1, len(rows)))  # [key heads, heads each, R, L]
        if mask is None:
            later = torch.arange(key.shape[2], device=query.device)[None] > rows[:, None]
            scores = scores.masked_fill(later, float("-inf"))
        elif mask.dtype == torch.bool:
            scores = scores.masked_fill(~mask[0, :1, rows, : key.shape[2]], float("-inf"))
        else:
            scores = scores + mask[0, :1, rows, : key.shape[2]].float()
        weights = scores.softmax(-1)[..., self.columns.to(query.device)]
        self.layers[int(module.layer_idx)] = weights.mean(dim=(0, 1, 2)).double().cpu()


def look(vlm: VLM, picture: Image.Image, question: str, answer: str, begins: str = "") -> Seen:
    """Let a model look at a picture with a question and its answer, which is given, not generated.

    A token of the answer looks from the place that it is predicted from: the first from the end of the prompt. What the
    answer ``begins`` with is said before it and does not count, nor does the mark that ends it.

    Raises:
        InputError: as ``encode``; the answer has no token, or its beginning other tokens without it than with it.
    """
    encoded = encode(vlm, _conversation(picture, question, begins + answer), supervise=True)
    said = _said(vlm, encoded)
    if begins:
        alone = encode(vlm, _conversation(None, question, begins), supervise=True)
        before = _said(vlm, alone)
        if alone["input_ids"][before].tolist() != encoded["input_ids"][said[: len(before)]].tolist():
            raise InputError(
                f"answer {begins + answer!r}: what it begins with, {begins!r}, is not whole tokens of model "
                f"{vlm.settings.name}; expected a beginning without the space behind it"
            )
        said = said[len(before) :]
    if len(said) == 0:
        raise InputError(f"answer {answer!r} has no token of model {vlm.settings.name}; expected at least one")
    del encoded["labels"]
    columns = torch.isin(encoded["input_ids"], torch.tensor(vlm.placeholder_ids)).nonzero()[:, 0]
    boxes = vlm.family.token_boxes(vlm, picture, encoded)
    if len(boxes) != len(columns):
        raise AssertionError(f"{len(columns)} tokens of a picture, but {len(boxes)} places")
    observer = _Observer(said - 1, columns)
    inputs = {key: tensor.to(vlm.device) for key, tensor in collate(vlm, [encoded]).items()}
    if bool(inputs["attention_mask"].all()):
        del inputs["attention_mask"]  # one whole row: causal
    config: Any = vlm.model.get_decoder().config
    before = config._attn_implementation
    config._attn_implementation = SDPA_OBSERVED
    try:
        with torch.inference_mode():
            vlm.model(**inputs, use_cache=False, logits_to_keep=1, observer=observer)
    finally:
        config._attn_implementation = before
    layers = [observer.layers[layer] for layer in range(config.num_hidden_layers)]
    return Seen(torch.stack(layers).numpy(), boxes)


def _conversation(picture: Image.Image | None, question: str, answer: str) -> Example:
    return Example((Turn("user", question), Turn("assistant", answer)), None if picture is None else (picture,))


def _said(vlm: VLM, encoded: Mapping[str, Tensor]) -> Tensor:
    """Places ``[R]`` of what the assistant says, without the mark that ends it."""
    places = (encoded["labels"] != IGNORED).nonzero()[:, 0]
    end = int(vlm.tokenizer.convert_tokens_to_ids(vlm.family.end_of_turn(vlm.processor)))
    return places[encoded["input_ids"][places] != end]


def inside(boxes: NDArray[np.float64], box: Sequence[float]) -> NDArray[np.float64]:
    """float64 ``[tokens]``: the share of each token's area that lies in a box; nan for tokens without a place."""
    left, top, right, bottom = boxes.T
    across = np.minimum(right, box[2]) - np.maximum(left, box[0])
    down = np.minimum(bottom, box[3]) - np.maximum(top, box[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        share: NDArray[np.float64] = across.clip(min=0) * down.clip(min=0) / ((right - left) * (bottom - top))
    return share


def pixels(weights: NDArray[np.float64], boxes: NDArray[np.float64], width: int, height: int) -> NDArray[np.float64]:
    """float64 ``[height, width]``: each token's weight spread evenly over its box, as density a pixel.

    What a pixel gets of a box that covers it in part is that part's; weights of tokens with a place are kept in sum.
    """
    drawn = np.zeros((height, width))
    for weight, (left, top, right, bottom) in zip(weights, boxes, strict=True):
        if np.isnan(left) or right <= left or bottom <= top:
            continue
        x = _cover(left, right, width)
        y = _cover(top, bottom, height)
        drawn += weight / ((right - left) * (bottom - top)) * np.outer(y, x)
    return drawn


def _cover(start: float, stop: float, length: int) -> NDArray[np.float64]:
    """How much of each of ``length`` unit pixels lies between two places."""
    at = np.arange(length)
    covered: NDArray[np.float64] = (np.minimum(at + 1, stop) - np.maximum(at, start)).clip(min=0)
    return covered


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    observer: _Observer | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """Attention by torch's kernel, seen by the observer."""
    if observer is not None:
        observer.see(module, query, key, attention_mask, settings.get("scaling"))
    return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)


AttentionInterface.register(SDPA_OBSERVED, _attend)
AttentionMaskInterface.register(SDPA_OBSERVED, sdpa_mask)
