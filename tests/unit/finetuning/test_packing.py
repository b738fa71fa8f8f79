"""Losses and gradients of a step do not depend on how it is batched: packed, bucketed or padded, in any family."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.unit.vlm import conftest as tiny
from tests.unit.vlm.conftest import DIALOGUE, ask, clip, image
from workflow_scripts.finetuning.batching import Step, StepCollator
from workflow_scripts.finetuning.dataset import Sample
from workflow_scripts.settings import ModelSettings, RecipeSettings
from workflow_scripts.vlm.conversation import Example
from workflow_scripts.vlm.encode import collate, encode, pack, visual_tokens
from workflow_scripts.vlm.load import VLM, load
from workflow_scripts.vlm.loss import token_loss

settings_of = tiny.settings_of
EXAMPLES = (
    Example(DIALOGUE, clip(8, seed=1)),
    Example(DIALOGUE[:2], clip(3, seed=2)),
    Example(DIALOGUE[:2], clip(16, seconds=40.0, seed=3)),
    Example(DIALOGUE, (image(4), image(5))),
    Example(ask("Is there a dotted one?", "yes"), None),
    Example(DIALOGUE[2:], clip(8, seed=6)),
)
LOSS, GRADIENT = 1e-5, 1e-4
"""Largest difference, relative: of losses, and of gradients, as the norm of the difference to the norm."""


@pytest.fixture(scope="session", params=sorted(tiny.MODELS))
def trained(request: pytest.FixtureRequest, settings_of: Callable[[str], ModelSettings]) -> VLM:
    """The tiny model of each family, loaded as for training."""
    return load(settings_of(request.param), attention="sdpa")


def samples(vlm: VLM) -> list[Sample]:
    found = []
    for number, example in enumerate(EXAMPLES):
        inputs = encode(vlm, example, supervise=True)
        length = len(inputs["input_ids"])
        found.append(Sample(str(number), 8, 8, length, visual_tokens(inputs), inputs))
    return found


def step(vlm: VLM, batching: str, tokens: int | None = None) -> Step:
    recipe = RecipeSettings(name="r", batch_size=6, micro_batch_size=3, batching=batching, micro_batch_tokens=tokens)  # type: ignore[arg-type]
    return StepCollator(vlm, recipe)(samples(vlm))


def loss_and_gradient(vlm: VLM, step: Step) -> tuple[float, torch.Tensor]:
    vlm.model.zero_grad()
    total = 0.0
    for batch in step.micro_batches:
        loss = token_loss(vlm.model, batch, step.supervised_tokens)
        loss.backward()
        total += loss.item()
    return total, torch.cat([p.grad.flatten() for p in vlm.model.parameters() if p.grad is not None])


def test_batching_changes_neither_loss_nor_gradient(trained: VLM) -> None:
    alone = Step(tuple(collate(trained, [one.inputs]) for one in samples(trained)), ())
    loss, gradient = loss_and_gradient(trained, alone)
    for batching in ("packed", "bucketed", "padded"):
        cut = step(trained, batching)
        assert cut.supervised_tokens == alone.supervised_tokens
        assert len(cut.micro_batches) < len(alone.micro_batches)
        same_loss, same_gradient = loss_and_gradient(trained, cut)
        assert same_loss == pytest.approx(loss, rel=LOSS), batching
        assert (same_gradient - gradient).norm() < GRADIENT * gradient.norm(), batching


def test_a_packed_row_holds_no_padding(trained: VLM) -> None:
    lengths = [one.tokens for one in samples(trained)]
    packed, bucketed, padded = (step(trained, name) for name in ("packed", "bucketed", "padded"))
    assert packed.computed_tokens == sum(lengths) < bucketed.computed_tokens < padded.computed_tokens
    assert all("attention_mask" not in batch for batch in packed.micro_batches)
    assert sum(sum(batch["example_lengths"]) for batch in packed.micro_batches) == sum(lengths)


def test_a_sample_sees_nothing_of_its_neighbours(trained: VLM) -> None:
    """The same sample behind two different ones has the same logits; behind itself alone as well."""
    encoded = [one.inputs for one in samples(trained)]
    length = len(encoded[1]["input_ids"])
    with torch.no_grad():
        behind = [
            trained.model(**without_labels(pack(trained, [*others, encoded[1]]))).logits[0, -length:]
            for others in ([], [encoded[0]], [encoded[3], encoded[2]])
        ]
    for other in behind[1:]:
        torch.testing.assert_close(other, behind[0], atol=2e-5, rtol=2e-5)


def without_labels(batch: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in batch.items() if key != "labels"}


def test_the_first_token_of_a_sample_is_predicted_from_none(trained: VLM) -> None:
    encoded = [dict(one.inputs) for one in samples(trained)[:2]]
    for one in encoded:
        one["labels"] = one["input_ids"].clone()
    labels = pack(trained, encoded)["labels"][0]
    first = len(encoded[0]["input_ids"])
    assert (labels == -100).nonzero().flatten().tolist() == [0, first]
    assert torch.equal(labels[1:first], encoded[0]["input_ids"][1:])


MINIATURE = Path(__file__).parents[3] / "resources" / "miniature" / "qwen2.5-vl-7b"


@pytest.mark.slow
def test_batching_does_not_change_the_loss_curve(world: Any, run_train: Callable[..., Path]) -> None:
    """A run from the miniature study's base on mixed budgets, in float32. Steps carry rounding on to later ones."""
    settings = {"model": {**world.model, "source": str(MINIATURE)}, "epochs": 2, "micro_batch_size": 4}
    curves = {}
    for batching in ("packed", "bucketed", "padded"):
        run = run_train(batching, **settings, batching=batching)
        lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        curves[batching] = torch.tensor([[line["loss"], line["grad_norm"]] for line in lines], dtype=torch.float64)
    assert len(curves["packed"]) == 12
    assert curves["padded"][-1, 0] < 0.5 * curves["padded"][0, 0]
    for batching in ("packed", "bucketed"):
        torch.testing.assert_close(curves[batching], curves["padded"], rtol=2e-5, atol=0)
        assert not torch.equal(curves[batching], curves["padded"])
