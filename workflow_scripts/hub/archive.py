"""Members of archives from elsewhere: read in order, trusted with nothing.

A member is kept only if it is a plain file whose name stays inside the folder and whose size is bounded. No link,
device or sparse file is ever made; a file gets this user's ordinary permissions, whatever the archive says of them.
"""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from workflow_scripts.hub.names import clean
from workflow_scripts.hub.stream import CHUNK, Damaged

LARGEST_MEMBER = 8 << 30
INFLATION = 20  # an archive may not unpack to more than this many times its own size
LARGEST_HEADER = 1 << 20  # of a long name or of extended attributes, which are read into memory
HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)


@dataclass(frozen=True)
class Member:
    """One entry of an archive: its name as a clean relative path, or as it stands there if it is refused."""

    name: str
    size: int
    refused: str = ""  # why, or nothing


def _judge(name: str, size: int, kind: str | None, largest: int) -> Member:
    """The member, refused where its kind (None: a plain file), its name or its size is."""
    try:
        tidy = clean(name)
    except ValueError as error:
        return Member(name, size, str(error))
    if kind is not None:
        return Member(name, size, kind)
    if not 0 <= size <= largest:
        return Member(name, size, f"{size} bytes, more than {largest}")
    return Member(tidy, size)


class _Header(tarfile.TarInfo):
    """A header that does not fill the memory."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type not in HEADERS or 0 <= self.size <= LARGEST_HEADER:
            return super()._proc_member(tar)  # type: ignore[misc]
        raise tarfile.ReadError(f"a header of {self.size} bytes")


def tar_members(
    source: IO[bytes] | Any, size: int, where: str, largest: int = LARGEST_MEMBER
) -> Iterator[tuple[Member, Callable[[Path], None]]]:
    """Members of a tar archive, plain or compressed, read as a stream; folders are passed over.

    source: its bytes, `size` of them. Yields each member with a function that writes it to a path, to be called before
    the next member is asked for. Raises Damaged where it is not a tar archive, or unpacks to far too much.
    """
    bounded = size * INFLATION + CHUNK
    seen = 0
    try:
        with tarfile.open(fileobj=source, mode="r|*", bufsize=CHUNK, tarinfo=_Header) as tar:
            for entry in tar:
                seen += max(entry.size, 0) if entry.isreg() else 0
                if seen > bounded or entry.size < 0:
                    raise Damaged(f"{where} unpacks to more than {bounded} bytes at its member {entry.name[:80]!r}")
                if not entry.isdir():
                    member = _judge(entry.name, entry.size, _tar_kind(entry), largest)
                    yield member, _writer(tar.extractfile, entry, member)
    except (*BROKEN, ValueError, OverflowError) as error:
        raise Damaged(f"{where} is not a readable tar archive: {error}") from None


def _tar_kind(entry: tarfile.TarInfo) -> str | None:
    if entry.issym() or entry.islnk():
        return f"a link to {entry.linkname[:80]!r}"
    if entry.issparse():
        return "a sparse file"
    return None if entry.isreg() else "a device, or another special file"


def zip_members(
    path: Path, where: str, largest: int = LARGEST_MEMBER
) -> Iterator[tuple[Member, Callable[[Path], None]]]:
    """Members of a zip archive, as above."""
    bounded = path.stat().st_size * INFLATION + CHUNK
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > bounded:
                raise Damaged(f"{where} unpacks to more than {bounded} bytes")
            for entry in entries:
                if not entry.is_dir():
                    member = _judge(entry.filename, entry.file_size, _zip_kind(entry), largest)
                    yield member, _writer(archive.open, entry, member)
    except (*BROKEN, RuntimeError) as error:
        raise Damaged(f"{where} is not a readable zip archive: {error}") from None


def _zip_kind(entry: zipfile.ZipInfo) -> str | None:
    mode = entry.external_attr >> 16
    if entry.flag_bits & 1:
        return "encrypted"
    if stat.S_ISLNK(mode):
        return "a link"
    return None if stat.S_IFMT(mode) in (0, stat.S_IFREG) else "a device, or another special file"


def _writer(open_member: Callable[[Any], IO[bytes] | None], entry: Any, member: Member) -> Callable[[Path], None]:
    def write(target: Path) -> None:
        """Write the member, a new file, to a path whose parents are made. On failure nothing is left there."""
        if member.refused:
            raise ValueError(f"member {member.name!r} is refused: {member.refused}")
        target.parent.mkdir(parents=True, exist_ok=True)
        left = member.size
        try:
            with target.open("xb") as handle, cast(IO[bytes], open_member(entry)) as source:
                while left and (data := source.read(min(CHUNK, left))):
                    handle.write(data)
                    left -= len(data)
            if left:
                raise Damaged(f"member {member.name!r} ends {left} bytes too early")
        except BROKEN as error:
            target.unlink(missing_ok=True)
            raise Damaged(f"member {member.name!r} cannot be unpacked: {error}") from None
        except BaseException:
            target.unlink(missing_ok=True)
            raise

    return write
