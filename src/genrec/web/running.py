"""A server on its socket, until the process is asked to end."""

from __future__ import annotations

import socket

import uvicorn

from genrec.web.server import Server

BACKLOG = 1024
"""Connections that wait to be taken."""


def serve(server: Server, listener: socket.socket) -> None:
    """Answer until SIGTERM or SIGINT comes, and then all that was asked before."""
    config = uvicorn.Config(
        server.app, log_level="warning", backlog=BACKLOG, access_log=False, server_header=False,
        timeout_graceful_shutdown=int(server.limits.seconds) + 1,
    )  # fmt: skip
    host, port = listener.getsockname()[:2]
    print(f"listening at http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
    uvicorn.Server(config).run([listener])
