"""A server on its socket, until the process is asked to end."""

from __future__ import annotations

import signal
import socket
import threading
from typing import Any

import uvicorn

from genrec.web.opening import Swaps
from genrec.web.server import Server

BACKLOG = 1024
"""Connections that wait to be taken."""


class _Uvicorn(uvicorn.Server):
    """Uvicorn, which tells our server that the end is near: who asks then is answered, and told to go elsewhere."""

    def __init__(self, server: Server, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ours = server

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and say where: whoever has read that is heard."""
        await super().startup(sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            print(f"listening at http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)

    def handle_exit(self, sig: int, frame: Any) -> None:
        """What a signal does."""
        self._ours.ends = True
        super().handle_exit(sig, frame)


def serve(server: Server, swaps: Swaps, watch: bool, listener: socket.socket) -> None:
    """Answer until SIGTERM or SIGINT comes, and then all that was asked before; SIGHUP opens the folders again.

    Args:
        server: answers.
        swaps: takes over what is new in the folders.
        watch: look for that all the time.
        listener: has an address.
    """
    config = uvicorn.Config(
        server.app,
        log_level="warning",
        backlog=BACKLOG,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(server.limits.seconds) + 1,
    )
    before = signal.signal(signal.SIGHUP, lambda *_: threading.Thread(target=swaps.all, daemon=True).start())
    if watch:
        threading.Thread(target=swaps.watch, daemon=True).start()
    try:
        _Uvicorn(server, config).run([listener])
    finally:
        swaps.end()
        signal.signal(signal.SIGHUP, before)
