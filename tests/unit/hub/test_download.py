"""Files from a hub on loopback: listed, brought whole and checked, with connections that break and bytes that lie."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.hub_server import COMMIT, FakeHub
from tests.unit.hub.conftest import NOISE
from workflow_scripts.hub.client import Hub, RemoteFile
from workflow_scripts.hub.download import alone, download, download_all, is_there
from workflow_scripts.hub.stream import Damaged, Stream
from workflow_scripts.settings import InputError

LARGE = "a/large.bin"


def listed(hub: FakeHub) -> dict[str, RemoteFile]:
    return Hub(hub.endpoint).files("dataset", "o/data", COMMIT)


def test_a_listing_has_sizes_and_checksums(hub: FakeHub) -> None:
    files = listed(hub)
    assert list(files) == [LARGE, "empty.txt", "name with space.txt", "small.json"]
    assert (files[LARGE].size, len(files[LARGE].sha256 or "")) == (len(NOISE), 64)
    assert files["small.json"].sha256 is None
    assert list(Hub(hub.endpoint).files("dataset", "o/data", COMMIT, ["*.json"])) == ["small.json"]


def test_what_is_not_on_the_hub_is_said(hub: FakeHub) -> None:
    with pytest.raises(InputError, match=r"o/other at main is not on http://127"):
        Hub(hub.endpoint).commit("dataset", "o/other", "main")
    with pytest.raises(InputError, match=r"o/data at v7: there is no such revision"):
        Hub(hub.endpoint).commit("dataset", "o/data", "v7")
    with pytest.raises(InputError, match=r"http://127.0.0.1:9 cannot be reached"):
        Hub("http://127.0.0.1:9").commit("dataset", "o/data", "main")


def test_files_come_whole(hub: FakeHub, tmp_path: Path) -> None:
    files = listed(hub)
    wanted = [(file, tmp_path / path) for path, file in files.items()]
    assert download_all(wanted, connections=3, label="files") == len(NOISE) + 18
    assert (tmp_path / LARGE).read_bytes() == NOISE
    assert (tmp_path / "small.json").read_text() == '{"a": 1}'
    assert (tmp_path / "empty.txt").read_bytes() == b""
    assert not list(tmp_path.rglob("*.partial"))
    asked = len(hub.asked)
    assert download_all(wanted, connections=3, label="files", by_content=True) == 0
    assert len(hub.asked) == asked


def test_a_connection_that_breaks_goes_on_where_it_was(hub: FakeHub, tmp_path: Path) -> None:
    hub.cuts[LARGE] = [1_200_000, 500_000, 0, 1]
    hub.busy[LARGE] = [503]
    advanced: list[int] = []
    download(listed(hub)[LARGE], tmp_path / "x", advanced.append)
    assert (tmp_path / "x").read_bytes() == NOISE
    assert hub.requests(LARGE)[:3] == ["", "", "bytes=1200000-"]
    assert hub.sent == len(NOISE)
    assert sum(advanced) == len(NOISE)


def test_a_hub_that_knows_no_ranges_is_read_again(hub: FakeHub, tmp_path: Path) -> None:
    hub.ranges, hub.cuts[LARGE] = False, [1_200_000]
    download(listed(hub)[LARGE], tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == NOISE


def test_a_killed_download_goes_on(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "x.partial").write_bytes(NOISE[:2_000_000])
    download(listed(hub)[LARGE], tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == NOISE
    assert hub.requests(LARGE) == ["bytes=2000000-"]
    assert hub.sent == 1_000_000


@pytest.mark.parametrize("before", [b"other" * 1000, NOISE + b"longer"])
def test_a_partial_file_of_something_else_is_thrown_away(hub: FakeHub, tmp_path: Path, before: bytes) -> None:
    (tmp_path / "x.partial").write_bytes(before)
    download(listed(hub)[LARGE], tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == NOISE


@pytest.mark.parametrize("lie", [NOISE[:-1] + b"?", NOISE + b"!"])
def test_a_changed_checksum_keeps_nothing(hub: FakeHub, tmp_path: Path, lie: bytes) -> None:
    hub.lies[LARGE] = lie
    with pytest.raises(InputError, match=rf"{LARGE} of o/data at {COMMIT} is not what the repository lists"):
        download(listed(hub)[LARGE], tmp_path / "x")
    assert list(tmp_path.iterdir()) == []


def test_a_small_file_is_checked_too(hub: FakeHub, tmp_path: Path) -> None:
    hub.lies["small.json"] = b'{"a": 2}'
    with pytest.raises(InputError, match=r"small.json .* is not what the repository lists"):
        download(listed(hub)["small.json"], tmp_path / "x")


def test_one_missing_file_does_not_keep_the_others(hub: FakeHub, tmp_path: Path) -> None:
    hub.gone.add("small.json")
    files = listed(hub)
    with pytest.raises(InputError, match=rf"small.json of o/data at {COMMIT} is missing on the hub"):
        download_all([(file, tmp_path / path) for path, file in files.items()], connections=1, label="files")
    assert (tmp_path / LARGE).read_bytes() == NOISE


def test_a_hub_that_stays_away_is_an_error(hub: FakeHub, tmp_path: Path) -> None:
    hub.cuts[LARGE] = [7] + [0] * 50
    with pytest.raises(InputError, match=r"stopped at byte 7 of 3000000"):
        download(listed(hub)[LARGE], tmp_path / "x")
    assert (tmp_path / "x.partial").read_bytes() == NOISE[:7]


def test_a_stream_can_be_stopped(hub: FakeHub) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(InputError, match="stopped"), Stream(listed(hub)[LARGE], stop=stop) as stream:
        stream.read(10)


def test_a_stream_checks_what_was_not_asked_for_too(hub: FakeHub) -> None:
    hub.lies[LARGE] = NOISE[:-1] + b"?"
    with Stream(listed(hub)[LARGE]) as stream:
        assert stream.read(100) == NOISE[:100]
        with pytest.raises(Damaged, match="the checksum is"):
            stream.finish()


def test_a_file_in_its_place_is_known(hub: FakeHub, tmp_path: Path) -> None:
    file = listed(hub)["small.json"]
    assert not is_there(file, tmp_path / "x", by_content=False)
    (tmp_path / "x").write_text('{"a": 2}')
    assert is_there(file, tmp_path / "x", by_content=False)
    assert not is_there(file, tmp_path / "x", by_content=True)


def test_a_second_fetch_keeps_out(tmp_path: Path) -> None:
    with alone(tmp_path), pytest.raises(InputError, match="being fetched to by another"), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass
