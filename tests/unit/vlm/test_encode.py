"""Token ids, labels and visual tokens of one example."""

from collections.abc import Callable

import pytest
import torch
from transformers.video_utils import VideoMetadata

from workflow_scripts.settings import InputError, ModelSettings
from workflow_scripts.vlm.conversation import Example, Turn
from workflow_scripts.vlm.encode import encode, visual_tokens
from workflow_scripts.vlm.load import VLM, load

from .conftest import DIALOGUE, ask, clip, examples, image


def groups(vlm: VLM, labels: torch.Tensor) -> list[str]:
    """Decode each run of supervised tokens."""
    runs: list[list[int]] = []
    previous = False
    for token in labels.tolist():
        if token != -100:
            if not previous:
                runs.append([])
            runs[-1].append(token)
        previous = token != -100
    return [vlm.tokenizer.decode(run) for run in runs]


@pytest.mark.parametrize("index", range(5))
def test_labels_are_the_answers_and_their_ends(vlm: VLM, index: int) -> None:
    example = examples()[index]
    encoded = encode(vlm, example, supervise=True)
    end = "</s>" if vlm.settings.family.startswith("llava") else "<|im_end|>"
    said = [turn.text + end for turn in example.turns if turn.role == "assistant"]
    assert [run.strip() for run in groups(vlm, encoded["labels"])] == said
    kept = encoded["labels"] != -100
    assert torch.equal(encoded["labels"][kept], encoded["input_ids"][kept])


@pytest.mark.parametrize("answer", ["3", "no", "a  b", "(A) red.\nline two", "naïve 日本 <b>", "Answer: 3. "])
def test_the_prompt_is_a_prefix_of_the_supervised_text(vlm: VLM, answer: str) -> None:
    media = (image(0),)
    prompt = encode(vlm, Example(DIALOGUE[:1], media), supervise=False)["input_ids"]
    whole = encode(vlm, Example((DIALOGUE[0], Turn("assistant", answer)), media), supervise=True)
    assert torch.equal(whole["input_ids"][: len(prompt)], prompt)
    assert not (whole["labels"][: len(prompt)] != -100).any()
    assert answer.strip() in vlm.tokenizer.decode(whole["labels"][whole["labels"] != -100])


@pytest.mark.parametrize("media", [(image(1),), (image(1), image(2)), clip(6), clip(7)], ids=["1", "2", "clip", "odd"])
def test_ids_and_pixels_equal_the_processor_called_as_a_whole(vlm: VLM, media: object) -> None:
    if vlm.settings.family == "qwen3-vl" and not isinstance(media, tuple):
        pytest.skip("the processor keeps an outer pair of vision marks; see test_time")
    if vlm.settings.family == "llava-1.5" and not isinstance(media, tuple):
        pytest.skip("the processor knows no pooled frames")
    content = vlm.family.content(media)  # type: ignore[arg-type]
    messages = [{"role": "user", "content": [*content, {"type": "text", "text": DIALOGUE[0].text}]}]
    text = vlm.processor.apply_chat_template(messages, add_generation_prompt=True)
    if isinstance(media, tuple):
        expected = vlm.processor(text=[text], images=list(media), return_tensors="pt")
    else:
        frames = torch.from_numpy(media.frames).permute(0, 3, 1, 2)  # type: ignore[attr-defined]
        count = len(frames)
        metadata = VideoMetadata(count, fps=count / 10.0, frames_indices=list(range(count)))
        expected = vlm.processor(
            text=[text], videos=[frames], video_metadata=[metadata], do_sample_frames=False, return_tensors="pt"
        )
    ours = encode(vlm, Example(DIALOGUE[:1], media), supervise=False)  # type: ignore[arg-type]
    assert torch.equal(ours["input_ids"], expected["input_ids"][0])
    for key in ("pixel_values", "pixel_values_videos", "image_grid_thw", "video_grid_thw", "mm_token_type_ids"):
        assert (key in ours) == (key in expected)
        if key in ours:
            assert torch.equal(ours[key], expected[key].reshape(ours[key].shape).to(ours[key].dtype))
    if "second_per_grid_ts" in ours:
        assert float(ours["second_per_grid_ts"]) == pytest.approx(float(expected["second_per_grid_ts"][0]))


@pytest.mark.parametrize("shape", [(64, 64), (96, 160), (40, 30)])
def test_a_frame_costs_the_same_at_every_budget(vlm: VLM, shape: tuple[int, int]) -> None:
    height, width = shape
    costs = set()
    for frames in (8, 16, 32, 64):
        encoded = encode(vlm, Example(DIALOGUE[:2], clip(frames, width=width, height=height)), supervise=True)
        costs.add(visual_tokens(encoded) / frames)
    assert len(costs) == 1
    if shape == (64, 64):
        assert costs == {16.0 if vlm.settings.family.startswith("llava") else 8.0}


def test_an_odd_clip_repeats_its_last_frame(vlm: VLM) -> None:
    if vlm.settings.family.startswith("llava"):
        pytest.skip("no frame pairs")
    odd = clip(5)
    pixels = encode(vlm, Example(DIALOGUE[:2], odd), supervise=True)["pixel_values_videos"]
    last = pixels.reshape(3, 64, 3, 2, 8, 8)[2]
    assert torch.equal(last[:, :, 0], last[:, :, 1])
    assert encode(vlm, Example(DIALOGUE[:2], clip(1)), supervise=True)["video_grid_thw"].tolist() == [[1, 8, 8]]


def test_too_long_is_refused_with_the_numbers(settings_of: Callable[[str], ModelSettings]) -> None:
    settings = settings_of("qwen2.5-vl").model_copy(update={"max_length": 100})
    small = load(settings, with_model=False)
    with pytest.raises(InputError, match=r"has 1\d\d tokens, 128 of them visual; expected at most max_length = 100"):
        encode(small, Example(DIALOGUE[:2], clip(16)), supervise=True)


def test_a_placeholder_in_the_text_is_refused(vlm: VLM) -> None:
    token = vlm.family.placeholders[0]
    with pytest.raises(InputError, match="placeholder"):
        encode(vlm, Example(ask(f"{token} What is this?"), (image(0),)), supervise=False)
    with pytest.raises(InputError, match="user turn"):
        encode(vlm, Example((Turn("assistant", "3"),), (image(0),)), supervise=True)


TRIMMING = (
    "{% for m in messages %}[{{ m.role }}]{% for c in m.content %}{% if c.type == 'text' %}{{ c.text | trim }}"
    "{% else %}<|vision_start|><|image_pad|><|vision_end|>{% endif %}{% endfor %}{% if m.role == 'user' %} {% endif %}"
    "{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}"
)


def test_templates_that_trim_or_lack_an_end_of_turn(settings_of: Callable[[str], ModelSettings]) -> None:
    other = load(settings_of("qwen2.5-vl"), with_model=False)
    other.processor.chat_template = TRIMMING
    encoded = encode(other, Example(ask(" How? ", " 3 ", "And?", "no"), None), supervise=True)
    text = other.tokenizer.decode(encoded["input_ids"])
    assert text == "[user]How? [assistant]3<|im_end|>[user]And? [assistant]no<|im_end|>"
    assert groups(other, encoded["labels"]) == ["3<|im_end|>", "no<|im_end|>"]


def test_a_template_that_drops_turns_is_refused(settings_of: Callable[[str], ModelSettings]) -> None:
    other = load(settings_of("qwen2.5-vl"), with_model=False)
    other.processor.chat_template = "{{ messages[0].content[0].text }}"
    with pytest.raises(InputError, match="chat template"):
        encode(other, Example(DIALOGUE, None), supervise=True)
