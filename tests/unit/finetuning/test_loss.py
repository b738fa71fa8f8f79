"""The loss of a step does not depend on how the step is cut into micro-batches."""

from typing import Any

import pytest
import torch

from workflow_scripts.finetuning.batching import Step, StepCollator
from workflow_scripts.finetuning.dataset import Sample, VideoConversations
from workflow_scripts.finetuning.samples import quarantined_videos, read_samples, split_quarantined
from workflow_scripts.frames.store import FrameStore
from workflow_scripts.settings import InputError, ModelSettings, RecipeSettings
from workflow_scripts.vlm.encode import collate
from workflow_scripts.vlm.load import VLM, load
from workflow_scripts.vlm.loss import token_loss


@pytest.fixture(scope="module")
def vlm(world: Any) -> VLM:
    return load(ModelSettings(**world.model), attention="sdpa")


@pytest.fixture(scope="module")
def dataset(world: Any, vlm: VLM) -> VideoConversations:
    store = FrameStore(world.store)
    samples, _ = split_quarantined(
        read_samples(world.manifest, world.budgets), store.videos, quarantined_videos([world.store])
    )
    return VideoConversations(samples, store, vlm)


def collator(vlm: VLM, samples: int, batching: str = "packed") -> StepCollator:
    recipe = RecipeSettings(name="r", batch_size=4, micro_batch_size=samples, batching=batching)  # type: ignore[arg-type]
    return StepCollator(vlm, recipe)


def loss_and_gradient(vlm: VLM, step: Step) -> tuple[float, torch.Tensor]:
    vlm.model.zero_grad()
    total = 0.0
    for batch in step.micro_batches:
        loss = token_loss(vlm.model, batch, step.supervised_tokens)
        loss.backward()
        total += loss.item()
    return total, torch.cat([p.grad.flatten() for p in vlm.model.parameters() if p.grad is not None])


def test_grouping_changes_neither_loss_nor_gradient(vlm: VLM, dataset: VideoConversations) -> None:
    samples = [dataset[number] for number in (0, 2, 5, 7)]
    padded = Step((collate(vlm, [sample.inputs for sample in samples]),), tuple(samples))
    grouped = collator(vlm, 2, "bucketed")(samples)
    assert len(grouped.micro_batches) >= 2
    assert grouped.supervised_tokens == padded.supervised_tokens
    assert grouped.computed_tokens < padded.computed_tokens
    loss, gradient = loss_and_gradient(vlm, padded)
    same_loss, same_gradient = loss_and_gradient(vlm, grouped)
    assert same_loss == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(same_gradient, gradient, rtol=1e-3, atol=1e-5)
    with torch.no_grad():
        assert loss == pytest.approx(vlm.model(**padded.micro_batches[0]).loss.item(), rel=1e-5)


def test_padding_a_step_changes_neither_loss_nor_gradient(vlm: VLM, dataset: VideoConversations) -> None:
    step = collator(vlm, 1)([dataset[0], dataset[1]])
    padded = step.padded(4)
    assert (len(padded.micro_batches), padded.padding) == (4, 2)
    assert padded.samples == step.samples
    assert padded.supervised_tokens == step.supervised_tokens
    assert padded.computed_tokens > step.computed_tokens
    loss, gradient = loss_and_gradient(vlm, step)
    same_loss, same_gradient = loss_and_gradient(vlm, padded)
    assert same_loss == loss
    assert torch.equal(same_gradient, gradient)


def test_answers_and_ends_of_turn_are_supervised(vlm: VLM, dataset: VideoConversations) -> None:
    sample = dataset[2]  # three turns; the video is blue
    labels = sample.inputs["labels"]
    said = vlm.tokenizer.decode(labels[labels != -100])
    assert said == "blue.<|im_end|>yes<|im_end|>yes<|im_end|>"
    assert torch.equal(labels[labels != -100], sample.inputs["input_ids"][labels != -100])


def test_frames_seen_are_recorded_beside_the_budget(dataset: VideoConversations) -> None:
    sample = dataset[2]
    assert (sample.budget, sample.frames) == (64, 16)  # the clip has 16
    assert sample.visual_tokens == 8 * 16


def test_a_stand_in_supervises_nothing(vlm: VLM, dataset: VideoConversations) -> None:
    step = collator(vlm, 1)([dataset[~3]])
    assert step.samples == ()
    assert step.supervised_tokens == 0
    assert token_loss(vlm.model, step.micro_batches[0], 1.0).item() == 0
    assert dataset[~3].sample_id == dataset[3].sample_id


def test_a_sample_too_long_is_named(world: Any, dataset: VideoConversations) -> None:
    short = load(ModelSettings(**{**world.model, "max_length": 100}), with_model=False)
    cut = VideoConversations.__new__(VideoConversations)
    cut.__dict__ = {**dataset.__dict__, "vlm": short}
    with pytest.raises(InputError, match=r"sample plain/\d\d with 16 frames.* max_length = 100"):
        cut.check_longest()


def test_a_sample_without_its_inputs_keeps_its_counts(dataset: VideoConversations) -> None:
    sample: Sample = dataset[0]
    assert sample.without_inputs().inputs == {}
    assert sample.without_inputs().tokens == len(sample.inputs["input_ids"])
