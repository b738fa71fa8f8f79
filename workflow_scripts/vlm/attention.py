"""Attention of language models over packed rows: several examples one after the other, none of which sees another.

transformers recognises such a row by its position ids and, for torch's kernel, masks what is outside the blocks on the
diagonal: work and memory grow with the square of the row, and a mask rules out the flash kernel. Here each example of
the row is a call of its own, causal and without a mask. Rows that are padded instead are left to transformers.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from workflow_scripts.settings.recipes import Attention

SDPA_BY_EXAMPLE = "sdpa_by_example"


def implementation(attention: Attention) -> dict[str, str]:
    """transformers' `attn_implementation` for a setting: of the language model, and of all else (the empty key)."""
    return {"": attention, "text_config": SDPA_BY_EXAMPLE if attention == "sdpa" else attention}


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    example_lengths: Sequence[int] | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """One causal call for each example of a row.

    Args:
        module: the model's attention module.
        query: ``[1, heads, L, width]``; key and value alike, with their own number of heads.
        attention_mask: of rows that are not packed.
        example_lengths: tokens of each example in the row, L in all; None where the rows are not packed.

    Returns:
        ``[1, L, heads, width]``, and no weights.
    """
    if example_lengths is None or len(example_lengths) == 1:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
    parts = [rows.split(list(example_lengths), dim=2) for rows in (query, key, value)]
    return torch.cat(
        [sdpa_attention_forward(module, *example, None, **settings)[0] for example in zip(*parts, strict=True)], dim=1
    ), None


def _mask(q_length: int, kv_length: int, attention_mask: Tensor | None = None, **settings: Any) -> Tensor | None:
    """transformers' mask, but none for whole rows that come without one: they are packed, or one causal example."""
    if attention_mask is None and q_length == kv_length:
        return None
    return sdpa_mask(q_length=q_length, kv_length=kv_length, attention_mask=attention_mask, **settings)


AttentionInterface.register(SDPA_BY_EXAMPLE, _attend)
AttentionMaskInterface.register(SDPA_BY_EXAMPLE, _mask)
