"""Tiny models with random weights, built once a session."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from workflow_scripts.miniature.architectures import build
from workflow_scripts.settings import ModelSettings
from workflow_scripts.vlm.conversation import Example, Turn
from workflow_scripts.vlm.load import VLM, load
from workflow_scripts.vlm.media import Clip

MODELS = {
    "qwen2.5-vl": "qwen2.5-vl-3b",
    "qwen3-vl": "qwen3-vl-8b",
    "llava-next-video": "llava-next-video-7b",
    "llava-1.5": "llava-1.5-7b",
}

CORPUS = [
    f"How many {color} objects are there? {number} Is there a {pattern} one? yes no A. B. C. D. left right top bottom"
    for color in ("red", "green", "blue", "yellow")
    for pattern in ("striped", "dotted", "solid")
    for number in range(5)
]


def image(seed: int, width: int = 64, height: int = 64) -> Image.Image:
    """A picture of noise."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def clip(frames: int, seconds: float = 10.0, seed: int = 0, width: int = 64, height: int = 64) -> Clip:
    """Noise, frame i at second ``i * seconds / frames``."""
    pixels = np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
    return Clip(pixels, np.arange(frames) * seconds / frames, seconds)


def ask(*texts: str) -> tuple[Turn, ...]:
    """Turns of user and assistant, alternating."""
    return tuple(Turn("assistant" if index % 2 else "user", text) for index, text in enumerate(texts))


DIALOGUE = ask("How many red objects are there?", "3", "Is there a blue one?", "no, a striped one")


def examples() -> list[Example]:
    """A batch that mixes an image, clips of different length, two images and text alone."""
    return [
        Example(DIALOGUE, (image(1),)),
        Example(DIALOGUE[:2], clip(9, seed=2)),
        Example(DIALOGUE, clip(4, seconds=40.0, seed=3)),
        Example(DIALOGUE[:2], (image(4), image(5))),
        Example(DIALOGUE[:2], None),
    ]


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def settings_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ModelSettings]:
    """Settings of a family's tiny model, which is built on first use."""
    folder: Path = tmp_path_factory.mktemp("models")

    def get(family: str) -> ModelSettings:
        name = MODELS[family]
        if not (folder / name).exists():
            build(name, CORPUS, folder / name, seed=1)
        return ModelSettings(
            name=name,
            family=family,  # type: ignore[arg-type]
            source=str(folder / name),
            revision=None,
            size_b=0.001,
            min_pixels=4096,
            max_pixels=4096,
            video_max_pixels=4096,
            video_pool_stride=2 if family == "llava-1.5" else 1,
            precision="float32",
            max_length=4096,
        )

    return get


@pytest.fixture(scope="session", params=sorted(MODELS))
def vlm(request: pytest.FixtureRequest, settings_of: Callable[[str], ModelSettings]) -> VLM:
    """The tiny model of each family."""
    return load(settings_of(request.param))


@pytest.fixture(scope="session")
def qwen(settings_of: Callable[[str], ModelSettings]) -> VLM:
    """The tiny Qwen2.5-VL."""
    return load(settings_of("qwen2.5-vl"))
