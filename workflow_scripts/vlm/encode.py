"""Model inputs from a conversation with media: one example at a time, then batches."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from workflow_scripts.settings import InputError
from workflow_scripts.vlm.conversation import Example, Turn, fill, skeleton
from workflow_scripts.vlm.families import Prepared
from workflow_scripts.vlm.load import VLM
from workflow_scripts.vlm.media import Clip

IGNORED = -100
"""Label of a token that does not count in the loss (transformers' convention)."""

_PER_TOKEN = {"labels": IGNORED, "mm_token_type_ids": 0}
_COUNT = "visual_tokens"


def encode(vlm: VLM, example: Example, *, supervise: bool) -> dict[str, Tensor]:
    """Encode one conversation.

    Args:
        vlm: a loaded model; its weights are not used.
        example: turns and media.
        supervise: True for training: labels on what the assistant says and on its end-of-turn tokens. False for
            inference: the text ends with the prompt for the next answer.

    Returns:
        ``input_ids [L]``; ``labels [L]`` if supervised, -100 where no loss is taken; ``visual_tokens []``; and the
        family's pixel tensors, grids and times.

    Raises:
        InputError: more than ``max_length`` tokens, a media placeholder in a turn's text, or no user turn for media.
    """
    return _encode(vlm, example, _prepare(vlm, example), supervise)


def encode_all(vlm: VLM, examples: Sequence[Example], *, supervise: bool) -> list[dict[str, Tensor]]:
    """Encode conversations as ``encode`` does; media that several of them show, as one object, are prepared once.

    Their pixel tensors are shared, so they are not to be changed in place.
    """
    prepared: dict[int, Prepared] = {}
    for example in examples:
        if id(example.media) not in prepared:
            prepared[id(example.media)] = _prepare(vlm, example)
    return [_encode(vlm, example, prepared[id(example.media)], supervise) for example in examples]


def _encode(vlm: VLM, example: Example, prepared: Prepared, supervise: bool) -> dict[str, Tensor]:
    """Encode one conversation whose media are prepared."""
    text, spans = _text(vlm, example, prompt=not supervise)
    for found, replacement in prepared.substitutions.items():
        at = text.index(found)
        text = text.replace(found, replacement, 1)
        shift = len(replacement) - len(found)
        spans = [(start + shift, end + shift) if start >= at else (start, end) for start, end in spans]

    tokenizer = vlm.tokenizer
    bos = tokenizer.bos_token
    encoding = tokenizer.backend_tokenizer.encode(  # type: ignore[attr-defined]
        text, add_special_tokens=not (bos and text.startswith(bos))
    )
    ids = np.array(encoding.ids, dtype=np.int64)
    is_placeholder = np.isin(ids, vlm.placeholder_ids)
    if int(is_placeholder.sum()) != len(prepared.counts):
        raise InputError(
            f"model {vlm.settings.name}: the text holds {int(is_placeholder.sum())} media placeholders; "
            f"expected {len(prepared.counts)}"
        )
    repeats = np.ones(len(ids), dtype=np.int64)
    repeats[is_placeholder] = prepared.counts
    length = int(repeats.sum())
    if length > vlm.settings.max_length:
        raise InputError(
            f"model {vlm.settings.name}: a sample has {length} tokens, {sum(prepared.counts)} of them visual; "
            f"expected at most max_length = {vlm.settings.max_length}"
        )

    input_ids = torch.from_numpy(np.repeat(ids, repeats))
    encoded = {"input_ids": input_ids}
    if supervise:
        offsets = np.array(encoding.offsets, dtype=np.int64)
        said = np.zeros(len(ids), dtype=bool)
        for start, end in spans:
            said |= (offsets[:, 0] < end) & (offsets[:, 1] > start)
        encoded["labels"] = torch.from_numpy(np.repeat(np.where(said, ids, IGNORED), repeats))
    encoded.update(vlm.family.token_tensors(vlm, input_ids))
    encoded.update(prepared.tensors)
    encoded[_COUNT] = torch.tensor(sum(prepared.counts))
    return encoded


def pack(vlm: VLM, encoded: Sequence[dict[str, Tensor]]) -> dict[str, Any]:
    """Put encoded examples behind each other in one row, without padding, for ``model(**batch)``.

    The model must have been loaded for packed rows (``load(..., attention=...)``), or it sees across examples. Padding
    and packing give the same logits within rounding.

    Args:
        vlm: the model they were encoded for.
        encoded: results of ``encode``, in any mix of images, videos and text.

    Returns:
        ``input_ids`` and, where present, ``labels`` and ``mm_token_type_ids`` ``[1, L]``, L the tokens of all examples;
        ``position_ids [1, L]``, for Qwen ``[4, 1, L]``, anew from 0 for each example; ``example_lengths``, a tuple of
        their tokens; media tensors joined over examples. No ``attention_mask``: with one, transformers does not look
        for examples in a row. The first token of an example is not to be predicted from the one before, whatever its
        label.

    Raises:
        InputError: there is nothing to join.
    """
    if not encoded:
        raise InputError("pack: 0 examples; expected at least one")
    rows = {
        key: torch.cat([one[key] for one in encoded])[None] for key in ("input_ids", *_PER_TOKEN) if key in encoded[0]
    }
    lengths = tuple(len(one["input_ids"]) for one in encoded)
    if "labels" in rows:
        rows["labels"][0, np.cumsum((0, *lengths[:-1]))] = IGNORED
    alone = (collate(vlm, [one])["position_ids"] for one in encoded)
    positions = vlm.family.pack_positions(list(alone))
    return {**rows, "position_ids": positions, "example_lengths": lengths, **_join_media(vlm, encoded)}


def collate(
    vlm: VLM, encoded: Sequence[dict[str, Tensor]], *, padding_side: Literal["left", "right"] = "right"
) -> dict[str, Tensor]:
    """Join encoded examples, in any mix of images, videos and text, to a batch for ``model(**batch)``.

    Args:
        vlm: the model they were encoded for.
        encoded: results of ``encode``.
        padding_side: ``right`` for training, ``left`` for generation.

    Returns:
        ``input_ids``, ``attention_mask`` and, where present, ``labels`` and ``mm_token_type_ids`` ``[B, L]``;
        ``position_ids [B, L]``, for Qwen ``[3, B, L]``; media tensors joined over examples.

    Raises:
        InputError: ``padding_side`` is neither, or there is nothing to join.
    """
    if padding_side not in ("left", "right") or not encoded:
        raise InputError(f"collate: {len(encoded)} examples, padding_side {padding_side!r}; expected left or right")
    length = max(len(one["input_ids"]) for one in encoded)

    def pad(key: str, value: int) -> Tensor:
        rows = torch.full((len(encoded), length), value, dtype=encoded[0][key].dtype)
        for row, one in zip(rows, encoded, strict=True):
            start = length - len(one[key]) if padding_side == "left" else 0
            row[start : start + len(one[key])] = one[key]
        return rows

    batch = {"input_ids": pad("input_ids", padding_id(vlm))}
    lengths = torch.tensor([len(one["input_ids"]) for one in encoded])
    columns = torch.arange(length)[None]
    mask = columns >= (length - lengths)[:, None] if padding_side == "left" else columns < lengths[:, None]
    batch["attention_mask"] = mask.long()
    for key, value in _PER_TOKEN.items():
        if key in encoded[0]:
            batch[key] = pad(key, value)
    batch.update(_join_media(vlm, encoded))
    batch["position_ids"] = vlm.family.position_ids(vlm, batch)
    return batch


def padding_id(vlm: VLM) -> int:
    """The token that stands where there is none."""
    pad_id = vlm.tokenizer.pad_token_id
    return int(pad_id if pad_id is not None else vlm.tokenizer.eos_token_id)


def _join_media(vlm: VLM, encoded: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Join what is not one entry a token."""
    keys = {key: None for one in encoded for key in one if key not in {"input_ids", _COUNT, *_PER_TOKEN}}
    return {key: vlm.family.join(key, [one[key] for one in encoded if key in one]) for key in keys}


def visual_tokens(encoded: dict[str, Tensor]) -> int:
    """Count the tokens of an encoded example that stand for image or video features."""
    return int(encoded[_COUNT])


def _prepare(vlm: VLM, example: Example) -> Prepared:
    """Turn the media of an example, if any, into model inputs."""
    if example.media is None or len(example.media) == 0:
        return Prepared({}, ())
    if isinstance(example.media, Clip):
        return vlm.family.prepare_clip(vlm, example.media)
    return vlm.family.prepare_images(vlm, example.media)


def _text(vlm: VLM, example: Example, *, prompt: bool) -> tuple[str, list[tuple[int, int]]]:
    """Write the conversation as the chat template does; the template runs once for each sequence of roles."""
    turns: tuple[Turn, ...] = example.turns
    for turn in turns:
        for token in vlm.family.placeholders:
            if token in turn.text:
                raise InputError(f"conversation: a {turn.role} turn holds the media placeholder {token}; remove it")
    roles = tuple(turn.role for turn in turns)
    content = vlm.family.content(example.media) if example.media is not None else []
    if content and "user" not in roles:
        raise InputError("conversation: media without a user turn; expected at least one user turn")
    key = (roles, tuple(entry["type"] for entry in content), prompt)
    if key not in vlm.skeletons:
        end_of_turn = vlm.family.end_of_turn(vlm.processor)
        vlm.skeletons[key] = skeleton(vlm.processor, roles, content, end_of_turn, prompt)
    return fill(vlm.skeletons[key], turns)
