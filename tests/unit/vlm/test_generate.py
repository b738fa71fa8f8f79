"""Answers: greedy decoding and option likelihoods against plain forward passes."""

import copy
from dataclasses import replace

import pytest
import torch

from workflow_scripts.settings import InputError
from workflow_scripts.vlm.conversation import Example
from workflow_scripts.vlm.encode import collate, encode, encode_all
from workflow_scripts.vlm.generate import end_token_ids, generate, option_logprobs
from workflow_scripts.vlm.load import VLM
from workflow_scripts.vlm.prefix import groups_of_media, read_media

from .conftest import DIALOGUE, ask, clip, image

PROMPTS = [
    Example(DIALOGUE[:1], (image(1),)),
    Example(DIALOGUE[:3], clip(9, seconds=40.0)),
    Example(ask("Is there a green one?"), clip(4)),
    Example(DIALOGUE[:1], (image(2), image(3))),
    Example(DIALOGUE[:1], None),
]


def greedy(vlm: VLM, example: Example, steps: int) -> str:
    """Append the likeliest token again and again, without a cache."""
    encoded = encode(vlm, example, supervise=False)
    said: list[int] = []
    for _ in range(steps):
        with torch.no_grad():
            token = int(vlm.model(**collate(vlm, [encoded])).logits[0, -1].argmax())
        if token in end_token_ids(vlm):
            break
        said.append(token)
        encoded["input_ids"] = torch.cat([encoded["input_ids"], torch.tensor([token])])
        if "mm_token_type_ids" in encoded:
            encoded["mm_token_type_ids"] = torch.cat([encoded["mm_token_type_ids"], torch.zeros(1).int()])
    return vlm.tokenizer.decode(said, skip_special_tokens=True).strip()


def test_generation_is_the_argmax_at_every_step(vlm: VLM) -> None:
    expected = [greedy(vlm, example, 8) for example in PROMPTS]
    assert generate(vlm, PROMPTS, max_new_tokens=8) == expected
    assert [generate(vlm, [example], max_new_tokens=8)[0] for example in PROMPTS] == expected
    assert len(set(expected)) > 1


def test_questions_about_one_medium_are_answered_as_if_alone(vlm: VLM) -> None:
    video, other, pictures = clip(9, seconds=40.0), clip(4), (image(2), image(3))
    asked = [
        Example(ask(text), media)
        for text, media in [
            ("Is there a green one?", video),
            ("How many red objects are there?", other),
            ("no", pictures),
            ("What is left of the striped one, and what is right of it?", video),
            ("a", None),
            ("b", video),
            ("Is there a blue one?", None),
            ("c", pictures),
        ]
    ]
    expected = [greedy(vlm, example, 8) for example in asked]
    assert generate(vlm, asked, max_new_tokens=8) == expected
    encoded = encode_all(vlm, asked, supervise=False)
    inputs = read_media(vlm, encoded, groups_of_media(asked))
    done = inputs["past_key_values"].get_seq_length()
    rest = {"input_ids": inputs["input_ids"][:, done:], "position_ids": inputs["position_ids"][..., done:]}
    with torch.no_grad():
        logits = vlm.model(**inputs | rest).logits
        for row, one in zip(logits, encoded, strict=True):
            alone = vlm.model(**collate(vlm, [one])).logits[0]
            torch.testing.assert_close(row[-5:], alone[-5:], rtol=1e-4, atol=1e-5)


def test_a_medium_is_read_once(vlm: VLM) -> None:
    video = clip(8)
    asked = [Example(ask(text), video) for text in ("Is there a green one?", "a", "How many red objects are there?")]
    read: list[int] = []
    tower = next(part for name, part in vlm.model.named_modules() if name.endswith(("visual", "vision_tower")))
    handle = tower.register_forward_pre_hook(lambda _, arguments: read.append(len(arguments[0])))
    try:
        generate(vlm, asked[:1], max_new_tokens=2)
        generate(vlm, asked, max_new_tokens=2)
    finally:
        handle.remove()
    assert len(read) == 2
    assert read[0] == read[1] > 0


def test_a_saved_generation_config_changes_nothing(vlm: VLM) -> None:
    expected = generate(vlm, PROMPTS, max_new_tokens=6)
    saved = vlm.model.generation_config
    assert saved is not None
    vlm.model.generation_config = type(saved)(
        do_sample=True, temperature=5.0, repetition_penalty=9.0, num_beams=3, eos_token_id=saved.eos_token_id
    )
    try:
        assert generate(vlm, PROMPTS, max_new_tokens=6) == expected
        assert vlm.model.generation_config.num_beams == 3
    finally:
        vlm.model.generation_config = saved


def test_an_answer_ends_at_the_end_of_turn_and_at_a_stop(vlm: VLM) -> None:
    """The output layer is bent so that the end-of-turn token always wins."""
    head = vlm.model.get_output_embeddings()
    end = int(vlm.tokenizer.convert_tokens_to_ids(vlm.family.end_of_turn(vlm.processor)))

    def prefer_end(_module: object, _inputs: object, logits: torch.Tensor) -> torch.Tensor:
        logits[..., end] += 1e4
        return logits

    handle = head.register_forward_hook(prefer_end)
    try:
        assert generate(vlm, PROMPTS[:3], max_new_tokens=8) == ["", "", ""]
    finally:
        handle.remove()
    whole = generate(vlm, PROMPTS[:1], max_new_tokens=12)[0]
    assert len(whole) > 2
    stop = whole[2:]
    assert generate(vlm, PROMPTS[:1], max_new_tokens=12, stop=["\u2603", stop]) == [whole[: whole.index(stop)].strip()]


def test_option_likelihoods_are_those_of_a_forward_pass(vlm: VLM) -> None:
    options = [["A", "B", "C", "D"]] * len(PROMPTS)
    scores = option_logprobs(vlm, PROMPTS, options)
    assert scores.shape == (len(PROMPTS), 4)
    space = "▁" if vlm.settings.family.startswith("llava") else ""
    ids = vlm.tokenizer.convert_tokens_to_ids([space + letter for letter in "ABCD"])
    for row, example in zip(scores, PROMPTS, strict=True):
        with torch.no_grad():
            logits = vlm.model(**collate(vlm, [encode(vlm, example, supervise=False)])).logits[0, -1]
        expected = torch.log_softmax(logits, -1)[ids]
        torch.testing.assert_close(torch.from_numpy(row).float(), expected, atol=1e-4, rtol=1e-4)


def test_option_likelihoods_in_bfloat16_are_as_fine_as_in_float32(vlm: VLM) -> None:
    """The output layer is scaled so that logits are large, as a trained model's are."""
    rough = replace(vlm, model=copy.deepcopy(vlm.model).to(torch.bfloat16), option_ids={})
    head = rough.model.get_output_embeddings()
    with torch.no_grad():
        head.weight.mul_(64)
    seen: list[torch.Tensor] = []
    handle = head.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    letters = "ABCD"
    scores = torch.from_numpy(option_logprobs(rough, PROMPTS, [list(letters)] * len(PROMPTS)))
    handle.remove()
    space = "▁" if vlm.settings.family.startswith("llava") else ""
    ids = vlm.tokenizer.convert_tokens_to_ids([space + letter for letter in letters])
    exact = seen[0][:, -1].double() @ head.weight.double().T
    torch.testing.assert_close(scores, exact.log_softmax(-1)[:, ids], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(scores, exact.bfloat16().double().log_softmax(-1)[:, ids], atol=1e-3)


def test_options_of_several_tokens_are_refused(vlm: VLM) -> None:
    with pytest.raises(InputError, match="expected a single one"):
        option_logprobs(vlm, PROMPTS[:1], [["A", "zebra xylophone"]])
    with pytest.raises(InputError, match="equally long"):
        option_logprobs(vlm, PROMPTS[:2], [["A", "B"], ["A"]])
    assert generate(vlm, [], max_new_tokens=4) == []
