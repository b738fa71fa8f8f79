"""The wanted frames of one video, decoded in one pass, each known by its presentation time.

The packets say beforehand which presentation time each frame index has. The decoder starts at the last key frame before
the first wanted frame, jumps ahead where a key frame lies between here and the next wanted frame, and otherwise decodes
on. A frame is taken only if its own time is the wanted one, so that a wrong frame is never stored; where a wanted frame
does not come out that way, everything is decoded and counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from PIL import Image

from workflow_scripts.video.container import FOLDER_FPS, PacketIndex, Unusable, VideoFile, frame_files
from workflow_scripts.video.sampling import UNIFORM, Sampling

WILDEST_PIXEL = Fraction(4)  # aspect ratios beyond it are mistakes in the header
# Shrinking, its filter is as wide as a stored pixel, so that nothing aliases; bicubic costs half as much again.
_SCALER = Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
# Where only the colours are converted, these flags cost twenty times as much as the conversion that others use.
_CONVERTER = Interpolation.BILINEAR
# To scale this format and convert its colours at once takes half as long again as to scale it first, to as much chroma
# as luma; the two come out at most two levels apart.
_SCALED_FIRST = "yuv420p"


@dataclass(frozen=True)
class Decoded:
    """Frames of one video.

    index: of the clip's n_frames. timestamp_s: from the clip's first frame. images: uint8 [H, W, 3] each, upright.
    """

    n_frames: int
    duration_s: float
    fps: float
    index: list[int]
    timestamp_s: list[float]
    images: list[np.ndarray]


def decode(
    path: Path, budgets: Sequence[int], max_pixels: int, last: bool = False, sampling: Sampling = UNIFORM
) -> Decoded:
    """Every frame that `sampling` takes for one of the budgets, and with `last` the clip's last, up to max_pixels.

    path: a video file, or a folder of images (3 a second). Raises Unusable.
    """
    choose = partial(sampling.union, budgets=budgets, last=last)
    if path.is_dir():
        return _decode_folder(path, choose, max_pixels)
    with VideoFile(path) as video:
        index = video.index
        if index.reliable:
            times, duration_s = index.times_s(), index.duration_s()
            wanted = choose(len(times), duration_s=duration_s)
            moments = np.sort(index.pts[index.shown])[wanted]
            images = _decode_at(video, [int(moment) for moment in moments], max_pixels)
            if len(images) == len(wanted):
                ordered = [images[int(moment)] for moment in moments]
                return _decoded(wanted, times, duration_s, ordered)
        return _decode_everything(video, choose, max_pixels)


def target_size(width: int, height: int, max_pixels: int, pixel_aspect: Fraction = Fraction(1)) -> tuple[int, int]:
    """Width and height to store: square pixels, at most max_pixels of them, proportions kept, never larger."""
    wide, high = float(width), float(height)
    if pixel_aspect > 1:
        high /= float(pixel_aspect)
    else:
        wide *= float(pixel_aspect)
    scale = min(1.0, math.sqrt(max_pixels / (wide * high)))
    if scale == 1.0:
        return max(1, round(wide)), max(1, round(high))
    return max(1, math.floor(wide * scale)), max(1, math.floor(high * scale))


def _decode_at(video: VideoFile, moments: Sequence[int], max_pixels: int) -> dict[int, np.ndarray]:
    """Images by presentation time, for those of the moments (rising) that come out."""
    images: dict[int, np.ndarray] = {}
    wanted = set(moments)
    spans = _spans(video.index, moments)
    packets = enumerate(video.packets())
    picture = _Picture(video, max_pixels)
    for start, stop in spans:
        span = (packet for position, packet in _until(packets, stop) if position >= start)
        for frame in video.frames(span, wanted):
            if frame.pts in wanted and frame.pts not in images:
                images[frame.pts] = picture(frame)
    return images


def _until(packets: Iterator[tuple[int, av.Packet]], stop: int) -> Iterator[tuple[int, av.Packet]]:
    for position, packet in packets:
        yield position, packet
        if position + 1 >= stop:
            return


def _spans(index: PacketIndex, moments: Sequence[int]) -> list[tuple[int, int]]:
    """Runs of packets to decode, [start, stop) in decoding order, each starting at a key frame and fresh decoder."""
    keys = np.flatnonzero(index.key)
    # A key frame later in decoding order never comes earlier in time, but for damaged files: those fall back.
    key_pts = np.maximum.accumulate(index.pts[keys])
    place = {int(pts): position for position, pts in enumerate(index.pts) if index.shown[position]}
    spans: list[tuple[int, int]] = []
    for moment in moments:
        start = int(keys[max(0, int(np.searchsorted(key_pts, moment, side="right")) - 1)])
        stop = place[moment] + 1
        if spans and start < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(stop, spans[-1][1]))
        else:
            spans.append((start, stop))
    return spans


def _decode_everything(video: VideoFile, choose: Callable[..., list[int]], max_pixels: int) -> Decoded:
    times = video.decoded_times_s()
    duration_s = video.index.end_s(times)
    wanted = choose(len(times), duration_s=duration_s)
    keep = set(wanted)
    picture = _Picture(video, max_pixels)
    images = [picture(frame) for i, frame in enumerate(video.all_frames()) if i in keep]
    return _decoded(wanted, times, duration_s, images)


def _decoded(wanted: list[int], times: np.ndarray, duration_s: float, images: list[np.ndarray]) -> Decoded:
    return Decoded(len(times), duration_s, len(times) / duration_s, wanted, times[wanted].tolist(), images)


class _Picture:
    """Turns decoded frames of one video into upright uint8 [H, W, 3] RGB of square pixels.

    All get the size of the first: a stream may change its own on the way.
    """

    def __init__(self, video: VideoFile, max_pixels: int) -> None:
        aspect = video.context.sample_aspect_ratio or Fraction(1)
        self.pixel_aspect = aspect if WILDEST_PIXEL >= aspect >= 1 / WILDEST_PIXEL else Fraction(1)
        self.max_pixels = max_pixels
        self.size: tuple[int, int] | None = None  # width and height, after turning
        self.scaler, self.converter = VideoReformatter(), VideoReformatter()  # keep their tables from frame to frame

    def __call__(self, frame: av.VideoFrame) -> np.ndarray:
        turns = round(frame.rotation / 90) % 4
        if self.size is None:
            size = target_size(frame.width, frame.height, self.max_pixels, self.pixel_aspect)
            self.size = size[::-1] if turns % 2 else size
        width, height = self.size[::-1] if turns % 2 else self.size
        flags = _CONVERTER
        if (width, height) != (frame.width, frame.height):
            if frame.format.name == _SCALED_FIRST:
                frame = self.scaler.reformat(frame, width, height, "yuv444p", interpolation=_SCALER, threads=1)
            else:
                flags = _SCALER
        image = self.converter.reformat(frame, width, height, "rgb24", interpolation=flags, threads=1).to_ndarray()
        return np.ascontiguousarray(np.rot90(image, turns)) if turns else image


def _decode_folder(folder: Path, choose: Callable[..., list[int]], max_pixels: int) -> Decoded:
    files = frame_files(folder)
    wanted = choose(len(files), duration_s=len(files) / FOLDER_FPS)
    images = []
    for i in wanted:
        try:
            with Image.open(files[i]) as opened:
                image = opened.convert("RGB")
        except (OSError, Image.DecompressionBombError) as error:
            raise Unusable("undecodable", f"{files[i].name}: {error}") from None
        size = target_size(*image.size, max_pixels)
        images.append(np.asarray(image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)))
    sizes = {image.shape for image in images}
    if len(sizes) > 1:
        raise Unusable("undecodable", f"a folder of images of {len(sizes)} sizes; expected one")
    return _decoded(wanted, np.arange(len(files)) / FOLDER_FPS, len(files) / FOLDER_FPS, images)
