"""Probing: what a good file is, and why a bad one is not used."""

import hashlib
import struct
from pathlib import Path

import pytest
from PIL import Image

from tests.footage import X264, painted, real_clip, sequential, write_audio, write_video
from workflow_scripts.curation.probing import Probe, probe
from workflow_scripts.video.container import Unusable

VP9 = {"cpu-used": "8", "deadline": "realtime"}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    write_video(folder / "a.mp4", options=X264)
    write_video(folder / "b.mkv", "libvpx-vp9", options=VP9)
    write_video(folder / "c.webm", "libvpx-vp9", options=VP9, times_ms=[0, 40, 500, 540, 3000])
    write_video(folder / "d.avi", "mpeg4", options={"bf": "2"})
    write_video(folder / "fast.mp4", options=X264, container_options={"movflags": "faststart"})
    return folder


@pytest.mark.parametrize(
    ("name", "frames", "seconds"),
    [("a.mp4", 100, 4.0), ("b.mkv", 100, 4.0), ("c.webm", 5, 3.04), ("d.avi", 100, 4.0), ("fast.mp4", 100, 4.0)],
)
def test_a_good_video(good: Path, name: str, frames: int, seconds: float) -> None:
    found = probe(good / name)
    assert isinstance(found, Probe)
    assert (found.n_frames, found.width, found.height) == (frames, 160, 120)
    assert found.duration_s == pytest.approx(seconds, abs=0.5 if name == "c.webm" else 0.05)
    assert found.fps == pytest.approx(frames / found.duration_s)
    assert found.sha256 == hashlib.sha256((good / name).read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["bikes.mp4", "carphone_pristine.mp4", "bigbuckbunny.mp4"])
def test_real_footage(name: str) -> None:
    path = real_clip(name)
    found = probe(path)
    images, times = sequential(path)
    assert isinstance(found, Probe)
    assert found.n_frames == len(images)
    assert (found.height, found.width) == images[0].shape[:2]
    assert times[-1] < found.duration_s < times[-1] * (1 + 2 / len(times))


def reason(path: Path) -> str:
    found = probe(path)
    assert isinstance(found, Unusable), found
    assert found.detail
    return found.reason


def test_what_is_no_video(tmp_path: Path) -> None:
    assert reason(tmp_path / "absent.mp4") == "missing"
    (tmp_path / "empty.mp4").touch()
    assert reason(tmp_path / "empty.mp4") == "empty"
    for name, content in {
        "text.mp4": b"This video is not available.",
        "page.mp4": b"<html><body>404</body></html>" * 99,
        "notes.txt": b"one line\n" * 500,
        "zeros.mkv": bytes(5000),
    }.items():
        (tmp_path / name).write_bytes(content)
        assert reason(tmp_path / name) == "not-a-video"
    Image.fromarray(painted(3)).save(tmp_path / "picture.png")
    (tmp_path / "picture.png").rename(tmp_path / "picture.mp4")
    assert reason(tmp_path / "picture.mp4") == "not-a-video"
    assert reason(write_audio(tmp_path / "sound.mp4")) == "no-video-stream"
    assert reason(write_video(tmp_path / "one.mp4", options=X264, times_ms=[0])) == "single-frame"


@pytest.mark.parametrize("name", ["a.mp4", "b.mkv", "fast.mp4"])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.5, 0.8])
def test_truncated(good: Path, tmp_path: Path, name: str, share: float) -> None:
    data = (good / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(len(data) * share)])
    assert reason(path) in {"truncated", "no-frames", "undecodable"}


def test_pictures_overwritten_with_noise(good: Path, tmp_path: Path) -> None:
    data = bytearray((good / "a.mp4").read_bytes())
    start = data.index(b"mdat") + 4
    size = int.from_bytes(data[start - 8 : start - 4], "big") - 8
    data[start : start + size] = hashlib.shake_256(b"noise").digest(size)
    (tmp_path / "noise.mp4").write_bytes(data)
    assert reason(tmp_path / "noise.mp4") == "undecodable"


def test_absurd_dimensions(good: Path, tmp_path: Path) -> None:
    data = bytearray((good / "b.mkv").read_bytes())
    width = data.index(b"\xb0\x81\xa0")  # PixelWidth, one byte, 160
    data[width : width + 6] = b"\xb0\x84" + struct.pack(">I", 200_000)  # overwrites PixelHeight, which then is unknown
    (tmp_path / "giant.mkv").write_bytes(data)
    assert reason(tmp_path / "giant.mkv") in {"absurd-dimensions", "no-video-stream", "truncated", "not-a-video"}


def test_a_length_beyond_a_day(tmp_path: Path) -> None:
    path = write_video(tmp_path / "endless.mkv", options=X264 | {"bf": "0"}, times_ms=[0, 40, 80, 100_000_000])
    assert reason(path) == "absurd-duration"


def test_a_folder_of_images(tmp_path: Path) -> None:
    assert reason(tmp_path) == "no-frames"
    for number in range(6):
        Image.fromarray(painted(number)).save(tmp_path / f"{number:05d}.jpg")
    found = probe(tmp_path)
    assert isinstance(found, Probe)
    assert (found.n_frames, found.fps, found.duration_s, found.width, found.height) == (6, 3.0, 2.0, 160, 120)
