"""The loss: cross-entropy summed over supervised tokens, divided by the number of them in the whole optimizer step.

The models' own loss is not used: the Qwen classes refuse the step's token count (`accepts_loss_kwargs = False`), which
would make it a mean of means over micro-batches, and it computes a row of logits for every token, of which the visual
ones, most of a long video's, are never supervised.
"""

from typing import Any

import torch
from torch.nn.functional import cross_entropy

from workflow_scripts.vlm.encode import IGNORED


def token_loss(model: Any, batch: dict[str, torch.Tensor], step_tokens: torch.Tensor | float) -> torch.Tensor:
    """The share of `batch` in the mean loss over the `step_tokens` supervised tokens of a step: float32 scalar.

    `batch` holds `labels` [B, L] aligned with `input_ids` (-100: not supervised) besides the model's inputs. Logits are
    computed for the positions that precede a supervised token of any row.
    """
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    targets = batch["labels"][:, 1:]
    positions = (targets != IGNORED).any(dim=0).nonzero().squeeze(1)
    logits = model(**inputs, logits_to_keep=positions, use_cache=False).logits
    summed = cross_entropy(
        logits.float().flatten(0, 1), targets[:, positions].flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return summed / step_tokens
