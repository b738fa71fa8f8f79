"""What is trained, parameter by parameter."""

from typing import Any

import pytest
import torch

from workflow_scripts.finetuning.parameters import count_trainable, optimizer_groups
from workflow_scripts.settings import InputError, ModelSettings, RecipeSettings
from workflow_scripts.vlm.conversation import Example, Turn
from workflow_scripts.vlm.encode import collate, encode
from workflow_scripts.vlm.load import VLM, load
from workflow_scripts.vlm.loss import token_loss
from workflow_scripts.vlm.media import Clip
from workflow_scripts.vlm.trainable import prepare

LANGUAGE = {"vision_tower": 0, "projector": 0, "language_model": 1e-4}


@pytest.fixture
def vlm(world: Any) -> VLM:
    return load(ModelSettings(**world.model))


def recipe(**changes: Any) -> RecipeSettings:
    return RecipeSettings(name="r", **changes)


def batch(vlm: VLM) -> dict[str, torch.Tensor]:
    frames = torch.randint(0, 256, (4, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    clip = Clip(frames.numpy(), torch.arange(4).double().numpy(), 4.0)
    turns = (Turn("user", "Which color is the screen?"), Turn("assistant", "blue."))
    return collate(vlm, [encode(vlm, Example(turns, clip), supervise=True)])


def test_each_part_has_its_rate_and_each_parameter_one_group(vlm: VLM) -> None:
    rates = {"vision_tower": 1e-5, "projector": 2e-5, "language_model": 3e-5}
    model, part_of = prepare(vlm, recipe(learning_rates=rates, weight_decay=0.1))
    groups = optimizer_groups(
        model, part_of, recipe(learning_rates=rates, weight_decay=0.1), frozenset(["lm_head.weight"])
    )
    of_group = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(of_group) == sorted(id(parameter) for parameter in model.parameters())
    for group in groups:
        assert group["lr"] == rates[group["part"]]
        names = {name for name, p in model.named_parameters() if any(p is one for one in group["params"])}
        assert {part_of[name] for name in names} == {group["part"]}
        assert (group["weight_decay"] == 0.1) == (names == {"lm_head.weight"})


def test_a_parameter_that_moves_though_it_should_not_is_named(vlm: VLM) -> None:
    frozen = recipe(learning_rates=LANGUAGE)
    model, part_of = prepare(vlm, frozen)
    assert count_trainable(model, part_of, frozen)["vision_tower"] == 0
    name, parameter = next((name, p) for name, p in model.named_parameters() if part_of[name] == "vision_tower")
    parameter.requires_grad_(True)
    with pytest.raises(AssertionError, match=rf"parameter {name} of the vision_tower has requires_grad=True"):
        count_trainable(model, part_of, frozen)
    parameter.requires_grad_(False)
    model.get_parameter("lm_head.weight").requires_grad_(False)  # what `lm_head.requires_grad = False` does not do
    with pytest.raises(AssertionError, match=r"parameter lm_head.weight of the language_model has requires_grad=False"):
        count_trainable(model, part_of, frozen)


def test_lora_without_a_layer_for_a_part_is_refused(vlm: VLM) -> None:
    lora = recipe(method="lora", learning_rates={**LANGUAGE, "projector": 1e-4})
    with pytest.raises(InputError, match=r"learning_rates.projector is 0.0001, but no linear layer of the projector"):
        prepare(vlm, lora)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_checkpointing_spares_a_frozen_vision_tower_the_backward_pass(world: Any, method: str) -> None:
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)  # adapters start at random
        vlm = load(ModelSettings(**world.model))
        model, _ = prepare(vlm, recipe(method=method, learning_rates=LANGUAGE, lora={"dropout": 0}))
        if checkpointing:
            model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
        seen = []
        hook = vlm.model.model.visual.merger.register_forward_hook(lambda *given: seen.append(given[-1].requires_grad))  # type: ignore[union-attr] # noqa: B023
        token_loss(model.train(), batch(vlm), 1.0).backward()
        hook.remove()
        assert seen == [False]
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    kept, repeated = gradients
    assert kept.keys() == repeated.keys()
    assert all(torch.equal(kept[name], repeated[name]) for name in kept)
