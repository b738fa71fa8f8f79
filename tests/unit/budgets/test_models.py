"""The predictors with real, untrained models of the miniature's architectures, and the two commands."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Dinov2Model

from workflow_scripts.budgets.allocation import read_allocation
from workflow_scripts.budgets.vlm import letter_score
from workflow_scripts.miniature.architectures import build
from workflow_scripts.predictors.embedding import FrameEmbedder
from workflow_scripts.predictors.prompt import option_orders, prompt
from workflow_scripts.settings import DinoSettings, InputError, ModelSettings
from workflow_scripts.settings.budgets import QUESTION
from workflow_scripts.vlm.conversation import Example, Turn
from workflow_scripts.vlm.load import load
from workflow_scripts.vlm.media import Clip

BUDGETS = (8, 16, 32, 64)
PIXELS = {"max_pixels": 4096, "video_max_pixels": 4096, "precision": "float32", "max_length": 4096}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    build("dinov2", (), folder / "dinov2", seed=0)
    build("qwen2.5-vl-3b", [QUESTION, "What color is it?"], folder / "qwen2.5-vl-3b", seed=0)
    return folder


def frames(count: int, side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def test_an_embedding_is_the_class_token_of_the_normalised_frame_at_length_one(models: Path) -> None:
    embed = FrameEmbedder(DinoSettings(source=str(models / "dinov2"), resolution=64), device="cpu", batch_size=4)
    clips = [frames(3, 64), frames(6, 64, seed=1)]
    vectors = embed(clips)
    assert [rows.shape for rows in vectors] == [(3, 64), (6, 64)]
    assert vectors[0].dtype == np.float32
    model = Dinov2Model.from_pretrained(models / "dinov2").eval()
    processor = json.loads((models / "dinov2" / "preprocessor_config.json").read_text())
    mean, std = np.array(processor["image_mean"]), np.array(processor["image_std"])
    for clip, rows in zip(clips, vectors, strict=True):
        for frame, row in zip(clip, rows, strict=True):
            pixels = torch.tensor(((frame / 255 - mean) / std).transpose(2, 0, 1)[None], dtype=torch.float32)
            with torch.no_grad():
                token = model(pixel_values=pixels).last_hidden_state[0, 0].numpy()
            np.testing.assert_allclose(row, token / np.linalg.norm(token), atol=1e-5)
    again = embed(clips)
    assert all(np.array_equal(one, other) for one, other in zip(vectors, again, strict=True))


def test_frames_of_any_size_are_scaled_whole(models: Path) -> None:
    embed = FrameEmbedder(DinoSettings(source=str(models / "dinov2"), resolution=64), device="cpu")
    small = np.full((1, 64, 64, 3), 90, np.uint8)
    small[:, :, :8] = 250  # at the very edge, where a crop would lose it
    wide = small.repeat(2, axis=1).repeat(3, axis=2)
    plain = np.full((1, 64, 64, 3), 90, np.uint8)
    [[a], [b], [c]] = embed([small, wide, plain])
    assert a @ b > 0.99
    assert a @ b > a @ c


def test_a_missing_model_is_named() -> None:
    with pytest.raises(InputError, match="no/such/model"):
        FrameEmbedder(DinoSettings(source="./no/such/model"), device="cpu")


def test_scores_in_batches_are_those_of_examples_alone(models: Path) -> None:
    settings = ModelSettings(
        name="m", family="qwen2.5-vl", source=str(models / "qwen2.5-vl-3b"), size_b=0.001, **PIXELS
    )
    model = load(settings)
    examples = []
    for number, order in enumerate(option_orders(4, 6, 0)):
        text = prompt(QUESTION, "What color is it? " * (1 + (number * 5) % 7), BUDGETS, order, 8)
        clip = Clip(frames(8, 64, number), np.arange(8) * 0.5, 4.0)
        examples.append(Example((Turn("user", text),), clip))
    together = letter_score(model, 4)(examples, "ABCD")
    alone = np.concatenate([letter_score(model, 1)([example], "ABCD") for example in examples])
    np.testing.assert_allclose(together, alone, atol=1e-4)
    assert np.ptp(alone, axis=0).min() > 1e-3


@pytest.mark.slow
def test_both_commands_write_whole_allocations(models: Path, write_store, write_manifest, tmp_path: Path) -> None:
    store = write_store({"a": [50] * 100, "b": [i % 250 for i in range(100)]})
    manifest = write_manifest([("s1", "a", ["What?"]), ("s2", "b", ["Who?", "Where?"])])
    dino = {"source": str(models / "dinov2"), "resolution": 64}
    model = {"family": "qwen2.5-vl", "source": str(models / "qwen2.5-vl-3b"), "size_b": 0.001, **PIXELS}
    for rule, flags in (
        ("dinov2", ["--dino", json.dumps(dino)]),
        ("vlm", ["--predictor", json.dumps({"name": "p", "model": model})]),
    ):
        output = tmp_path / f"hybrid-{rule}.parquet"
        command = [sys.executable, "-m", f"workflow_scripts.budgets.{rule}", "--manifest", manifest, "--store", store]
        command += [*flags, "--admissible", *map(str, BUDGETS), "--device", "cpu", "--threads", "1", "--output", output]
        subprocess.run([str(part) for part in command], check=True)
        frame = read_allocation(output, sample_ids=["s1", "s2"], admissible=BUDGETS)
        assert all(json.loads(text) for text in frame["evidence"])
        if rule == "dinov2":
            assert frame["budget"][0] == 8
