"""Reader of video files: what the container truly holds, whatever its header says.

Frame counts in headers are missing from .mkv and .webm and wrong in damaged files, so the packets are counted. Frame k
of a video is the packet with the k-th smallest presentation time; decoders return that time with each frame.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.codeccontext import VideoCodecContext
from av.video.stream import VideoStream

Reason = Literal[
    "missing",
    "empty",
    "not-a-video",
    "no-video-stream",
    "no-frames",
    "single-frame",
    "truncated",
    "undecodable",
    "absurd-dimensions",
    "absurd-duration",
    "hang",
    "crash",
    "duplicate",
    "malformed-record",
]
MAX_PIXELS = 8192 * 8192
MAX_DURATION_S = 24 * 3600.0
KEPT_BYTES = 64 << 20
DECODABLE_SHARE = 0.9
FOLDER_FPS = 3.0
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
_MAGIC = ((4, b"ftyp"), (0, b"\x1aE\xdf\xa3"), (0, b"RIFF"), (0, b"FLV"), (0, b"OggS"), (0, b"0&\xb2u"))
_NO_CONTAINERS = ("tty", "image2", "bin", "xbin", "idf", "adf")


class Unusable(Exception):
    """A file that cannot serve as a video: one of the reasons, and a detail for people."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class PacketIndex:
    """Packets of a video stream in decoding order, those an edit list hides included.

    pts: int64 [P], in units of time_base_s. key, shown: bool [P]; shown is false for packets hidden by an edit list.
    duration: int64 [P], 0 where the container gives none. reliable: every shown packet has a presentation time of its
    own and the first packet is a key frame, so that frames can be told by their times.
    """

    pts: np.ndarray
    duration: np.ndarray
    key: np.ndarray
    shown: np.ndarray
    time_base_s: float
    nominal_fps: float | None
    reliable: bool

    @property
    def n_frames(self) -> int:
        return int(self.shown.sum())

    def times_s(self) -> np.ndarray:
        """Times of the frames, float64 [n_frames], rising from 0; evenly spaced where the packets do not tell."""
        if self.reliable:
            pts = np.sort(self.pts[self.shown])
            return (pts - pts[0]) * self.time_base_s
        return np.arange(self.n_frames) / (self.nominal_fps or 25.0)

    def duration_s(self) -> float:
        """From the first frame's start to the last one's end; the last lasts as it says, or like the others."""
        return self.end_s(self.times_s())

    def end_s(self, times: np.ndarray) -> float:
        """When the last of the frames at these times, float64 [n], ends."""
        last = 0.0
        if self.reliable:
            shown_pts = np.where(self.shown, self.pts, np.iinfo(np.int64).min)
            last = float(self.duration[int(shown_pts.argmax())]) * self.time_base_s
        if last <= 0.0:
            last = float(np.median(np.diff(times))) if len(times) > 1 else 1.0 / (self.nominal_fps or 25.0)
        return float(times[-1]) + last


class VideoFile:
    """A video opened for decoding on one thread: its packet index, and its packets by position in decoding order.

    Raises Unusable on opening what is not a video.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.container, self.stream = _open(path)
        self.context: VideoCodecContext = self.stream.codec_context
        self._kept: list[av.Packet] | None = []
        try:
            self.index = self._read_index()
        except BaseException:
            self.container.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.container.close()

    def packets(self) -> Iterator[av.Packet]:
        """All packets of the stream in decoding order, from memory, or from the file again if large."""
        if self._kept is not None:
            yield from self._kept
            return
        container, stream = _open(self.path)
        with container:
            for packet in container.demux(stream):
                if not _is_flush(packet):
                    yield packet

    def frames(self, packets: Iterable[av.Packet], wanted: Container[int] | None = None) -> Iterator[av.VideoFrame]:
        """Frames decoded from the packets, from a fresh state, drained at the end. Damaged packets are passed over.

        wanted: presentation times; where given, frames that are not wanted and that no other frame needs are skipped.
        """
        context = self.context
        context.flush_buffers()
        for packet in packets:
            context.skip_frame = "NONREF" if wanted is not None and packet.pts not in wanted else "DEFAULT"
            try:
                yield from context.decode(packet)
            except av.FFmpegError:
                continue
        context.skip_frame = "DEFAULT"
        try:
            yield from context.decode(None)
        except av.FFmpegError:
            return

    def all_frames(self) -> Iterator[av.VideoFrame]:
        """Every frame that is to be shown and can be decoded, in order of presentation."""
        hidden = set(self.index.pts[~self.index.shown].tolist()) if self.index.reliable else set()
        for frame in self.frames(self.packets()):
            if frame.pts not in hidden:
                yield frame

    def decoded_times_s(self) -> np.ndarray:
        """Times of the frames that come out when everything is decoded, float64 [n], rising from 0.

        Where the frames' own times repeat or are missing, frames are evenly spaced over the same span. Raises Unusable
        where too few frames come out.
        """
        pts = [frame.pts for frame in self.all_frames()]
        if len(pts) < max(1.0, DECODABLE_SHARE * self.index.n_frames):
            raise Unusable("undecodable", f"{len(pts)} of {self.index.n_frames} frames can be decoded")
        known = np.array([moment for moment in pts if moment is not None], dtype=np.float64) * self.index.time_base_s
        if len(known) == len(pts) and (np.diff(known) > 0).all():
            return known - known[0]
        if self.index.reliable:
            raise Unusable("undecodable", "frames do not come out in the order of their times")
        span = float(np.ptp(known)) if len(known) > 1 else 0.0
        step = span / (len(pts) - 1) if span > 0 else 1.0 / (self.index.nominal_fps or 25.0)
        return np.arange(len(pts)) * step

    def _read_index(self) -> PacketIndex:
        rows: list[tuple[int | None, int, bool, bool]] = []
        kept_bytes = 0
        fault = ""
        try:
            for packet in self.container.demux(self.stream):
                if _is_flush(packet):
                    continue
                rows.append((packet.pts, packet.duration or 0, packet.is_keyframe, not packet.is_discard))
                kept_bytes += packet.size
                if kept_bytes > KEPT_BYTES:
                    self._kept = None
                if self._kept is not None:
                    self._kept.append(packet)
        except av.FFmpegError as error:
            fault = _message(error)
        shown = np.array([row[3] for row in rows], dtype=bool)
        if not shown.any():
            raise Unusable("no-frames", fault or f"{len(rows)} packets, none shown")
        if fault or (self.container.format.name.startswith("mov,") and len(rows) < self.stream.frames):
            raise Unusable(
                "truncated", f"{len(rows)} of {self.stream.frames or 'unknown'} frames present {fault}".strip()
            )
        known = all(row[0] is not None for row in rows if row[3])
        pts = np.array([row[0] or 0 for row in rows], dtype=np.int64)
        rate = self.stream.average_rate or self.stream.guessed_rate
        index = PacketIndex(
            pts=pts,
            duration=np.array([row[1] for row in rows], dtype=np.int64),
            key=np.array([row[2] for row in rows], dtype=bool),
            shown=shown,
            time_base_s=float(self.stream.time_base or 0),
            nominal_fps=float(rate) if rate else None,
            reliable=bool(known and self.stream.time_base and rows[0][2] and len(np.unique(pts[shown])) == shown.sum()),
        )
        if index.duration_s() > MAX_DURATION_S:
            raise Unusable("absurd-duration", f"{index.duration_s():.0f} s; at most {MAX_DURATION_S:.0f}")
        declared = _declared_duration_s(self.stream)
        if declared is not None and index.duration_s() < min(0.95 * declared, declared - 0.5):
            raise Unusable("truncated", f"{index.duration_s():.2f} of {declared:.2f} s present")
        return index


def _open(path: Path) -> tuple[InputContainer, VideoStream]:
    if not path.is_file():
        raise Unusable("missing", "no such file")
    if path.stat().st_size == 0:
        raise Unusable("empty", "0 bytes")
    try:
        container = av.open(str(path), mode="r", metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        with path.open("rb") as handle:
            head = handle.read(16)
        known = any(head[start : start + len(magic)] == magic for start, magic in _MAGIC)
        raise Unusable("truncated" if known else "not-a-video", _message(error)) from None
    try:
        return container, _video_stream(container)
    except BaseException:
        container.close()
        raise


def _video_stream(container: InputContainer) -> VideoStream:
    name = container.format.name
    if name in _NO_CONTAINERS or name.endswith("_pipe"):
        raise Unusable("not-a-video", f"opens as {name}")
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise Unusable("no-video-stream", f"{name} with {len(container.streams)} other streams")
    context = streams[0].codec_context
    if context is None:
        raise Unusable("undecodable", "no decoder for this codec")
    if context.width < 1 or context.height < 1 or context.width * context.height > MAX_PIXELS:
        raise Unusable("absurd-dimensions", f"{context.width}x{context.height}; at most {MAX_PIXELS} pixels")
    context.thread_count = 1
    context.options = {"max_pixels": str(MAX_PIXELS)}
    return streams[0]


def _declared_duration_s(stream: VideoStream) -> float | None:
    """Length of this stream, as .mkv and .webm files tell it; their header tells only that of the longest stream."""
    try:
        hours, minutes, seconds = stream.metadata.get("DURATION", "").split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def _is_flush(packet: av.Packet) -> bool:
    return packet.size == 0 and packet.dts is None


def frame_files(folder: Path) -> list[Path]:
    """Images of a video that is a folder of frames, in the order of the numbers in their names. Raises Unusable."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise Unusable("no-frames", "a folder without .jpg or .png")
    return sorted(files, key=lambda path: (int("".join(filter(str.isdigit, path.stem)) or 0), path.name))


def _message(error: Exception) -> str:
    return str(error).split(": '")[0].replace("\n", " ")
