"""Archives that were made to do harm: refused member by member, or as a whole."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from workflow_scripts.hub.archive import Member, tar_members, zip_members
from workflow_scripts.hub.names import clean
from workflow_scripts.hub.stream import Damaged


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for entry, data in members:
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def plain(name: str, data: bytes = b"data", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    for key, value in fields.items():
        setattr(entry, key, value)
    return entry, data


def unpacked(data: bytes, folder: Path, **bounds: int) -> list[Member]:
    """Members, the good ones written by their number."""
    members = []
    for member, write in tar_members(io.BytesIO(data), len(data), "archive", **bounds):
        if not member.refused:
            write(folder / str(len(members)))
        members.append(member)
    return members


@pytest.mark.parametrize(
    ("name", "tidy"), [("a/b.mp4", "a/b.mp4"), ("./a//b.mp4", "a/b.mp4"), ("a/./..b", "a/..b"), ("ä/…", "ä/…")]
)
def test_good_names(name: str, tidy: str) -> None:
    assert clean(name) == tidy


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "./",
        "/etc/passwd",
        "../x",
        "a/../../x",
        "a/..",
        "a\\..\\x",
        "a\0b",
        "a\nb",
        "x" * 256,
        "\udcff",
        "a/" * 600,
    ],
)
def test_bad_names(name: str) -> None:
    with pytest.raises(ValueError, match=r"name|path"):
        clean(name)


@pytest.mark.parametrize("packed", [lambda data: data, gzip.compress])
def test_plain_files_come_out(tmp_path: Path, packed) -> None:  # type: ignore[no-untyped-def]
    folder = plain("folder", b"", type=tarfile.DIRTYPE)
    members = unpacked(packed(tar(folder, plain("folder/a", b"one"), plain("b" * 200, b""))), tmp_path)
    assert members == [Member("folder/a", 3), Member("b" * 200, 0)]
    assert [(tmp_path / name).read_bytes() for name in "01"] == [b"one", b""]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (plain("../x"), "a path out of the folder"),
        (plain("/x"), "an absolute path"),
        (plain("x", b"", type=tarfile.SYMTYPE, linkname="../../y"), "a link to '../../y'"),
        (plain("x", b"", type=tarfile.LNKTYPE, linkname="y"), "a link to 'y'"),
        (plain("x", b"", type=tarfile.BLKTYPE), "a device, or another special file"),
        (plain("x", b"", type=tarfile.FIFOTYPE), "a device, or another special file"),
        (plain("x", bytes(1001)), "1001 bytes, more than 1000"),
    ],
)
def test_what_is_no_plain_file_is_refused(tmp_path: Path, entry: tuple[tarfile.TarInfo, bytes], reason: str) -> None:
    members = unpacked(tar(plain("before"), entry, plain("after")), tmp_path, largest=1000)
    assert [member.refused for member in members] == ["", reason, ""]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "2"]


def test_permissions_are_this_users(tmp_path: Path) -> None:
    unpacked(tar(plain("x", mode=0o7777, uid=0, gid=0)), tmp_path)
    assert stat.S_IMODE((tmp_path / "0").stat().st_mode) & 0o7111 == 0


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    data = gzip.compress(tar(*(plain(f"x{number}", bytes(5_000_000)) for number in range(30))), 9)
    assert len(data) < 200_000
    with pytest.raises(Damaged, match="unpacks to more than"):
        unpacked(data, tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 10_000_000


def test_a_header_does_not_fill_the_memory(tmp_path: Path) -> None:
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    with pytest.raises(Damaged, match="a header of 1099511627776 bytes"):
        unpacked(header.tobuf(tarfile.GNU_FORMAT) + bytes(10_000), tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no archive at all" * 100,
        gzip.compress(tar(plain("x", bytes(range(256)) * 999)))[:-3000],
        b"\x1f\x8b" + bytes(600),
    ],
)
def test_what_is_no_archive_is_damaged(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Damaged):
        unpacked(data, tmp_path)
    assert not list(tmp_path.iterdir())


def test_zip_archives_are_no_better_trusted(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/", b"")
        archive.writestr("good", b"one")
        archive.writestr("../x", b"two")
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    members = []
    for member, write in zip_members(path, "archive"):
        members.append(member)
        if not member.refused:
            write(tmp_path / member.name)
    assert [(member.name, member.refused) for member in members] == [
        ("good", ""),
        ("../x", "a path out of the folder"),
        ("link", "a link"),
    ]
    assert (tmp_path / "good").read_bytes() == b"one"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb", bytes(50_000_000))
    with pytest.raises(Damaged, match="unpacks to more than"):
        list(zip_members(path, "archive"))
    path.write_bytes(b"no archive")
    with pytest.raises(Damaged, match="not a readable zip archive"):
        list(zip_members(path, "archive"))


def test_a_zip_member_that_is_damaged_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good", b"one" * 1000)
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(bytes(data))
    members = zip_members(path, "archive")
    _, write = next(members)
    with pytest.raises(Damaged, match="cannot be unpacked"):
        write(tmp_path / "good")
    assert not (tmp_path / "good").exists()
