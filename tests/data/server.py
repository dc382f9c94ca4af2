"""A web server on this machine for the tests of downloads: ranges, etags, and faults on demand."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar


class FileServer(ThreadingHTTPServer):
    """Serves ``files`` (name to content) under any folder.

    Args of the tests:
        cuts: how many of the next answers are cut off in the middle.
        errors: the status codes of the next answers.
        ranges: whether a part of a file can be asked for.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.cuts = 0
        self.errors: list[int] = []
        self.ranges = True
        self.requests: list[tuple[str, str | None]] = []
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/folder"


class _Handler(BaseHTTPRequestHandler):
    server: FileServer

    def do_GET(self) -> None:
        name = self.path.rsplit("/", 1)[-1]
        wanted = self.headers.get("Range")
        self.server.requests.append((name, wanted))
        if self.server.errors:
            self.send_error(self.server.errors.pop(0))
            return
        if name not in self.server.files:
            self.send_error(404)
            return
        content = self.server.files[name]
        etag = f'"{hash(content)}"'
        start = 0
        if wanted and self.server.ranges and self.headers.get("If-Range", etag) == etag:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])  # type: ignore[index]
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        part = content[start:]
        self.send_header("Content-Length", str(len(part)))
        self.send_header("ETag", etag)
        self.end_headers()
        if self.server.cuts:
            self.server.cuts -= 1
            part = part[: len(part) // 2]
        self.server.sent += len(part)
        self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        pass


S = TypeVar("S", bound=ThreadingHTTPServer)


@contextmanager
def running(server: S) -> Iterator[S]:
    """A server, at work."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
