"""Loading, saving, adapters and the split into parts."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate import dispatch_model
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForImageTextToText, AutoProcessor

from workflow_scripts.settings import InputError, ModelSettings
from workflow_scripts.vlm.conversation import Example
from workflow_scripts.vlm.encode import collate, encode
from workflow_scripts.vlm.families import get_family
from workflow_scripts.vlm.generate import generate
from workflow_scripts.vlm.load import VLM, load
from workflow_scripts.vlm.parts import part_of, parts

from .conftest import DIALOGUE, MODELS, examples


def logits(vlm: VLM) -> torch.Tensor:
    encoded = [encode(vlm, example, supervise=True) for example in examples()]
    with torch.no_grad():
        result: torch.Tensor = vlm.model(**collate(vlm, encoded)).logits
    return result


def test_saved_weights_give_the_same_logits(vlm: VLM, tmp_path: Path) -> None:
    vlm.model.save_pretrained(tmp_path)
    vlm.processor.save_pretrained(tmp_path)
    again = load(vlm.settings.model_copy(update={"source": str(tmp_path)}))
    assert torch.equal(logits(vlm), logits(again))
    plain = AutoModelForImageTextToText.from_pretrained(tmp_path)
    assert type(plain) is vlm.family.model_class
    assert plain.config.architectures == [vlm.family.model_class.__name__]
    state = vlm.model.state_dict()
    assert set(plain.state_dict()) == set(state)
    assert all(torch.equal(tensor, state[name]) for name, tensor in plain.state_dict().items())
    processor = AutoProcessor.from_pretrained(tmp_path)
    assert processor.chat_template == vlm.processor.chat_template
    assert type(processor) is type(vlm.processor)


def test_parts_partition_the_parameters(vlm: VLM) -> None:
    split = parts(vlm)
    names = [name for group in split.values() for name, _ in group]
    assert sorted(names) == sorted(name for name, _ in vlm.model.named_parameters())
    assert len(names) == len(set(names))
    assert all(split.values())
    for part, words in {
        "vision_tower": ("visual.blocks", "vision_tower.", "visual.patch_embed", "visual.pos_embed"),
        "projector": ("merger", "multi_modal_projector", "image_newline"),
        "language_model": ("language_model", "lm_head"),
    }.items():
        for name, _ in split[part]:  # type: ignore[index]
            assert any(word in name for word in words), name
    with pytest.raises(InputError, match="belongs to no part"):
        part_of(vlm, "model.something_new.weight")


def test_an_adapter_is_merged_or_works_beside_the_weights(
    vlm: VLM, settings_of: Callable[[str], ModelSettings], tmp_path: Path
) -> None:
    base = load(vlm.settings)
    torch.manual_seed(0)
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    tuned = get_peft_model(base.model, config)
    tuned.save_pretrained(tmp_path)
    wrapped = VLM(base.settings, base.family, tuned, base.processor, base.config)
    expected = logits(wrapped)
    assert sum(len(group) for group in parts(wrapped).values()) == len(list(tuned.named_parameters()))
    reloaded = load(vlm.settings, adapter=tmp_path)
    prompt = [Example(DIALOGUE[:1], None)]
    assert generate(wrapped, prompt, max_new_tokens=6) == generate(reloaded, prompt, max_new_tokens=6)
    merged = logits(reloaded)
    torch.testing.assert_close(merged, expected, atol=1e-3, rtol=1e-3)
    assert (merged - logits(vlm)).abs().max() > 1e-2

    beside = load(vlm.settings, adapter=tmp_path, merge=False)
    assert generate(beside, prompt, max_new_tokens=6) == generate(reloaded, prompt, max_new_tokens=6)
    torch.testing.assert_close(logits(beside), expected)
    with pytest.raises(InputError, match=r"adapter .*nowhere cannot be loaded"):
        load(vlm.settings, adapter=tmp_path / "nowhere", merge=False)


def test_half_precision_and_device(settings_of: Callable[[str], ModelSettings]) -> None:
    for family in MODELS:
        half = load(settings_of(family).model_copy(update={"precision": "bfloat16"}))
        assert half.dtype == torch.bfloat16
        assert half.device.type == "cpu"
        assert torch.isfinite(logits(half).float()).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "/nowhere/at-all"}, "cannot be loaded"),
        ({"family": "qwen3-vl"}, "is of type qwen2_5_vl; expected qwen3_vl"),
    ],
)
def test_a_wrong_source_is_named(
    settings_of: Callable[[str], ModelSettings], change: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        load(settings_of("qwen2.5-vl").model_copy(update=change))


def test_a_fixed_resolution_cannot_be_changed(settings_of: Callable[[str], ModelSettings]) -> None:
    for family in ("llava-1.5", "llava-next-video"):
        with pytest.raises(InputError, match="takes 64x64 pixels only"):
            load(settings_of(family).model_copy(update={"video_max_pixels": 1024}))
    with pytest.raises(InputError, match="expected a divisor"):
        load(settings_of("llava-1.5").model_copy(update={"video_pool_stride": 3}))


@pytest.mark.parametrize(
    ("device", "gpus", "spread", "expected"),
    [
        ("cuda", 2, True, "auto"),
        ("cuda", 2, False, None),
        ("cuda", 1, True, None),
        ("cuda:1", 2, True, None),
        ("cpu", 2, True, None),
    ],
)
def test_a_model_is_spread_where_asked_and_possible(
    settings_of: Callable[[str], ModelSettings],
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    gpus: int,
    spread: bool,
    expected: str | None,
) -> None:
    maps: list[object] = []

    def record(_source: str, **options: object) -> None:
        maps.append(options.get("device_map"))
        raise OSError("recorded")

    monkeypatch.setattr(get_family("qwen2.5-vl").model_class, "from_pretrained", record)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(InputError, match="recorded"):
        load(settings_of("qwen2.5-vl"), device=device, spread=spread)
    assert maps == [expected]


def test_what_a_family_changes_holds_below_the_hooks_of_a_spread_model(vlm: VLM) -> None:
    """The hooks of several devices, all of them the CPU: their places and calls are the same."""
    expected = logits(vlm)
    model = vlm.family.model_class.from_pretrained(vlm.settings.source, dtype=torch.float32)
    dispatch_model(model, {"": torch.device("cpu")}, force_hooks=True)  # the name "cpu" would mean offloading
    vlm.family.adapt(model, vlm.settings)
    hooked = VLM(vlm.settings, vlm.family, model.eval(), vlm.processor, vlm.config, vlm.temporal_positions)
    torch.testing.assert_close(logits(hooked), expected)
    plain, blocks = ([*getattr(getattr(one.model, "visual", None), "blocks", ())] for one in (vlm.model, model))
    for before, block in zip(plain, blocks, strict=True):
        assert block.attn._hf_hook.execution_device == torch.device("cpu")
        assert block.attn.forward.func.__module__ == "accelerate.hooks"
        assert block.attn._old_forward.__module__ == before.attn.forward.__module__


def test_a_spread_model_that_does_not_fit_is_refused(
    settings_of: Callable[[str], ModelSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(settings_of("qwen2.5-vl")).model
    model.hf_device_map = {"model.visual": 0, "model.language_model.layers.1": "cpu"}  # type: ignore[assignment]
    monkeypatch.setattr(get_family("qwen2.5-vl").model_class, "from_pretrained", lambda *_, **__: model)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match=r"1 modules, model.language_model.layers.1 first, do not fit the 2"):
        load(settings_of("qwen2.5-vl"), device="cuda", spread=True)
