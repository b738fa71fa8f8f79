"""Probe videos: what each is, or why it cannot be used. Each runs in a worker process that can be killed.

A table of probes (PROBES), a row a video: video (path relative to the data set's root), reason and detail where it is
unusable, and what a Probe holds where it is not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from workflow_scripts.settings import InputError, cli
from workflow_scripts.settings.workers import Outcome, each
from workflow_scripts.video.container import FOLDER_FPS, Unusable, VideoFile, frame_files

FOUND = [
    ("duration_s", pa.float64()),
    ("fps", pa.float64()),
    ("n_frames", pa.int32()),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("sha256", pa.string()),
]
"""Columns of what a Probe holds."""
PROBES = pa.schema([("video", pa.string()), ("reason", pa.string()), ("detail", pa.string()), *FOUND])


@dataclass(frozen=True, slots=True)
class Probe:
    """A usable video. Sizes in pixels, as coded; fps is the mean over the clip; sha256 of the file's bytes."""

    duration_s: float
    fps: float
    n_frames: int
    width: int
    height: int
    sha256: str


def probe_all(dataset: Path, paths: Sequence[str], *, workers: int, timeout_s: float) -> dict[str, Probe | Unusable]:
    """Probe videos in parallel. One that takes longer than the time limit is killed and is a hang.

    paths: relative to the data set's root.
    """
    found: dict[str, Probe | Unusable] = {}
    with cli.progress(len(paths), "videos probed") as advance:
        outcomes = each(
            partial(probe_in, dataset),
            paths,
            workers=workers,
            timeout_s=timeout_s,
            lookahead=64,
            preload=["pyarrow", "workflow_scripts.curation.probing"],
        )
        for path, outcome in zip(paths, outcomes, strict=True):
            found[path] = _judge(outcome, timeout_s)
            advance()
    return found


def _judge(outcome: Outcome[Probe | Unusable], timeout_s: float) -> Probe | Unusable:
    if outcome.hung:
        return Unusable("hang", f"no answer within {timeout_s:g} s")
    if outcome.exit_code is not None:
        return Unusable("crash", f"the probing process ended with {outcome.exit_code}")
    if outcome.value is None:
        return Unusable("undecodable", f"{type(outcome.error).__name__}: {outcome.error}")
    return outcome.value


def probes_table(found: Mapping[str, Probe | Unusable]) -> pa.Table:
    """The table of probes, in the order of the mapping."""
    rows = [
        {"video": path} | ({"reason": one.reason, "detail": one.detail} if isinstance(one, Unusable) else asdict(one))
        for path, one in found.items()
    ]
    return pa.Table.from_pylist(rows, schema=PROBES)


def read_probes(paths: Iterable[Path]) -> dict[str, Probe | Unusable]:
    """What several tables hold, by video. Raises InputError naming a file that is no table of probes."""
    found: dict[str, Probe | Unusable] = {}
    for path in paths:
        try:
            table = pq.read_table(path, schema=PROBES)
        except (OSError, pa.ArrowException) as error:
            raise InputError(f"file {path} is not readable ({error}); expected what the rule probe writes") from None
        for row in table.to_pylist():
            video, reason, detail = row.pop("video"), row.pop("reason"), row.pop("detail")
            found[video] = Probe(**row) if reason is None else Unusable(reason, detail)
    return found


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
    for file in (files[-1], files[0]):
        try:
            with Image.open(file) as image:
                image.load()
                width, height = image.size
        except (OSError, Image.DecompressionBombError) as error:
            raise Unusable("undecodable", f"{file.name}: {error}") from None
    return Probe(len(files) / FOLDER_FPS, FOLDER_FPS, len(files), width, height, digest.hexdigest())
