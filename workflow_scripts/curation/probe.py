"""Probe one video: what it is, or why it cannot be used. Runs in a worker process that can be killed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from workflow_scripts.video.container import FOLDER_FPS, Unusable, VideoFile, frame_files


@dataclass(frozen=True, slots=True)
class Probe:
    """A usable video. Sizes in pixels, as coded; fps is the mean over the clip; sha256 of the file's bytes."""

    duration_s: float
    fps: float
    n_frames: int
    width: int
    height: int
    sha256: str


def probe(path: Path) -> Probe | Unusable:
    """Count the packets, decode the first frame and the last group of pictures.

    path: a file, or a folder of images. Where presentation times cannot tell frames apart, or the last frame does not
    come out, everything is decoded and counted. Returns what it found, usable or not.
    """
    try:
        return _probe_folder(path) if path.is_dir() else _probe_file(path)
    except Unusable as unusable:
        return unusable


def probe_in(root: Path, path: str) -> Probe | Unusable:
    """Probe a video whose path is relative to the root."""
    return probe(root / path)


def _probe_file(path: Path) -> Probe:
    with VideoFile(path) as video:
        index = video.index
        first = next(video.frames(video.packets()), None)
        if first is None:
            raise Unusable("undecodable", "no frame comes out of the decoder")
        sound = index.reliable and _last_frame_decodes(video)
        times = index.times_s() if sound else video.decoded_times_s()
        n_frames = len(times)
        if n_frames < 2:
            raise Unusable("single-frame", "a video of one frame")
        duration = index.end_s(times)
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
        return Probe(duration, n_frames / duration, n_frames, first.width, first.height, digest)


def _last_frame_decodes(video: VideoFile) -> bool:
    index = video.index
    start = int(index.key.nonzero()[0][-1])
    packets = (packet for position, packet in enumerate(video.packets()) if position >= start)
    last = index.pts[index.shown].max()
    return any(frame.pts == last for frame in video.frames(packets))


def _probe_folder(folder: Path) -> Probe:
    from PIL import Image

    files = frame_files(folder)
    if len(files) < 2:
        raise Unusable("single-frame", "a folder of one image")
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    try:
        with Image.open(files[0]) as image:
            width, height = image.size
    except OSError as error:
        raise Unusable("undecodable", f"{files[0].name}: {error}") from None
    return Probe(len(files) / FOLDER_FPS, FOLDER_FPS, len(files), width, height, digest.hexdigest())
