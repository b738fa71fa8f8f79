"""Every frame that comes back is the right one: told by the number painted in it, and by decoding from the start."""

import random
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from PIL import Image

from tests.footage import X264, painted, read_number, real_clip, sequential, write_video
from workflow_scripts.frames.decode import Decoded, decode, target_size
from workflow_scripts.video import container as video_module
from workflow_scripts.video.container import Unusable

BUDGETS = (8, 16, 32, 64)
ANY_SIZE = 10**9
UNEVEN = [0]
for _ in range(119):
    UNEVEN.append(UNEVEN[-1] + random.Random(len(UNEVEN)).choice([7, 33, 40, 41, 100, 700]))
CASES: dict[str, dict] = {
    "closed.mp4": {"codec": "libx264", "options": X264, "gop": 10},
    "long_gop.mp4": {"codec": "libx264", "options": X264, "gop": 250},
    "open_gop.mkv": {"codec": "libx264", "options": X264 | {"x264-params": "open-gop=1:b-pyramid=normal"}, "gop": 12},
    "key_frames_only.mp4": {"codec": "libx264", "options": {"preset": "veryfast"}, "gop": 1},
    "uneven.mp4": {"codec": "libx264", "options": X264, "times_ms": UNEVEN},
    "uneven.mkv": {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime"}, "times_ms": UNEVEN},
    "hidden_references.mkv": {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "lag-in-frames": "16"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"cpu-used": "8", "deadline": "realtime"}},
    "hevc.mp4": {"codec": "libx265", "options": {"preset": "ultrafast", "x265-params": "bframes=4:log-level=none"}},
    "transport.ts": {"codec": "libx264", "options": X264},
    "no_times.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "elementary.h264": {"codec": "libx264", "options": X264},
    "late_start.mp4": {"codec": "libx264", "options": X264, "times_ms": range(5000, 8000, 40)},
    "five_frames.mp4": {"codec": "libx264", "options": X264, "times_ms": range(0, 200, 40)},
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for name, case in CASES.items():
        write_video(folder / name, **case)
    return folder


def check(decoded: Decoded, path: Path) -> None:
    """Compare with a decode from the start, which is written without the code under test."""
    images, times = sequential(path)
    told = (np.diff(times) > 0).all()
    assert decoded.n_frames == len(images)
    wanted = sorted({i * len(images) // budget for budget in BUDGETS for i in range(budget)})
    assert decoded.index == wanted
    for index, time, image in zip(decoded.index, decoded.timestamp_s, decoded.images, strict=True):
        assert time == pytest.approx(
            times[index] if told else times[-1] / (len(times) - 1) * index, abs=1e-6 if told else 0.1
        )
        expected = Image.fromarray(images[index]).resize(image.shape[1::-1], Image.Resampling.BICUBIC)
        assert np.abs(image.astype(float) - np.asarray(expected)).mean() < 3


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kept", [1 << 30, 0], ids=["packets kept", "file read again"])
def test_every_frame_is_the_right_one(corpus: Path, name: str, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_module, "KEPT_BYTES", kept)
    decoded = decode(corpus / name, BUDGETS, ANY_SIZE)
    assert [read_number(image) for image in decoded.images] == decoded.index
    check(decoded, corpus / name)


def test_true_times_of_an_uneven_video(corpus: Path) -> None:
    decoded = decode(corpus / "uneven.mp4", (8,), ANY_SIZE)
    assert decoded.timestamp_s == pytest.approx([UNEVEN[i] / 1000 for i in decoded.index], abs=1e-3)
    assert decoded.fps == pytest.approx(len(UNEVEN) / decoded.duration_s)
    assert decoded.duration_s > UNEVEN[-1] / 1000


def test_length_includes_the_last_frame(corpus: Path) -> None:
    decoded = decode(corpus / "closed.mp4", (8,), ANY_SIZE)
    assert decoded.duration_s == pytest.approx(4.0, abs=0.01)
    assert decode(corpus / "late_start.mp4", (8,), ANY_SIZE).timestamp_s[0] == 0.0


@pytest.mark.parametrize("name", ["bikes.mp4", "carphone_pristine.mp4", "carphone_distorted.mp4", "bigbuckbunny.mp4"])
def test_real_footage(name: str) -> None:
    path = real_clip(name)
    check(decode(path, BUDGETS, ANY_SIZE), path)


def test_frames_hidden_by_an_edit_list_do_not_count(tmp_path: Path) -> None:
    path = write_video(
        tmp_path / "cut.mp4",
        times_ms=range(-400, 3600, 40),
        options=X264 | {"bf": "0"},
        container_options={"avoid_negative_ts": "disabled"},
    )
    decoded = decode(path, BUDGETS, ANY_SIZE)
    assert decoded.n_frames == 90
    assert [read_number(image) for image in decoded.images] == [10 + i for i in decoded.index]
    check(decoded, path)


def _turn(path: Path, degrees: int) -> None:
    """Write the track's matrix (ISO/IEC 14496-12, 8.3.2) that tells players to turn the picture clockwise."""
    cosine, sine = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version and flags, times, ids, layer, volume
    one = 1 << 16
    data[at : at + 36] = struct.pack(">9i", cosine * one, sine * one, 0, -sine * one, cosine * one, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_turned_footage_comes_out_upright(tmp_path: Path, degrees: int) -> None:
    path = write_video(tmp_path / "turned.mp4", options=X264, times_ms=range(0, 400, 40))
    _turn(path, degrees)
    expected = Image.fromarray(painted(0)).rotate(-degrees, expand=True)
    first = decode(path, (8,), ANY_SIZE).images[0]
    assert first.shape == np.asarray(expected).shape
    assert np.abs(first.astype(float) - np.asarray(expected)).mean() < 12


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    path = write_video(tmp_path / "wide.mp4", options=X264, times_ms=range(0, 400, 40), pixel_aspect=Fraction(4, 3))
    assert decode(path, (8,), ANY_SIZE).images[0].shape == (90, 160, 3)


@pytest.mark.parametrize("sizes", [((160, 120), (320, 240)), ((320, 240), (160, 90))], ids=["grows", "shrinks"])
def test_a_stream_that_changes_size_keeps_the_first(tmp_path: Path, sizes: Sequence[tuple[int, int]]) -> None:
    parts = [
        write_video(
            tmp_path / f"{part}.h264", options=X264, times_ms=range(0, 1000, 40), size=size, first_number=25 * part
        )
        for part, size in enumerate(sizes)
    ]
    path = tmp_path / "changes.h264"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    decoded = decode(path, (8,), ANY_SIZE)
    assert np.stack(decoded.images).shape == (8, *sizes[0][::-1], 3)
    assert [read_number(image) for image in decoded.images] == decoded.index


@pytest.mark.parametrize("size", [(160, 120), (1920, 1080), (7, 5000), (448, 448), (449, 448), (8000, 3)])
def test_size_is_bounded_and_keeps_its_proportions(size: tuple[int, int]) -> None:
    width, height = target_size(*size, 448 * 448)
    assert width * height <= 448 * 448
    assert width <= size[0]
    assert height <= size[1]
    if size[0] * size[1] <= 448 * 448:
        assert (width, height) == size
    else:
        assert width * height > 0.95 * 448 * 448 or min(width, height) < 40
        assert width / height == pytest.approx(size[0] / size[1], rel=0.15 if min(size) < 10 else 0.01)


def test_frames_are_scaled_down_on_the_way(corpus: Path) -> None:
    decoded = decode(corpus / "closed.mp4", BUDGETS, 60 * 80)
    assert {image.shape for image in decoded.images} == {(60, 80, 3)}
    assert [read_number(image) for image in decoded.images] == decoded.index


@pytest.mark.parametrize("max_pixels", [120 * 280, 200 * 471])
def test_scaling_is_that_of_the_planes(max_pixels: int) -> None:
    """Against the clip's luma and chroma, each scaled in floating point, and the colours that BT.601 gives them."""
    path = real_clip("bikes.mp4")
    decoded = decode(path, (8,), max_pixels)
    size = decoded.images[0].shape[1::-1]

    def scaled(plane: av.video.plane.VideoPlane) -> np.ndarray:
        levels = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:, : plane.width]
        image = Image.fromarray(levels.astype(np.float32))
        return np.asarray(image.resize(size, Image.Resampling.BILINEAR))

    with av.open(str(path)) as video:
        for index, frame in enumerate(video.decode(video=0)):
            if index in decoded.index:
                luma, blue, red = (scaled(plane) for plane in frame.planes)
                luma, blue, red = 255 / 219 * (luma - 16), 255 / 224 * (blue - 128), 255 / 224 * (red - 128)
                right = (luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue)
                error = decoded.images[decoded.index.index(index)] - np.stack(right, -1).clip(0, 255)
                assert np.abs(error).mean() < 0.6
                assert np.abs(error.mean((0, 1))).max() < 0.5
                assert np.percentile(np.abs(error), 99.9) < 6


def test_a_folder_of_images_is_a_video_of_three_frames_a_second(tmp_path: Path) -> None:
    for number in range(1, 31):
        Image.fromarray(painted(number - 1)).save(tmp_path / f"{number}.{'png' if number % 2 else 'jpg'}")
    (tmp_path / "note.txt").write_text("not a frame")
    decoded = decode(tmp_path, (8,), ANY_SIZE)
    assert (decoded.n_frames, decoded.fps, decoded.duration_s) == (30, 3.0, 10.0)
    assert [read_number(image) for image in decoded.images] == decoded.index == [0, 3, 7, 11, 15, 18, 22, 26]
    assert decoded.timestamp_s == pytest.approx([i / 3 for i in decoded.index])


def test_a_damaged_frame_in_the_middle_never_gives_a_wrong_frame(corpus: Path, tmp_path: Path) -> None:
    data = bytearray((corpus / "open_gop.mkv").read_bytes())
    rng = random.Random(0)
    for attempt in range(12):
        broken = bytearray(data)
        for _ in range(1 << attempt % 6):
            broken[rng.randrange(2000, len(data))] ^= 1 << rng.randrange(8)
        path = tmp_path / f"{attempt}.mkv"
        path.write_bytes(broken)
        try:
            decoded = decode(path, BUDGETS, ANY_SIZE)
        except Unusable:
            continue
        assert decoded.index == sorted(set(decoded.index))
        assert all(b > a for a, b in zip(decoded.timestamp_s, decoded.timestamp_s[1:], strict=False))


def test_what_is_no_video_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unusable) as caught:
        decode(tmp_path / "absent.mp4", BUDGETS, ANY_SIZE)
    assert caught.value.reason == "missing"
    (tmp_path / "empty").mkdir()
    with pytest.raises(Unusable) as caught:
        decode(tmp_path / "empty", BUDGETS, ANY_SIZE)
    assert caught.value.reason == "no-frames"


def test_only_the_wanted_frames_are_converted(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted: list[int] = []

    class Counting:
        def __init__(self) -> None:
            self.inner = VideoReformatter()

        def reformat(self, frame: av.VideoFrame, *args: Any, **options: Any) -> av.VideoFrame:
            converted.append(frame.pts)
            return self.inner.reformat(frame, *args, **options)

    monkeypatch.setattr("workflow_scripts.frames.decode.VideoReformatter", Counting)
    decode(corpus / "closed.mp4", (8,), ANY_SIZE)
    assert len(converted) == 8
