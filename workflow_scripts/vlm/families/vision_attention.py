"""Attention of Qwen's vision towers over windows and frames, in one call for all sequences of the same length.

Without flash attention transformers calls the kernel once a window and once a frame: hundreds of small calls a block.
The result is the same; only the number of calls changes.
"""

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS


def batch_vision_attention(tower: nn.Module, rotate: Any, eager: Any) -> None:
    """Replace the forward of a vision tower's attention modules; their weights stay as they are.

    Args:
        tower: holds ``blocks`` with ``attn``, as Qwen2.5-VL's and Qwen3-VL's do.
        rotate: the model file's rotary function, ``(q, k, cos, sin) -> (q, k)``.
        eager: the model file's eager attention.
    """

    def forward(
        self: Any,
        hidden_states: Tensor,
        cu_seqlens: Tensor,
        position_embeddings: tuple[Tensor, Tensor] | None = None,
        max_seqlen: int | None = None,
        **kwargs: Any,
    ) -> Tensor:
        name = self.config._attn_implementation
        if "flash" in name or position_embeddings is None:
            original: Tensor = type(self).forward(
                self, hidden_states, cu_seqlens, position_embeddings, max_seqlen=max_seqlen, **kwargs
            )
            return original
        tokens = hidden_states.shape[0]
        query, key, value = self.qkv(hidden_states).reshape(tokens, 3, self.num_heads, -1).unbind(1)
        query, key = rotate(query, key, *position_embeddings)
        attention = ALL_ATTENTION_FUNCTIONS.get_interface(name, eager)
        starts, lengths = cu_seqlens[:-1], cu_seqlens.diff()

        def attend(rows: list[Tensor], length: int) -> Tensor:
            """Attend within sequences of one length; rows are ``[n * length, heads, width]``."""
            batched = [row.unflatten(0, (-1, length)).transpose(1, 2) for row in rows]
            out: Tensor = attention(
                self, *batched, attention_mask=None, scaling=self.scaling, dropout=0.0, is_causal=False, **kwargs
            )[0]
            return out.reshape(-1, self.dim)

        distinct = torch.unique(lengths).tolist()
        if len(distinct) == 1:
            joined = attend([query, key, value], distinct[0])
        else:
            joined = torch.empty_like(hidden_states)
            for length in distinct:
                first = starts[lengths == length].long()
                index = (first[:, None] + torch.arange(length, device=first.device)).flatten()
                joined = joined.index_copy(0, index, attend([row[index] for row in (query, key, value)], length))
        projected: Tensor = self.proj(joined)
        return projected

    for block in tower.blocks:  # type: ignore[union-attr]
        attention: Any = block.attn  # type: ignore[union-attr]
        # On a model spread over devices, accelerate's hook is `forward`, and calls what it finds here.
        place = "_old_forward" if hasattr(attention, "_hf_hook") else "forward"
        setattr(attention, place, MethodType(forward, attention))
