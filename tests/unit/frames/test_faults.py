"""Over two hundred damaged videos: no shard falls, none is lost without a reason, no good one is turned away.

Damage is drawn from seeds, so that the corpus is the same each time.
"""

from __future__ import annotations

import csv
import hashlib
import os
import random
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pytest
from PIL import Image

from tests.footage import X264, painted, read_number, write_audio, write_video
from workflow_scripts.curation.probing import Probe, probe_all
from workflow_scripts.frames.rows import Recipe
from workflow_scripts.frames.store import FrameStore, write_shard
from workflow_scripts.video.container import Reason, Unusable

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("faults")]
BUDGETS = (8, 16)
TIMEOUT_S = 120.0
VP9 = {"cpu-used": "8", "deadline": "realtime"}
GOOD: dict[str, dict] = {
    "plain.mp4": {"options": X264},
    "fast.mp4": {"options": X264, "container_options": {"movflags": "faststart"}},
    "fragments.mp4": {"options": X264, "container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "h264.mkv": {"options": X264},
    "vp9.webm": {"codec": "libvpx-vp9", "options": VP9},
    "hevc.mp4": {"codec": "libx265", "options": {"preset": "ultrafast", "x265-params": "bframes=3:log-level=none"}},
    "old.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "stream.ts": {"options": X264},
}
DISGUISES = {"plain.mp4": "a.avi", "h264.mkv": "b.mp4", "vp9.webm": "c.mp4", "old.avi": "d.mkv", "fast.mp4": "e.txt"}
TELLS_ITS_LENGTH = ("plain.mp4", "fast.mp4", "h264.mkv", "vp9.webm", "hevc.mp4")


@dataclass
class Corpus:
    """Paths relative to the root. hopeless: what nobody could use; doubtful: damage that a decoder may get over."""

    root: Path
    good: list[str] = field(default_factory=list)
    hopeless: list[str] = field(default_factory=list)
    doubtful: list[str] = field(default_factory=list)

    @property
    def all(self) -> list[str]:
        return sorted([*self.good, *self.hopeless, *self.doubtful])

    def write(self, kind: list[str], name: str, data: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        kind.append(name)


def patched(data: bytes, find: bytes, offset: int, value: bytes) -> bytes:
    """The data with the bytes at an offset from the first of the marks overwritten."""
    at = data.index(find) + offset
    return data[:at] + value + data[at + len(value) :]


def damage(corpus: Corpus, name: str, data: bytes) -> None:
    rng = random.Random(name)
    for i in range(10):
        kept = int(len(data) * (0.02 + 0.93 * (i + rng.random()) / 10))
        # A Matroska file that lacks less than half a second counts as whole.
        told = name in TELLS_ITS_LENGTH and (i < 8 or name.endswith(".mp4"))
        kind = corpus.hopeless if told else corpus.doubtful
        corpus.write(kind, f"truncated/{i}-{name}", data[:kept])
    for i in range(12):
        broken = bytearray(data)
        for _ in range(1 << i % 7):
            broken[rng.randrange(len(data))] ^= rng.randrange(1, 256)
        corpus.write(corpus.doubtful, f"flipped/{i}-{name}", bytes(broken))
    for i in range(3):
        start = rng.randrange(len(data) // 2)
        hole = len(data) // 10 * (i + 1)
        corpus.write(corpus.doubtful, f"hole/{i}-{name}", data[:start] + bytes(hole) + data[start + hole :])
    for i in range(2):
        order = [data[k * len(data) // 8 : (k + 1) * len(data) // 8] for k in range(8)]
        rng.shuffle(order)
        corpus.write(corpus.doubtful, f"shuffled/{i}-{name}", b"".join(order))


def headers(corpus: Corpus, good: dict[str, bytes]) -> None:
    """Headers that lie: no rate, no time scale, giant pictures, endless length."""
    mp4, mkv, avi = good["plain.mp4"], good["h264.mkv"], good["old.avi"]
    u32 = struct.Struct(">I").pack
    stsd = mp4.index(b"avc1")
    lies = {
        "no_time_scale.mp4": patched(mp4, b"mdhd", 16, u32(0)),
        "no_movie_scale.mp4": patched(mp4, b"mvhd", 16, u32(0)),
        "frames_of_no_length.mp4": patched(mp4, b"stts", 16, u32(0)),
        "endless_frames.mp4": patched(mp4, b"stts", 16, u32(0x7FFFFFFF)),
        "endless_header.mp4": patched(mp4, b"mdhd", 20, u32(0xFFFFFFFF)),
        "many_frames.mp4": patched(mp4, b"stsz", 12, u32(0x7FFFFFFF)),
        "giant_chunks.mp4": patched(mp4, b"stsc", 16, u32(0x7FFFFFFF)),
        "giant_box.mp4": patched(mp4, b"stsd", -4, u32(0xFFFFFFF0)),
        "giant_picture.mp4": mp4[: stsd + 28] + struct.pack(">HH", 65535, 65535) + mp4[stsd + 32 :],
        "no_picture.mp4": mp4[: stsd + 28] + struct.pack(">HH", 0, 0) + mp4[stsd + 32 :],
        "unknown_codec.mp4": mp4.replace(b"avc1", b"zzzz", 2),
        "no_rate.avi": patched(avi, b"strh", 28, bytes(8)),
        "no_frame_time.avi": patched(avi, b"avih", 8, bytes(4)),
        "giant_picture.avi": patched(avi, b"strf", 12, struct.pack("<ii", 100_000, 100_000)),
        "wide_picture.avi": patched(avi, b"strf", 12, struct.pack("<ii", 2**31 - 1, 1)),
        "no_scale.mkv": patched(mkv, b"\x2a\xd7\xb1", 4, bytes(3)),
    }  # fmt: skip
    for name, data in lies.items():
        corpus.write(corpus.doubtful, f"headers/{name}", data)
    for name in ("unknown_codec.mp4", "endless_frames.mp4"):
        corpus.doubtful.remove(f"headers/{name}")
        corpus.hopeless.append(f"headers/{name}")


def no_videos(corpus: Corpus, good: dict[str, bytes]) -> None:
    noise = hashlib.shake_256(b"noise").digest(20_000)
    for name, data in {
        "empty.mp4": b"",
        "empty.mkv": b"",
        "empty.avi": b"",
        "text.mp4": b"This video is not available any more.\n" * 40,
        "page.mp4": b"<!DOCTYPE html><html><body>404 Not Found</body></html>" * 20,
        "answer.mkv": b'{"error": {"code": 403, "message": "Forbidden"}}',
        "pointer.mp4": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n",
        "subtitles.mp4": b"1\n00:00:00,000 --> 00:00:02,000\nHello\n\n" * 20,
        "playlist.mp4": b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n/nowhere/at_all.ts\n",
        "list.mp4": b"ffconcat version 1.0\nfile /nowhere/at_all.mp4\n",
        "noise.mp4": noise,
        "noise.webm": noise[:5000],
        "zeros.mp4": bytes(10_000),
        "head_and_noise.mp4": good["plain.mp4"][:64] + noise,
        "head_and_noise.mkv": good["h264.mkv"][:64] + noise,
        "one_byte.mp4": b"\x00",
        "archive.mp4": b"PK\x03\x04" + noise[:3000],
    }.items():
        corpus.write(corpus.hopeless, f"none/{name}", data)
    Image.fromarray(painted(3)).save(corpus.root / "none/picture.png")
    (corpus.root / "none/picture.png").rename(corpus.root / "none/picture.mp4")
    write_audio(corpus.root / "none/sound.mp4")
    write_audio(corpus.root / "none/sound.mkv")
    write_video(corpus.root / "none/ages.mkv", options=X264 | {"bf": "0"}, times_ms=[0, 40, 80, 100_000_000])
    (corpus.root / "none/link.mp4").symlink_to("nowhere.mp4")
    os.mkfifo(corpus.root / "none/pipe.mp4")
    (corpus.root / "none/folder.mp4").mkdir()
    (corpus.root / "none/torn").mkdir()
    for number in range(4):
        Image.fromarray(painted(number)).save(corpus.root / f"none/torn/{number}.jpg")
        torn = corpus.root / f"none/torn/{number}.jpg"
        torn.write_bytes(torn.read_bytes()[:700])
    more = ("picture.mp4", "sound.mp4", "sound.mkv", "ages.mkv", "link.mp4", "pipe.mp4", "folder.mp4", "torn")
    corpus.hopeless += [f"none/{name}" for name in more]
    for name in ("one.mp4", "one.mkv"):
        write_video(corpus.root / "single" / name, options=X264, times_ms=[0])
        corpus.doubtful.append(f"single/{name}")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    corpus = Corpus(tmp_path_factory.mktemp("faults"))
    data = {}
    for name, case in GOOD.items():
        path = write_video(corpus.root / "good" / name, **case)
        data[name] = path.read_bytes()
        corpus.good.append(f"good/{name}")
    for name, disguise in DISGUISES.items():
        corpus.write(corpus.good, f"disguised/{disguise}", data[name])
    for name in GOOD:
        damage(corpus, name, data[name])
    headers(corpus, data)
    no_videos(corpus, data)
    return corpus


def test_the_corpus_is_large_enough(corpus: Corpus) -> None:
    assert len(corpus.hopeless) + len(corpus.doubtful) >= 200
    assert len(corpus.all) == len(set(corpus.all))


def told(reasons: Sequence[str], what: str) -> None:
    print(f"{what}: " + ", ".join(f"{reason} {count}" for reason, count in Counter(reasons).most_common()))


def test_probing_says_what_each_is(corpus: Corpus) -> None:
    found = probe_all(corpus.root, corpus.all, workers=2, timeout_s=TIMEOUT_S)
    assert sorted(found) == corpus.all
    unusable = {name: one for name, one in found.items() if isinstance(one, Unusable)}
    told([one.reason for one in unusable.values()], f"probed {len(found)}, unusable {len(unusable)}")
    for one in unusable.values():
        assert one.reason in get_args(Reason)
        assert one.detail
    assert [name for name in corpus.good if name in unusable] == []
    assert [name for name in corpus.hopeless if name not in unusable] == []
    assert not {one.reason for one in unusable.values()} & {"hang", "crash"}
    for name in corpus.doubtful:
        one = found[name]
        if isinstance(one, Probe):
            assert one.n_frames >= 2
            assert 0 < one.duration_s < 86_400
            assert one.fps == pytest.approx(one.n_frames / one.duration_s)


def test_a_shard_holds_each_or_says_why_not(corpus: Corpus, tmp_path: Path) -> None:
    output, quarantine = tmp_path / "shard-0.arrow", tmp_path / "shard-0.quarantine.csv"
    recipe = Recipe(corpus.root, BUDGETS, 4800, 90)
    stored = write_shard(corpus.all, recipe, output, quarantine, workers=2, timeout_s=TIMEOUT_S)
    with quarantine.open() as handle:
        rejected = {row["video"]: row for row in csv.DictReader(handle)}
    told([row["reason"] for row in rejected.values()], f"stored {stored}, rejected {len(rejected)}")
    frames = FrameStore(output)
    assert sorted([*frames.videos, *rejected]) == corpus.all
    assert all(row["reason"] in get_args(Reason) and row["detail"] for row in rejected.values())
    assert not {row["reason"] for row in rejected.values()} & {"hang", "crash"}
    assert [name for name in corpus.good if name in rejected] == []
    assert [name for name in corpus.hopeless if name not in rejected] == []
    for name in corpus.good:
        assert [read_number(image) for image in frames.clip(name, 8).frames] == [i * 100 // 8 for i in range(8)]
    table = pa.ipc.open_file(str(output)).read_all()
    for row in table.to_pylist():
        assert len(row["frame_index"]) == len(row["timestamp_s"]) == len(row["jpeg"]) >= 1
        assert row["frame_index"] == sorted(set(row["frame_index"]))
        assert row["frame_index"][-1] < row["n_frames"]
        assert all(a < b for a, b in zip(row["timestamp_s"], row["timestamp_s"][1:], strict=False))
        assert row["timestamp_s"][-1] < row["duration_s"] < 86_400
        assert len(frames.clip(row["video"], 8)) == min(8, row["n_frames"])


def test_what_is_stored_of_a_damaged_file_shows_its_own_frames(corpus: Corpus, tmp_path: Path) -> None:
    """A byte flipped in a picture spoils that picture; it must not move others: of those readable, few are misread."""
    names = [name for name in corpus.doubtful if name.startswith("flipped/") and int(name[8:].split("-")[0]) % 7 < 2]
    write_shard(names, Recipe(corpus.root, (16,), 4800, 90), tmp_path / "s.arrow", tmp_path / "q.csv", workers=2)
    frames = FrameStore(tmp_path / "s.arrow")
    assert len(frames.videos) > len(names) / 2
    for name in sorted(frames.videos):
        clip = frames.clip(name, 16)
        numbers = [read_number(image) for image in clip.frames]
        exact = sum(number == round(stamp * 25) for number, stamp in zip(numbers, clip.timestamps_s, strict=True))
        assert exact >= len(numbers) / 2, f"{name}: {numbers} at {clip.timestamps_s}"


def launch(root: Path, folder: Path) -> subprocess.Popen[bytes]:
    flags = ["--videos", folder / "list.csv", "--root", root, "--budgets", 8, 16, "--max-pixels", 4800, "--workers", 2]
    place = ["--output", folder / "shard-0.arrow", "--quarantine", folder / "shard-0.quarantine.csv"]
    words = [sys.executable, "-m", "workflow_scripts.frames.store", *flags, *place]
    return subprocess.Popen([str(word) for word in words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_killed_job_leaves_nothing_half_written(corpus: Corpus, tmp_path: Path) -> None:
    names = [*corpus.good, *corpus.doubtful[::5], *corpus.hopeless[::10]]
    (tmp_path / "list.csv").write_text("video\n" + "\n".join(names) + "\n")
    begin = time.monotonic()
    assert launch(corpus.root, tmp_path).wait() == 0
    whole = time.monotonic() - begin
    output, quarantine = tmp_path / "shard-0.arrow", tmp_path / "shard-0.quarantine.csv"
    expected = output.read_bytes(), quarantine.read_bytes()
    rng = random.Random(0)
    killed = 0
    for _ in range(4):
        output.unlink(missing_ok=True)
        quarantine.unlink(missing_ok=True)
        job = launch(corpus.root, tmp_path)
        time.sleep(rng.uniform(0.1, 1.0) * whole)
        job.send_signal(signal.SIGKILL)
        killed += job.wait() == -signal.SIGKILL
        assert not output.exists() or (output.read_bytes(), quarantine.read_bytes()) == expected
        left = {path.name for path in tmp_path.iterdir()} - {"list.csv", output.name, quarantine.name}
        assert all(name.endswith(".partial") for name in left)
    assert killed
    output.unlink(missing_ok=True)
    assert launch(corpus.root, tmp_path).wait() == 0
    assert (output.read_bytes(), quarantine.read_bytes()) == expected
    assert {path.name for path in tmp_path.iterdir()} == {"list.csv", output.name, quarantine.name}


def test_a_killed_job_takes_its_workers_along(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("video\n" + "\n".join(corpus.all) + "\n")
    job = launch(corpus.root, tmp_path)

    def family() -> list[int]:
        """Processes that still write or read for this job, told by what they have open or were started with."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    links = [os.readlink(link) for link in (entry / "fd").iterdir()]
                except OSError:
                    continue
                if any(link.startswith((str(tmp_path), str(corpus.root))) for link in links):
                    found.append(int(entry.name))
        return found

    wait_for(lambda: bool(family()))
    job.kill()
    job.wait()
    wait_for(lambda: not family())
