"""LitServe with everything in one process: its workers are threads, and nothing has to be copied on its way.

LitServe's own arrangement is a process for every worker and one for HTTP, with a manager's queue between them. A
recommender is small, and lists, searches and additions are all about one catalogue: here they share it. What is
LitServe's are the worker with its loop, the queue, the way back of the answers, and the application.
"""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from queue import Queue
from typing import Any

from fastapi import FastAPI
from litserve import LitServer
from litserve.loops import inference_worker
from litserve.transport.base import MessageTransport
from litserve.utils import ResponseBufferItem, WorkerSetupStatus

from genrec.web.answers import Answers
from genrec.web.guard import Guard
from genrec.web.limits import Limits
from genrec.web.refusals import BUSY, LATE, NOT_READY, Refusal
from genrec.web.routes import make_app
from genrec.web.worker import PATH, STOP, Job, Recommenders

WORKER = "recommend_0"
"""What LitServe calls our worker."""


class Mailbox(MessageTransport):
    """The way of an answer from a worker's thread to the event loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._arrived: asyncio.Queue[Any] = asyncio.Queue()

    def open(self) -> None:
        """Deliver to the loop that runs here."""
        self._loop = asyncio.get_running_loop()

    def send(self, item: Any, consumer_id: int) -> None:
        """Bring an answer, from another thread."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._arrived.put_nowait, item)

    async def areceive(self, timeout: int | None = None, consumer_id: int | None = None) -> Any:
        """Wait for the next."""
        return await self._arrived.get()


class Server(LitServer):
    """The server of some recommenders.

    Args:
        api: loads and asks them.
        limits: see there.
        token: what a client has to show; None asks for nothing.

    Attributes:
        ends: whether the process was asked to end.
    """

    def __init__(self, api: Recommenders, limits: Limits, token: str | None = None) -> None:
        self.api, self.limits, self.metrics = api, limits, api.metrics
        guard = (Guard, {"limits": limits, "metrics": self.metrics, "token": token})
        super().__init__(api, accelerator="cpu", devices=1, timeout=limits.seconds, middlewares=[guard])
        self.workers_setup_status: dict[str, str] = {WORKER: WorkerSetupStatus.STARTING}
        self.litapi_request_queues: dict[str, Queue[Any]] = {PATH: Queue()}
        self._transport = Mailbox()
        self._worker: threading.Thread | None = None
        self.ends = False

    def register_endpoints(self) -> None:
        """Ours in place of LitServe's."""
        self.app: FastAPI = make_app(self)

    @property
    def answers(self) -> Mapping[str, Answers]:
        """What is served, by name."""
        return self.api.answers

    @property
    def ready(self) -> bool:
        """Whether it answers, and goes on to."""
        return not self.ends and self.workers_setup_status[WORKER] == WorkerSetupStatus.READY

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """See `LitServer.lifespan`; the worker begins before the first request, and ends behind the last."""
        self._transport.open()
        app.response_queue_id = 0  # type: ignore[attr-defined]  # LitServe counts its processes
        async with super().lifespan(app):
            self.start()
            try:
                yield
            finally:
                await asyncio.to_thread(self.stop)

    def start(self) -> None:
        """Let the worker wait for requests."""
        status, queue = self.workers_setup_status, self.litapi_request_queues[PATH]
        arguments = (self.api, "cpu", 0, queue, self._transport, status, self._callback_runner, False)
        self._worker = threading.Thread(target=inference_worker, args=arguments, name="worker", daemon=True)
        self._worker.start()

    def stop(self) -> None:
        """Let it answer what it was asked, and end."""
        self.litapi_request_queues[PATH].put(STOP)
        if self._worker is not None:
            self._worker.join(self.limits.seconds)

    async def ask(self, job: Job) -> Any:
        """What a worker answers.

        Raises:
            Refusal: if it cannot be had, now or at all.
        """
        if self.workers_setup_status[WORKER] != WorkerSetupStatus.READY:
            raise Refusal(NOT_READY, "it is about to begin: come again")
        if len(self.response_buffer) >= self.limits.waiting:
            raise Refusal(BUSY, f"{self.limits.waiting} requests wait already: come again")
        number, event = uuid.uuid4().hex, asyncio.Event()
        self.response_buffer[number] = ResponseBufferItem(event)
        self.litapi_request_queues[PATH].put((0, number, time.monotonic(), job))
        try:
            async with asyncio.timeout(self.limits.seconds):
                await event.wait()
            answer, _ = self.response_buffer[number].response
        except TimeoutError as error:
            raise Refusal(LATE, f"there was no answer within {self.limits.seconds:g} seconds") from error
        finally:
            del self.response_buffer[number]
        if isinstance(answer, Exception):
            raise answer
        return answer
