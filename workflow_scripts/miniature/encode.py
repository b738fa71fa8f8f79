"""Writes a scene as a real video file."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import cast

import av

from workflow_scripts.miniature.render import render
from workflow_scripts.miniature.scene import SIDE, Scene
from workflow_scripts.settings.files import atomic_path

TICK = Fraction(1, 1000)  # the clock of every file: milliseconds
# The same scene gives the same bytes: x264's macroblock tree does not, even on one thread.
OPTIONS = {
    "libx264": {
        "preset": "veryfast",
        "crf": "16",
        "g": "48",
        "bf": "2",
        "threads": "1",
        "x264-params": "mbtree=0",
    },
    "libvpx-vp9": {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "8", "threads": "1"},
}
CONTAINER_OPTIONS = {"fflags": "+bitexact"}  # else Matroska and WebM carry identifiers drawn at random


def write_video(scene: Scene, path: Path, codec: str = "libx264") -> None:
    """Encode every frame of ``scene`` at its timestamp; the suffix of ``path`` (.mp4, .mkv, .webm) is the container.

    The same scene gives the same bytes.
    """
    container_format = {".mp4": "mp4", ".mkv": "matroska", ".webm": "webm"}[path.suffix]
    average_rate = Fraction(scene.n_frames, 1) / Fraction(scene.timestamps_s[-1] + 0.1).limit_denominator(1000)
    with (
        atomic_path(path) as partial,
        av.open(str(partial), "w", format=container_format, options=CONTAINER_OPTIONS) as container,
    ):
        rate = average_rate.limit_denominator(1000)
        stream = cast(av.VideoStream, container.add_stream(codec, rate=rate, options=OPTIONS[codec]))
        stream.width = stream.height = SIDE
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = TICK
        for index, time_s in enumerate(scene.timestamps_s):
            frame = av.VideoFrame.from_ndarray(render(scene, index), format="rgb24")
            frame.pts = round(time_s * 1000)
            frame.time_base = TICK
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
