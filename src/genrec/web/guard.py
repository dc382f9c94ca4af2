"""What every request passes: its number, the token, the size of its body, the log, and what is counted."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import time
import uuid
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from genrec.errors import printable
from genrec.web.limits import Limits
from genrec.web.metrics import Metrics

logger = logging.getLogger("genrec.web")

NUMBER = re.compile(rb"[A-Za-z0-9._-]{1,64}")
"""What a client may call its request."""
OPEN = ("/", "/health", "/ready")
"""Routes that ask for no token, beside the files of the page: they tell nothing of what is served."""
PAGE = "/explorer/"
TOO_LARGE, NO_TOKEN, SLOW, BROKEN = 413, 401, 408, 500


class Guard:
    """An ASGI middleware around everything.

    Args:
        app: what answers.
        limits: of a body's size.
        metrics: what is counted.
        token: what a client has to show; None asks for nothing.
    """

    def __init__(self, app: ASGIApp, limits: Limits, metrics: Metrics, token: str | None) -> None:
        self.app, self.limits, self.metrics = app, limits, metrics
        self._too_large = f"the body has more than {limits.body} bytes: ask for less at a time"
        self.token = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        number = given.decode() if NUMBER.fullmatch(given) else uuid.uuid4().hex[:16]
        scope.setdefault("state", {})["number"] = number
        begun, status = time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", number.encode())]
            await send(message)

        self.metrics.waiting.inc()
        try:
            if not self._may(scope["path"], headers):
                await _refuse(answer, number, NO_TOKEN, "show the bearer token: `Authorization: Bearer TOKEN`")
            elif int(headers.get(b"content-length", b"0")) > self.limits.body:
                await _refuse(answer, number, TOO_LARGE, self._too_large)
            else:
                await self.app(scope, self._bounded(receive), answer)
        except Exception:
            logger.exception("request %s failed", number)
            if not status:
                await _refuse(answer, number, BROKEN, "something went wrong here: the log has more")
        finally:
            self.metrics.waiting.dec()
            self._count(scope, number, status, time.perf_counter() - begun)

    def _may(self, path: str, headers: dict[bytes, bytes]) -> bool:
        if self.token is None or path in OPEN or path.startswith(PAGE):
            return True
        return hmac.compare_digest(headers.get(b"authorization", b""), self.token)

    def _bounded(self, receive: Receive) -> Receive:
        """What comes, as long as it is no more than a body may have, and in time."""
        size, whole = 0, False

        async def next_part() -> Message:
            nonlocal size, whole
            try:
                async with asyncio.timeout(None if whole else self.limits.seconds):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(SLOW, "the body did not come in time") from error
            size += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if size > self.limits.body:
                raise HTTPException(TOO_LARGE, self._too_large)
            return message

        return next_part

    def _count(self, scope: Scope, number: str, status: int, seconds: float) -> None:
        # Of a route, not of an address: a client makes up as many of those as he likes.
        route = getattr(scope.get("route"), "path", "other")
        self.metrics.requests.labels(route, str(status)).inc()
        self.metrics.seconds.labels(route).observe(seconds)
        method, path = scope["method"], printable(scope["path"])
        logger.info("%s %s %.200s %d %.1f ms", number, method, path, status, 1000 * seconds)


async def _refuse(send: Send, number: str, status: int, reason: str) -> None:
    body = json.dumps(refused(number, reason)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == NO_TOKEN:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def refused(number: str, reason: str, where: str | None = None) -> dict[str, Any]:
    """The body of an answer from 400 on."""
    return {"error": reason, "where": where, "request": number}
