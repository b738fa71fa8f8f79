"""Answers from a model: greedy text, and the likelihood of single-token options."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.nn.functional import linear
from transformers import GenerationConfig

from workflow_scripts.settings import InputError
from workflow_scripts.vlm.conversation import Example, Turn
from workflow_scripts.vlm.encode import IGNORED, collate, encode, encode_all
from workflow_scripts.vlm.load import VLM
from workflow_scripts.vlm.prefix import groups_of_media, read_media

PROJECTED_ROWS = 16_384  # of the output embeddings are float32 at a time


def generate(vlm: VLM, examples: Sequence[Example], *, max_new_tokens: int, stop: Sequence[str] = ()) -> list[str]:
    """Answer a batch greedily: one beam, no sampling and no penalty, whatever the model's generation_config says.

    Media that several examples show, as one object, are read once: see ``prefix``.

    Args:
        vlm: a loaded model.
        examples: conversations that end with a user turn. One padded batch: group them by length first.
        max_new_tokens: at most this many tokens an answer.
        stop: an answer is cut before the first of these.

    Returns:
        The answers without special tokens and outer white space.
    """
    if not examples:
        return []
    encoded = encode_all(vlm, examples, supervise=False)
    groups = groups_of_media(examples)
    if len(set(groups)) < len(groups):
        inputs = read_media(vlm, encoded, groups)
    else:
        batch = collate(vlm, encoded, padding_side="left")
        inputs = {key: tensor.to(vlm.device) for key, tensor in batch.items()}
    # The values saved with a model fill whatever a call leaves unset, penalties included, so they are put aside. An
    # adapter's wrapper passes calls on to the model below, which has its own.
    model: Any = vlm.model.get_base_model() if hasattr(vlm.model, "get_base_model") else vlm.model
    saved = model.generation_config
    model.generation_config = _greedy(vlm, max_new_tokens)
    try:
        with torch.inference_mode():
            tokens = model.generate(**inputs)
    finally:
        model.generation_config = saved
    answers = vlm.tokenizer.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return [_cut(answer, stop) for answer in answers]


def option_logprobs(vlm: VLM, examples: Sequence[Example], options: Sequence[Sequence[str]]) -> np.ndarray:
    """Score single-token answers by one forward pass.

    The last hidden state is projected to the vocabulary in float32: in bfloat16 logits of usual size lie 0.125 apart,
    and options would tie.

    Args:
        vlm: a loaded model.
        examples: conversations that end with a user turn.
        options: for each example the same number of answers.

    Returns:
        float64 ``[n, n_options]``: log-probability of each option as the next token.

    Raises:
        InputError: an option is not one token, or the numbers do not match.
    """
    if len(examples) != len(options) or len({len(row) for row in options}) > 1:
        raise InputError(f"options: {len(options)} rows for {len(examples)} examples; expected one each, equally long")
    if not examples:
        return np.zeros((0, 0))
    ids = torch.tensor([[_option_id(vlm, option) for option in row] for row in options])
    batch = collate(vlm, [encode(vlm, example, supervise=False) for example in examples], padding_side="left")
    inputs = {key: tensor.to(vlm.device) for key, tensor in batch.items()}
    hidden: list[torch.Tensor] = []
    head: Any = vlm.model.get_output_embeddings()
    handle = head.register_forward_pre_hook(lambda _, arguments: hidden.append(arguments[0]))
    try:
        with torch.inference_mode():
            vlm.model(**inputs, use_cache=False, logits_to_keep=1)
            logits = _project(hidden[0][:, -1], head)
    finally:
        handle.remove()
    scores = torch.log_softmax(logits.double(), dim=-1).gather(1, ids)
    result: np.ndarray = scores.numpy()
    return result


def end_token_ids(vlm: VLM) -> list[int]:
    """Tokens that end an answer: the family's end of turn, the tokenizer's end and those of the saved configuration."""
    tokenizer = vlm.tokenizer
    saved = vlm.model.generation_config.eos_token_id if vlm.model.generation_config else None
    ends = {int(tokenizer.convert_tokens_to_ids(vlm.family.end_of_turn(vlm.processor))), int(tokenizer.eos_token_id)}
    ends.update(saved if isinstance(saved, list) else [saved] if saved is not None else [])
    return sorted(ends)


def _project(hidden: torch.Tensor, head: Any) -> torch.Tensor:
    """Float32 logits [B, V] on the CPU of hidden states [B, D], whatever number format the head is in."""
    hidden = hidden.to(head.weight.device, torch.float32)
    logits = torch.cat([linear(hidden, rows.float()) for rows in head.weight.split(PROJECTED_ROWS)], dim=-1)
    return (logits if head.bias is None else logits + head.bias.float()).cpu()


def _greedy(vlm: VLM, max_new_tokens: int) -> GenerationConfig:
    """Build the only decoding this study uses."""
    ends = end_token_ids(vlm)
    pad_id = vlm.tokenizer.pad_token_id
    return GenerationConfig(
        do_sample=False,
        num_beams=1,
        max_new_tokens=max_new_tokens,
        eos_token_id=ends,
        pad_token_id=ends[0] if pad_id is None else pad_id,
    )


def _cut(answer: str, stop: Sequence[str]) -> str:
    """Cut an answer before the first stop string."""
    ends = [at for text in stop if text and (at := answer.find(text)) >= 0]
    return answer[: min(ends, default=len(answer))].strip()


def _option_id(vlm: VLM, option: str) -> int:
    """Find the token of an option where it would stand: right after the prompt for an answer."""
    if option not in vlm.option_ids:
        encoded = encode(vlm, Example((Turn("user", "?"), Turn("assistant", option)), None), supervise=True)
        end = int(vlm.tokenizer.convert_tokens_to_ids(vlm.family.end_of_turn(vlm.processor)))
        said = [int(token) for token in encoded["labels"] if int(token) not in (IGNORED, end)]
        if len(said) != 1:
            raise InputError(f"option {option!r} is {len(said)} tokens of {vlm.settings.name}; expected a single one")
        vlm.option_ids[option] = said[0]
    return vlm.option_ids[option]
