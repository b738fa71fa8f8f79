"""What the questions about one video have in common, read once: everything up to the last token of its media.

A video of 64 frames is thousands of tokens and a question some dozens, so this is nearly all of the work. Attention is
causal: keys and values of those tokens do not depend on what follows them, and answers are the same within rounding.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from workflow_scripts.vlm.conversation import Example
from workflow_scripts.vlm.encode import collate, padding_id
from workflow_scripts.vlm.load import VLM

PER_TOKEN = ("input_ids", "attention_mask", "mm_token_type_ids", "position_ids")


def groups_of_media(examples: Sequence[Example]) -> list[int]:
    """A number for each example, from 0 in order of appearance: the same where the media are one object.

    Examples without media have a number of their own.
    """
    numbers: dict[object, int] = {}
    keys = ((at, None) if one.media is None else (None, id(one.media)) for at, one in enumerate(examples))
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def read_media(vlm: VLM, encoded: Sequence[dict[str, Tensor]], groups: Sequence[int]) -> dict[str, Any]:
    """Read each group's media once; what is left for ``model.generate`` to do.

    Args:
        vlm: a loaded model.
        encoded: results of ``encode_all`` without labels, B of them.
        groups: the group of each, as ``groups_of_media`` numbers them.

    Returns:
        ``input_ids`` and ``attention_mask`` ``[B, P + S]``, P the longest common part and S the longest rest, each
        padded on its left; ``position_ids [B, P + S]``, for Qwen ``[3, B, P + S]``; ``past_key_values`` of the first P.
    """
    # Without media a prompt may be anything; its first token, which the template writes, does as the common part.
    cuts = [_after_media(vlm, one["input_ids"]) for one in encoded]
    first = {group: at for at, group in reversed(list(enumerate(groups)))}
    for at, group in enumerate(groups):
        mine, its = (encoded[which]["input_ids"][: cuts[which]] for which in (at, first[group]))
        if not torch.equal(mine, its):
            raise ValueError(f"examples {first[group]} and {at} show one medium but differ before its end")
    # With one token more, for its position: the family's own rule says where text goes on after its media.
    heads = [_head(encoded[first[group]], cuts[first[group]] + 1) for group in sorted(first)]
    batch = {key: tensor.to(vlm.device) for key, tensor in collate(vlm, heads, padding_side="left").items()}
    following = batch["position_ids"][..., -1:]
    common = {key: tensor[..., :-1] if key in PER_TOKEN else tensor for key, tensor in batch.items()}
    with torch.inference_mode():
        cache = vlm.model(**common, use_cache=True, logits_to_keep=1).past_key_values
    rows = torch.tensor(groups, device=vlm.device)
    cache.batch_select_indices(rows)

    rests = [one["input_ids"][cut:] for one, cut in zip(encoded, cuts, strict=True)]
    length = max(map(len, rests))
    ids = torch.full((len(rests), length), padding_id(vlm), device=vlm.device)
    mask = torch.zeros_like(ids)
    for row, rest in enumerate(rests):
        ids[row, length - len(rest) :] = rest.to(ids.device)
        mask[row, length - len(rest) :] = 1
    positions = following[..., rows, :] + (mask.cumsum(-1) - 1).clamp(min=0)
    return {
        "input_ids": torch.cat([common["input_ids"][rows], ids], dim=-1),
        "attention_mask": torch.cat([common["attention_mask"][rows], mask], dim=-1),
        "position_ids": torch.cat([common["position_ids"][..., rows, :], positions], dim=-1),
        "past_key_values": cache,
    }


def _after_media(vlm: VLM, input_ids: Tensor) -> int:
    """Number of tokens up to and with the last one of the media; 1 where there are none."""
    places = torch.isin(input_ids, torch.tensor(vlm.placeholder_ids)).nonzero()
    return int(places[-1]) + 1 if len(places) else 1


def _head(encoded: dict[str, Tensor], length: int) -> dict[str, Tensor]:
    """The first tokens of an encoded example, with all its media."""
    return {key: value[:length] if key in PER_TOKEN else value for key, value in encoded.items()}
