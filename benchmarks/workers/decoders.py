"""One way of decoding behind a pipe: `python decoders.py NAME`, in an environment that holds the decoder.

In: JSON lines {path, budgets, max_pixels, target, prints}. Out: a JSON line each, {cpu_s, wall_s, numbers, prints}:
what getting frames floor(i * n / N) of n as uint8 RGB cost this process, the number painted in each frame and, where
asked, a thumbnail of each; or {error}. The first line names the version. max_pixels is for the project, which finds
the size itself; target is that size, width and height, for the others, and null where they need not scale.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

BITS = 12
Size = tuple[int, int] | None
Decoder = Callable[[str, Sequence[int], Size, int], Sequence[np.ndarray]]


def read_number(image: np.ndarray) -> int:
    """The number painted as twelve bars, white for 1 and black for 0, across the top sixth of a frame."""
    height, width = image.shape[:2]
    rows = slice(height // 24, height // 8)
    bars = (image[rows, int((b + 0.3) * width / BITS) : int((b + 0.7) * width / BITS)] for b in range(BITS))
    return sum(1 << bit for bit, bar in enumerate(bars) if bar.mean() > 128)


def thumbnail(image: np.ndarray) -> list[int]:
    """Mean levels of 12 by 12 places of a frame."""
    rows, columns = (np.linspace(0, size, 13).astype(int) for size in image.shape[:2])
    sums = np.add.reduceat(np.add.reduceat(image.sum(2, dtype=np.int64), rows[:-1], 0), columns[:-1], 1)
    return (sums / np.outer(np.diff(rows), np.diff(columns)) / 3).round().astype(int).ravel().tolist()


def wanted(n: int, budgets: Sequence[int]) -> list[int]:
    return sorted({i * n // budget for budget in budgets for i in range(budget)})


def load_project() -> tuple[Decoder, str]:
    sys.path.insert(0, str(Path(__file__).parents[2]))
    import av

    from workflow_scripts.frames.decode import decode

    def run(path: str, budgets: Sequence[int], target: Size, max_pixels: int) -> Sequence[np.ndarray]:
        return decode(Path(path), budgets, max_pixels).images

    return run, f"PyAV {av.__version__}"


def load_pyav() -> tuple[Decoder, str]:
    """From the first frame to the last wanted one, with what PyAV does when nothing is said."""
    import av

    def run(path: str, budgets: Sequence[int], target: Size, max_pixels: int) -> Sequence[np.ndarray]:
        with av.open(path) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            width, height = target or (None, None)
            count = stream.frames
            if not count:  # .webm does not tell
                count = sum(packet.size > 0 for packet in container.demux(stream))
                container.seek(0)
            keep = wanted(count, budgets)
            images = []
            for number, frame in enumerate(container.decode(stream)):
                if number == keep[len(images)]:
                    images.append(frame.to_ndarray(format="rgb24", width=width, height=height))
                    if len(images) == len(keep):
                        break
            return images

    return run, av.__version__


def load_decord() -> tuple[Decoder, str]:
    import decord

    def run(path: str, budgets: Sequence[int], target: Size, max_pixels: int) -> Sequence[np.ndarray]:
        width, height = target or (-1, -1)
        reader = decord.VideoReader(path, width=width, height=height, num_threads=1)
        return list(reader.get_batch(wanted(len(reader), budgets)).asnumpy())

    return run, decord.__version__


def load_torchcodec() -> tuple[Decoder, str]:
    import torch
    import torchcodec
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import Resize

    torch.set_num_threads(1)

    def run(path: str, budgets: Sequence[int], target: Size, max_pixels: int) -> Sequence[np.ndarray]:
        options: dict[str, Any] = {"num_ffmpeg_threads": 1, "dimension_order": "NHWC"}
        if target is not None:
            options["transforms"] = [Resize(target[::-1])]
        decoder = VideoDecoder(path, **options)
        return list(decoder.get_frames_at(wanted(len(decoder), budgets)).data.numpy())

    return run, torchcodec.__version__


DECODERS = {"project": load_project, "pyav": load_pyav, "decord": load_decord, "torchcodec": load_torchcodec}


def main() -> None:
    try:
        run, version = DECODERS[sys.argv[1]]()
    except (ImportError, OSError, RuntimeError) as error:  # torchcodec raises the last without FFmpeg's libraries
        print(json.dumps({"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"}), flush=True)
        return
    print(json.dumps({"version": version}), flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        try:
            target = None if task["target"] is None else tuple(task["target"])
            wall, cpu = time.perf_counter(), time.process_time()
            images = run(task["path"], task["budgets"], target, task["max_pixels"])
            found: dict[str, Any] = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
            found |= {"numbers": [read_number(image) for image in images]}
            found |= {"prints": [thumbnail(image) for image in images] if task["prints"] else []}
        except Exception as error:  # a peer that cannot read a file says so in its own way
            found = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
