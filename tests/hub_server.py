"""A hub on loopback: the parts of the hub's API that fetching uses, with faults on demand.

Repositories are given as files in memory. Every file above `lfs_from` bytes, and every archive, is listed with the
sha256 of its bytes, smaller ones with git's checksum alone, as on the real hub.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
Files = dict[str, bytes]


@dataclass
class FakeHub:
    """What the server holds, the faults it is to show, and what was asked of it."""

    repositories: dict[tuple[str, str], Files]  # ("datasets", "owner/name") -> files
    lfs_from: int = 1000
    commit: str = COMMIT
    cuts: dict[str, list[int]] = field(default_factory=dict)  # path: bytes after which each connection breaks
    busy: dict[str, list[int]] = field(default_factory=dict)  # path: statuses to answer first
    lies: dict[str, bytes] = field(default_factory=dict)  # path: what is sent instead
    stalls: dict[str, int] = field(default_factory=dict)  # path: bytes after which nothing comes until `resume` is set
    stalled: threading.Event = field(default_factory=threading.Event)
    resume: threading.Event = field(default_factory=threading.Event)
    gone: set[str] = field(default_factory=set)  # paths that are listed but not there
    ranges: bool = True
    endpoint: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, range
    sent: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def requests(self, path: str) -> list[str]:
        """The ranges asked of a file."""
        return [span for method, asked, span in self.asked if method == "GET" and asked.endswith(f"/{path}")]


def blob_id(data: bytes) -> str:
    """Git's checksum of a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def inside(path: str, folder: str, recursive: bool) -> bool:
    """Whether a listing of a folder, "" for the root, names this path."""
    if folder and not path.startswith(f"{folder}/"):
        return False
    return recursive or "/" not in path.removeprefix(f"{folder}/" if folder else "")


@contextmanager
def serve(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve the hub at `hub.endpoint`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def do_HEAD(self) -> None:
            self._answer(head=True)

        def do_GET(self) -> None:
            self._answer(head=False)

        def do_POST(self) -> None:
            path = unquote(urlsplit(self.path).path)
            asked = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())["paths"]
            match = re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)/paths-info/([^/]+)", path)
            assert match is not None
            self._tree(match[1], match[2], match[3], lambda entry: entry["path"] in asked)

        def _answer(self, head: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            with hub.lock:
                hub.asked.append((self.command, path, self.headers.get("Range", "")))
            if match := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/revision/([^/]+))?", path):
                self._info(match[1], match[2], match[3] or "main")
            elif match := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)/tree/([^/]+)(/.+)?", path):
                recursive = parse_qs(urlsplit(self.path).query).get("recursive") == ["true"]
                folder = (match[4] or "").removeprefix("/")
                self._tree(match[1], match[2], match[3], lambda entry: inside(entry["path"], folder, recursive))
            elif match := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                self._file((match[1] or "models/").rstrip("/"), match[2], match[3], match[4], head)
            else:
                self._fail(404, "EntryNotFound")

        def _repository(self, kind: str, name: str, revision: str) -> Files | None:
            files = hub.repositories.get((kind, name))
            if files is None:
                self._fail(401, "RepoNotFound")
            elif revision not in ("main", "video", hub.commit):
                self._fail(404, "RevisionNotFound")
                return None
            return files

        def _info(self, kind: str, name: str, revision: str) -> None:
            files = self._repository(kind, name, revision)
            if files is not None:
                siblings = [{"rfilename": path} for path in files]
                self._json({"id": name, "_id": "1", "sha": hub.commit, "siblings": siblings, "tags": []})

        def _tree(self, kind: str, name: str, revision: str, wanted: Callable[[dict[str, Any]], bool]) -> None:
            files = self._repository(kind, name, revision)
            if files is None:
                return
            folders = {str(parent) for path in files for parent in PurePosixPath(path).parents} - {"."}
            entries: list[dict[str, Any]] = [
                {"type": "directory", "path": path, "size": 0, "oid": "0" * 40} for path in sorted(folders)
            ]
            for path, data in files.items():
                entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": blob_id(data)}
                if len(data) >= hub.lfs_from or path.endswith((".gz", ".zip")):
                    digest = hashlib.sha256(data).hexdigest()
                    entry["lfs"] = {"oid": digest, "size": len(data), "pointerSize": 134}
                entries.append(entry)
            self._json([entry for entry in entries if wanted(entry)])

        def _file(self, kind: str, name: str, revision: str, path: str, head: bool) -> None:
            files = self._repository(kind, name, revision)
            if files is None:
                return
            if path not in files or path in hub.gone:
                return self._fail(404, "EntryNotFound")
            with hub.lock:
                busy = hub.busy.get(path) or []
                status = busy.pop(0) if busy else None
            if status is not None:
                return self._fail(status, "")
            data, start = hub.lies.get(path, files[path]), 0
            span = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")) if hub.ranges else None
            if span:
                start = int(span[1])
            self.send_response(206 if span else 200)
            self.send_header("X-Repo-Commit", hub.commit)
            self.send_header("ETag", f'"{blob_id(data)}"')
            self.send_header("Content-Length", str(len(data) - start))
            if span:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.end_headers()
            if head:
                return
            with hub.lock:
                cuts = hub.cuts.get(path) or []
                cut = cuts.pop(0) if cuts else None
            body = data[start:] if cut is None else data[start : start + cut]
            with hub.lock:
                hub.sent += len(body)
                stall = hub.stalls.pop(path, None)
            if stall is not None:
                self.wfile.write(body[:stall])
                self.wfile.flush()
                hub.stalled.set()
                hub.resume.wait(60)
                body = b""
                self.close_connection = True
            with suppress(ConnectionError):
                self.wfile.write(body)
            if cut is not None:
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True

        def _json(self, value: Any) -> None:
            body = json.dumps(value).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _fail(self, status: int, code: str) -> None:
            self.send_response(status)
            if code:
                self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
