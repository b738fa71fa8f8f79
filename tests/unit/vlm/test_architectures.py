"""The miniature architectures: sizes, shared vision towers, determinism."""

from pathlib import Path

import pytest
import torch
from transformers import AutoImageProcessor, AutoModel, AutoModelForImageTextToText

from workflow_scripts.miniature.architectures import NAMES, build
from workflow_scripts.settings import InputError

SYLLABLES = [first + second for first in "bdfgklmnprstvz" for second in ("a", "e", "i", "o", "u", "an", "el")]
FULL = [f"{one}{other} " * 4 for one in SYLLABLES for other in SYLLABLES[::7]]  # enough words for a full vocabulary

SIZES = {
    "qwen2.5-vl-3b": 1.21e6,
    "qwen2.5-vl-7b": 1.38e6,
    "qwen2.5-vl-32b": 1.73e6,
    "qwen2.5-vl-72b": 2.07e6,
    "llava-next-video-7b": 1.34e6,
    "llava-1.5-7b": 1.34e6,
    "qwen3-vl-8b": 0.57e6,
    "dinov2": 0.22e6,
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    for name in NAMES:
        build(name, FULL, folder / name, seed=3)
    return folder


def test_sizes(built: Path) -> None:
    assert set(NAMES) == set(SIZES)
    total = 0
    for name, expected in SIZES.items():
        kind = AutoModel if name == "dinov2" else AutoModelForImageTextToText
        count = kind.from_pretrained(built / name).num_parameters()
        assert 0.95 * expected < count < 1.05 * expected, (name, count)
        total += 2 * count * (2 if name in ("qwen2.5-vl-3b",) else 1)  # the 3B is also shipped as a predictor
    assert total < 24e6  # bytes in bfloat16, of 25 MB that may be shipped with tokenizers and cards


def test_towers_are_shared(built: Path) -> None:
    for names, marks, not_in in (
        ([name for name in NAMES if name.startswith("qwen2.5")], ("visual.",), "merger.mlp.2"),
        (["llava-next-video-7b", "llava-1.5-7b"], ("vision_tower.",), "-"),
    ):
        shapes = []
        for name in names:
            state = AutoModelForImageTextToText.from_pretrained(built / name).state_dict()
            shapes.append(
                {
                    key: tuple(tensor.shape)
                    for key, tensor in state.items()
                    if any(mark in key for mark in marks) and not_in not in key
                }
            )
        assert shapes[0]
        assert all(one == shapes[0] for one in shapes)


def test_a_seed_gives_the_same_weights_and_the_next_another(tmp_path: Path, built: Path) -> None:
    before = torch.random.get_rng_state()
    build("qwen2.5-vl-3b", FULL, tmp_path / "same", seed=3)
    build("qwen2.5-vl-3b", FULL, tmp_path / "other", seed=4)
    assert torch.equal(torch.random.get_rng_state(), before)
    name = "model.safetensors"
    assert (tmp_path / "same" / name).read_bytes() == (built / "qwen2.5-vl-3b" / name).read_bytes()
    assert (tmp_path / "other" / name).read_bytes() != (built / "qwen2.5-vl-3b" / name).read_bytes()
    for file in ("tokenizer.json", "config.json"):
        assert (tmp_path / "same" / file).read_bytes() == (built / "qwen2.5-vl-3b" / file).read_bytes()


def test_dinov2_encodes_frames(built: Path) -> None:
    processor = AutoImageProcessor.from_pretrained(built / "dinov2")
    model = AutoModel.from_pretrained(built / "dinov2")
    frames = torch.randint(0, 255, (3, 3, 64, 64), dtype=torch.uint8)
    outputs = model(**processor(list(frames), return_tensors="pt"))
    assert outputs.last_hidden_state.shape == (3, 65, 64)


def test_an_unknown_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected one of qwen2\.5-vl-3b"):
        build("qwen9", FULL, tmp_path, seed=0)
