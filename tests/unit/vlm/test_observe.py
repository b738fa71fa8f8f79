"""What answers look at: against transformers' own attention weights, and pictures with one marked place."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from workflow_scripts.miniature.architectures import build
from workflow_scripts.settings import InputError
from workflow_scripts.vlm.conversation import Example, Turn
from workflow_scripts.vlm.encode import collate, encode
from workflow_scripts.vlm.load import VLM, load
from workflow_scripts.vlm.observe import inside, look, pixels

from .conftest import CORPUS, image

QUESTION, ANSWER = "How many red objects are there?", "3 red"


def eager(vlm: VLM, picture: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    """All weights of every layer, [layers, heads, L, L], and where the answer and the picture are, by transformers."""
    example = Example((Turn("user", QUESTION), Turn("assistant", ANSWER)), (picture,))
    encoded = encode(vlm, example, supervise=True)
    labels = encoded.pop("labels")
    model: Any = vlm.model
    before = model.get_decoder().config._attn_implementation
    model.get_decoder().config._attn_implementation = "eager"
    try:
        with torch.no_grad():
            attentions = model(**collate(vlm, [encoded]), output_attentions=True).attentions
    finally:
        model.get_decoder().config._attn_implementation = before
    weights = torch.stack([layer[0] for layer in attentions]).double().numpy()
    said = [place for place, label in enumerate(labels.tolist()) if label != -100]
    mark = vlm.tokenizer.convert_tokens_to_ids(vlm.family.end_of_turn(vlm.processor))
    said = [place for place in said if encoded["input_ids"][place] != mark]
    shown = [place for place, token in enumerate(encoded["input_ids"].tolist()) if token in vlm.placeholder_ids]
    return weights[:, :, [place - 1 for place in said]][..., shown], weights


def test_weights_are_those_of_transformers(vlm: VLM) -> None:
    picture = image(3)
    expected, _ = eager(vlm, picture)
    seen = look(vlm, picture, QUESTION, ANSWER)
    assert expected.shape[2] > 1, "the answer has several tokens"
    assert seen.weights.shape == expected.shape[:1] + expected.shape[3:] == (*expected.shape[:1], len(seen.boxes))
    np.testing.assert_allclose(seen.weights, expected.mean(axis=(1, 2)), rtol=1e-4, atol=1e-7)
    assert (seen.weights.sum(axis=1) < 1).all()
    assert np.ptp(seen.weights) > 0
    assert vlm.model.get_decoder().config._attn_implementation == "sdpa", "the model is left as it was"


def test_one_head_by_hand(settings_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries and keys that are known: the answer's tokens look at one token of the picture, and nowhere else."""
    vlm = load(settings_of("qwen2.5-vl"))
    picture = image(1)
    encoded = encode(vlm, Example((Turn("user", QUESTION), Turn("assistant", ANSWER)), (picture,)), supervise=True)
    shown = torch.isin(encoded["input_ids"], torch.tensor(vlm.placeholder_ids)).nonzero()[:, 0]
    target = int(shown[5])
    from workflow_scripts.vlm import observe

    plain = observe.sdpa_attention_forward

    def planted(self: Any, module: Any, query: Any, key: Any, mask: Any, scaling: Any) -> None:
        query, key = torch.ones_like(query), torch.zeros_like(key)
        key[:, :, target] = 1000.0
        original(self, module, query, key, mask, scaling)

    original = observe._Observer.see
    monkeypatch.setattr(observe._Observer, "see", planted)
    seen = look(vlm, picture, QUESTION, ANSWER)
    assert observe.sdpa_attention_forward is plain
    np.testing.assert_allclose(seen.weights, np.eye(len(shown))[[5] * len(seen.weights)], atol=1e-12)
    box = seen.boxes[5]
    assert (seen.weights[0] * inside(seen.boxes, box)).sum() == pytest.approx(1)
    assert (seen.weights[0] * inside(seen.boxes, seen.boxes[6])).sum() == pytest.approx(0)


def features(vlm: VLM, picture: Image.Image) -> np.ndarray:
    """What enters the language model in place of the picture's tokens, [tokens, width]."""
    encoded = encode(vlm, Example((Turn("user", "?"),), (picture,)), supervise=False)
    caught: list[torch.Tensor] = []
    decoder: Any = vlm.model.get_decoder()
    handle = decoder.register_forward_pre_hook(
        lambda _, args, kwargs: caught.append(kwargs["inputs_embeds"]), with_kwargs=True
    )
    try:
        with torch.no_grad():
            vlm.model(**collate(vlm, [encoded]))
    finally:
        handle.remove()
    shown = torch.isin(encoded["input_ids"], torch.tensor(vlm.placeholder_ids))
    return caught[0][0][shown].numpy()


@pytest.fixture(scope="module")
def tiled(tmp_path_factory: pytest.TempPathFactory, settings_of: Any) -> VLM:
    """A LLaVA-NeXT-Video that cuts a picture of 2:1 into tiles."""
    folder = tmp_path_factory.mktemp("tiled") / "llava-next-video-7b"
    build("llava-next-video-7b", CORPUS, folder, seed=1)
    vlm = load(settings_of("llava-next-video").model_copy(update={"source": str(folder), "max_pixels": 4 * 4096}))
    vlm.config.image_grid_pinpoints = vlm.processor.image_processor.image_grid_pinpoints = [[64, 128], [128, 128]]
    vlm.model.config.image_grid_pinpoints = vlm.model.model.config.image_grid_pinpoints = [[64, 128], [128, 128]]
    return vlm


@pytest.mark.parametrize(("width", "height"), [(64, 64), (96, 64), (64, 160)])
def test_a_marked_place_is_found_in_the_tokens_that_show_it(vlm: VLM, tiled: VLM, width: int, height: int) -> None:
    """A grey picture with one white spot: the features that change most are of a token that shows it."""
    models = [vlm, tiled] if vlm.family is tiled.family else [vlm]
    for model in models:
        grey = Image.new("RGB", (width, height), (120, 120, 120))
        plain = features(model, grey)
        encoded = encode(model, Example((Turn("user", "?"),), (grey,)), supervise=False)
        boxes = model.family.token_boxes(model, grey, encoded)
        assert boxes.shape == (len(plain), 4)
        placed = ~np.isnan(boxes[:, 0])
        assert (boxes[placed, :2] >= -1e-6).all()
        assert (boxes[placed, 2:] <= np.array([width, height]) + 1e-6).all()
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        found = 0
        for place in np.flatnonzero(areas > 0.7 * np.nanmedian(areas)):  # no sliver beside padding
            left, top, right, bottom = boxes[place]
            spotted = grey.copy()
            middle = ((left + right) / 2, (top + bottom) / 2)
            spot = [round(m - s / 4) for m, s in zip(middle, (right - left, bottom - top), strict=True)]
            spot += [round(m + s / 4) for m, s in zip(middle, (right - left, bottom - top), strict=True)]
            spotted.paste((255, 255, 255), tuple(spot))
            change = np.abs(features(model, spotted) - plain).sum(axis=1)
            change[~placed] = 0
            most = int(change.argmax())
            assert inside(boxes, spot)[most] > 0, "the token shows some of the spot"
            found += 1
        assert found >= 9


def test_shares_and_pixels_by_hand() -> None:
    boxes = np.array([[0, 0, 2, 2], [2, 0, 4, 2], [0, 2, 2, 3], [2, 2, 4, 3], [np.nan] * 4])
    np.testing.assert_allclose(inside(boxes, (1, 0, 4, 1)), [0.25, 0.5, 0, 0, np.nan])
    np.testing.assert_allclose(inside(boxes, (0, 0, 4, 3)), [1, 1, 1, 1, np.nan])
    drawn = pixels(np.array([0.4, 0.2, 0.1, 0.3, 9.0]), boxes, 4, 3)
    expected = [[0.1, 0.1, 0.05, 0.05], [0.1, 0.1, 0.05, 0.05], [0.05, 0.05, 0.15, 0.15]]
    np.testing.assert_allclose(drawn, expected)
    halved = pixels(np.array([1.0]), np.array([[0.5, 0.0, 2.5, 1.0]]), 3, 1)
    np.testing.assert_allclose(halved, [[0.25, 0.5, 0.25]])


def test_what_an_answer_begins_with_does_not_count(vlm: VLM) -> None:
    picture = image(6)
    whole, rest = look(vlm, picture, QUESTION, "3 red"), look(vlm, picture, QUESTION, " red", begins="3")
    first = look(vlm, picture, QUESTION, "3")
    example = Example((Turn("user", QUESTION), Turn("assistant", "3 red")), (picture,))
    said = int((encode(vlm, example, supervise=True)["labels"] != -100).sum()) - 1
    assert said > 1
    np.testing.assert_allclose(whole.weights * said, first.weights + rest.weights * (said - 1), rtol=1e-4, atol=1e-7)


def test_a_beginning_that_is_not_whole_tokens_is_refused(qwen: VLM) -> None:
    with pytest.raises(InputError, match="begins with, 'How many ', is not whole tokens"):
        look(qwen, image(1), QUESTION, "red objects", begins="How many ")


def test_an_answer_without_a_token_is_refused(qwen: VLM) -> None:
    with pytest.raises(InputError, match="answer '' has no token"):
        look(qwen, image(1), QUESTION, "")


def test_layers_are_kept_apart(qwen: VLM) -> None:
    seen = look(qwen, image(2), QUESTION, ANSWER)
    assert len(seen.weights) == qwen.config.text_config.num_hidden_layers > 1
    assert np.abs(np.diff(seen.weights, axis=0)).max() > 1e-4
