"""Batches: padding changes nothing, and images, videos and text mix."""

import pytest
import torch
from transformers.masking_utils import find_packed_sequence_indices

from workflow_scripts.settings import InputError
from workflow_scripts.vlm.conversation import Example
from workflow_scripts.vlm.encode import collate, encode, pack
from workflow_scripts.vlm.load import VLM

from .conftest import DIALOGUE, clip, examples, image


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_padded_mixed_batch_gives_the_logits_of_each_alone(vlm: VLM, side: str) -> None:
    encoded = [encode(vlm, example, supervise=True) for example in examples()]
    batch = collate(vlm, encoded, padding_side=side)  # type: ignore[arg-type]
    with torch.no_grad():
        together = vlm.model(**batch).logits
        for row, mask, one in zip(together, batch["attention_mask"].bool(), encoded, strict=True):
            alone = vlm.model(**collate(vlm, [one])).logits[0]
            torch.testing.assert_close(row[mask], alone, atol=2e-4, rtol=2e-4)


def test_padding_is_on_the_asked_side(vlm: VLM) -> None:
    encoded = [encode(vlm, example, supervise=True) for example in examples()]
    longest = max(len(one["input_ids"]) for one in encoded)
    right, left = collate(vlm, encoded), collate(vlm, encoded, padding_side="left")
    for index, one in enumerate(encoded):
        size = len(one["input_ids"])
        assert right["attention_mask"][index].tolist() == [1] * size + [0] * (longest - size)
        assert left["attention_mask"][index].tolist() == [0] * (longest - size) + [1] * size
        assert torch.equal(right["input_ids"][index, :size], one["input_ids"])
        assert torch.equal(left["labels"][index, longest - size :], one["labels"])
        assert (right["labels"][index, size:] == -100).all()


def test_the_loss_of_a_batch_is_the_mean_over_its_supervised_tokens(vlm: VLM) -> None:
    encoded = [encode(vlm, example, supervise=True) for example in examples()]
    total, count = 0.0, 0
    with torch.no_grad():
        together = float(vlm.model(**collate(vlm, encoded)).loss)
        for one in encoded:
            kept = int((one["labels"] != -100).sum())
            total += float(vlm.model(**collate(vlm, [one])).loss) * kept
            count += kept
    assert together == pytest.approx(total / count, rel=1e-4)


def test_frames_and_images_reach_the_model(vlm: VLM) -> None:
    """Another picture, or another frame in the middle of a clip, changes the next-token logits."""
    first, second = clip(8, seed=1), clip(8, seed=1)
    second.frames[3] = 255 - second.frames[3]
    pairs = [((image(1),), (image(2),)), (first, second)]
    for one, other in pairs:
        logits = []
        for media in (one, other):
            batch = collate(vlm, [encode(vlm, Example(DIALOGUE[:1], media), supervise=False)])  # type: ignore[arg-type]
            with torch.no_grad():
                logits.append(vlm.model(**batch).logits[0, -1])
        assert (logits[0] - logits[1]).abs().max() > 1e-3


def test_windows_of_different_sizes_attend_as_upstream(qwen: VLM) -> None:
    wide = encode(qwen, Example(DIALOGUE, (image(1, width=160, height=80), image(2))), supervise=True)
    batch = collate(qwen, [wide])
    modules = [block.attn for block in qwen.model.model.visual.blocks]  # type: ignore[union-attr]
    ours = [module.__dict__["forward"] for module in modules]  # type: ignore[union-attr]
    with torch.no_grad():
        batched = qwen.model(**batch).logits
        for module in modules:
            del module.__dict__["forward"]  # type: ignore[union-attr]
        upstream = qwen.model(**batch).logits
        for module, forward in zip(modules, ours, strict=True):
            module.forward = forward  # type: ignore[union-attr]
    torch.testing.assert_close(batched, upstream, atol=1e-5, rtol=1e-5)


def test_pooled_frames_are_averages_of_the_feature_map(vlm: VLM) -> None:
    if vlm.settings.family != "llava-1.5":
        pytest.skip("only LLaVA-1.5 pools here")
    encoded = encode(vlm, Example(DIALOGUE[:1], clip(3)), supervise=False)
    inner = vlm.model.model  # type: ignore[union-attr]
    with torch.no_grad():
        pooled = inner.get_image_features(encoded["pixel_values"], image_sizes=encoded["image_sizes"]).pooler_output
        full = inner.get_image_features(encoded["pixel_values"]).pooler_output
    for few, many in zip(pooled, full, strict=True):
        assert few.shape == (16, 128)
        assert many.shape == (64, 128)
        square = many.reshape(8, 8, 128)
        torch.testing.assert_close(few[5], square[2:4, 2:4].mean((0, 1)))  # second row, second column


def test_a_packed_row_has_each_examples_positions_and_media(vlm: VLM) -> None:
    encoded = [encode(vlm, example, supervise=True) for example in examples()]
    row, padded = pack(vlm, encoded), collate(vlm, encoded)
    lengths = [len(one["input_ids"]) for one in encoded]
    assert row["example_lengths"] == tuple(lengths)
    assert row["input_ids"].tolist() == [torch.cat([one["input_ids"] for one in encoded]).tolist()]
    positions = row["position_ids"]
    rope = positions[1:] if positions.ndim == 3 else positions
    alone = [collate(vlm, [one])["position_ids"] for one in encoded]
    assert torch.equal(rope, torch.cat(alone, dim=-1))
    numbers = positions[0] if positions.ndim == 3 else positions
    assert numbers.flatten().tolist() == [number for length in lengths for number in range(length)]
    for key in padded.keys() - {"input_ids", "labels", "attention_mask", "position_ids", "mm_token_type_ids"}:
        assert torch.equal(row[key], padded[key]), key


def test_transformers_finds_the_examples_of_a_packed_row(vlm: VLM) -> None:
    encoded = [encode(vlm, example, supervise=True) for example in examples()]
    row = pack(vlm, encoded)
    positions = row["position_ids"]
    found = find_packed_sequence_indices(positions[0] if positions.ndim == 3 else positions)
    assert found is not None
    assert found[0].bincount().tolist() == list(row["example_lengths"])


def test_nothing_to_join_is_refused(qwen: VLM) -> None:
    with pytest.raises(InputError, match="collate"):
        collate(qwen, [])
    with pytest.raises(InputError, match="pack"):
        pack(qwen, [])
