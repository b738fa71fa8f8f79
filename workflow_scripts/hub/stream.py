"""The bytes of a remote file, in order, over as many connections as it takes, checked against its size and checksum."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Protocol

from workflow_scripts.hub.client import RemoteFile
from workflow_scripts.settings import InputError

CHUNK = 1 << 20
TIMEOUT_S = 60.0
ATTEMPTS = 12  # without a byte between them
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
TRANSIENT = {408, 425, 429, 500, 502, 503, 504}


class Damaged(Exception):
    """What came is not the file that the repository lists."""


class Digest(Protocol):
    """What hashlib gives."""

    def update(self, data: bytes | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


def digest_of(file: RemoteFile) -> tuple[Digest, str | None]:
    """An empty digest of the kind by which a file is known, and the value expected in the end."""
    if file.sha256 is not None:
        return hashlib.sha256(), file.sha256
    return hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False), file.blob_id


class Stream(io.RawIOBase):
    """A remote file, read once from `start` to its end.

    A connection that breaks is replaced by one that goes on at the byte reached. `advance` is told of bytes read;
    `digest` holds the bytes before `start`, if there are any. `stop`, once set, ends the reading with an error.

    Raises InputError where the file is not there or the hub stays away, Damaged where more or other bytes come.
    """

    def __init__(
        self,
        file: RemoteFile,
        *,
        start: int = 0,
        digest: Digest | None = None,
        advance: Callable[[int], None] = lambda count: None,
        stop: threading.Event | None = None,
    ) -> None:
        super().__init__()
        self.file, self.position = file, start
        fresh, self._expected = digest_of(file)
        self._digest = digest if digest is not None else fresh
        self._advance, self._stop = advance, stop or threading.Event()
        self._connection = ExitStack()
        self._chunks: Any = None
        self._rest = memoryview(b"")
        self._failures = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            if self.position == self.file.size:
                return 0
            self._rest = memoryview(self._next())
        view = memoryview(buffer)
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def finish(self) -> None:
        """Read what is left, and compare the checksum. Raises Damaged where it is another one."""
        scratch = bytearray(CHUNK)
        while self.readinto(scratch):
            pass
        if self._expected is not None and self._digest.hexdigest() != self._expected:
            raise Damaged(f"{self.file.where}: the checksum is {self._digest.hexdigest()}, expected {self._expected}")

    def close(self) -> None:
        self._connection.close()
        super().close()

    def _next(self) -> bytes:
        from httpx2 import TransportError

        while True:
            if self._stop.is_set():
                raise InputError("stopped")
            try:
                if self._chunks is None:
                    self._open()
                chunk: bytes = next(self._chunks, b"")
            except TransportError as error:
                self._retry(f"{type(error).__name__}: {error}")
                continue
            if not chunk:
                self._retry("the connection ended too early")
                continue
            if self.position + len(chunk) > self.file.size:
                raise Damaged(f"{self.file.where} is longer than the {self.file.size} bytes it should have")
            self._failures = 0
            self.position += len(chunk)
            self._digest.update(chunk)
            self._advance(len(chunk))
            return chunk

    def _open(self) -> None:
        from huggingface_hub.errors import OfflineModeIsEnabled
        from huggingface_hub.utils import build_hf_headers, get_session

        headers = {**build_hf_headers(), "Accept-Encoding": "identity"}
        if self.position:
            headers["Range"] = f"bytes={self.position}-"
        try:
            response = self._connection.enter_context(
                get_session().stream("GET", self.file.url, headers=headers, timeout=TIMEOUT_S, follow_redirects=True)
            )
        except OfflineModeIsEnabled:
            raise InputError("HF_HUB_OFFLINE is set; unset it to fetch from the hub") from None
        status = response.status_code
        if status in TRANSIENT:
            asked = response.headers.get("Retry-After", "")
            self._retry(f"the hub answers {status}", float(asked) if asked.isdigit() else 0.0)
            return self._open()
        if status in (401, 403):
            raise InputError(f"{self.file.where} is not open to this user (the hub answers {status})")
        if status == 404:
            raise InputError(f"{self.file.where} is missing on the hub")
        skip = 0
        if status == 206:
            begins = response.headers.get("Content-Range", "")
            if not begins.startswith(f"bytes {self.position}-"):
                raise Damaged(f"{self.file.where}: asked for byte {self.position} on, got {begins!r}")
        elif status == 200:
            skip = self.position
        else:
            raise InputError(f"{self.file.where}: the hub answers {status}")
        chunks = response.iter_raw()  # as they come: a larger chunk would be lost whole with its connection
        self._chunks = _without(chunks, skip) if skip else chunks

    def _retry(self, why: str, wait_s: float = 0.0) -> None:
        self._connection.close()
        self._chunks = None
        self._failures += 1
        if self._failures >= ATTEMPTS:
            raise InputError(f"{self.file.where} stopped at byte {self.position} of {self.file.size}: {why}")
        pause_s = FIRST_WAIT_S * 2 ** (self._failures - 2) if self._failures > 1 else 0.0
        self._stop.wait(min(max(pause_s, wait_s), LONGEST_WAIT_S))


def _without(chunks: Any, count: int) -> Any:
    """The chunks less their first `count` bytes: for a server that does not know ranges."""
    for chunk in chunks:
        if count >= len(chunk):
            count -= len(chunk)
            continue
        yield chunk[count:]
        count = 0
