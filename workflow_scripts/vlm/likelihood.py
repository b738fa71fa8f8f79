"""How likely a model finds given answers: one forward pass, nothing generated."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from workflow_scripts.vlm.conversation import Example
from workflow_scripts.vlm.encode import IGNORED, collate, encode
from workflow_scripts.vlm.generate import PROJECTED_ROWS
from workflow_scripts.vlm.load import VLM

PROJECTED_TOKENS = 256  # of an answer have their logits, float32 [tokens, vocabulary], at a time


def answer_logprobs(vlm: VLM, examples: Sequence[Example]) -> tuple[np.ndarray, np.ndarray]:
    """Log-likelihood of what the assistant says in each example, given all that stands before each of its tokens.

    Hidden states are projected to the vocabulary in float32, and only at the tokens that answers are predicted from:
    memory does not grow with the frames.

    Args:
        vlm: a loaded model.
        examples: conversations with answers. One padded batch: group them by length first.

    Returns:
        float64 ``[n]``, natural logarithms, the sum over an example's supervised tokens (end-of-turn marks included);
        and int64 ``[n]``, how many those are.

    Raises:
        InputError: as ``encode``.
    """
    if not examples:
        return np.zeros(0), np.zeros(0, dtype=np.int64)
    batch = collate(vlm, [encode(vlm, example, supervise=True) for example in examples])
    following = batch.pop("labels")[:, 1:]
    rows, places = (following != IGNORED).nonzero(as_tuple=True)
    needed = places.unique()  # sorted
    hidden: list[torch.Tensor] = []
    head: Any = vlm.model.get_output_embeddings()
    handle = head.register_forward_pre_hook(lambda _, arguments: hidden.append(arguments[0]))
    try:
        with torch.inference_mode():
            inputs = {key: tensor.to(vlm.device) for key, tensor in batch.items()}
            vlm.model(**inputs, use_cache=False, logits_to_keep=needed.to(vlm.device))
            states = hidden[0][rows, torch.searchsorted(needed, places)]
            found = _logprobs(states, following[rows, places], head)
    finally:
        handle.remove()
    counts = torch.bincount(rows, minlength=len(examples))
    sums = torch.zeros(len(examples), dtype=torch.float64).index_add_(0, rows, found)
    return sums.numpy(), counts.numpy()


def _logprobs(states: torch.Tensor, tokens: torch.Tensor, head: Any) -> torch.Tensor:
    """float64 [n] on the CPU: log-probability of tokens [n] after hidden states [n, D]."""
    parts = []
    for some, said in zip(states.split(PROJECTED_TOKENS), tokens.split(PROJECTED_TOKENS), strict=True):
        some = some.to(head.weight.device, torch.float32)
        logits = torch.cat([some @ rows.float().T for rows in head.weight.split(PROJECTED_ROWS)], dim=-1)
        logits = logits if head.bias is None else logits + head.bias.float()
        chosen = logits.gather(1, said[:, None].to(logits.device))[:, 0]
        parts.append((chosen.double() - logits.double().logsumexp(-1)).cpu())
    return torch.cat(parts)
