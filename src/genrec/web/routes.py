"""The routes, see docs/serve.md."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Literal, Protocol

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.routing import Match

from genrec.io.versions import versions
from genrec.web import bodies
from genrec.web.answers import Answers
from genrec.web.guard import refused
from genrec.web.limits import Limits
from genrec.web.metrics import Metrics
from genrec.web.page import add_page
from genrec.web.refusals import BUSY, NOT_READY, UNKNOWN, Refusal
from genrec.web.worker import Job


class Serving(Protocol):
    """What routes need of a server, see `genrec.web.server.Server`."""

    limits: Limits
    metrics: Metrics

    @property
    def answers(self) -> Mapping[str, Answers]:
        """What is served, by name."""

    @property
    def ready(self) -> bool:
        """Whether it answers."""

    def lifespan(self, app: FastAPI) -> AbstractAsyncContextManager[None]:
        """What goes on while it does."""

    async def ask(self, job: Job) -> Any:
        """What a worker answers."""


RETRY = (BUSY, NOT_READY)
"""Statuses that say when to come again."""
MALFORMED, INVALID = 400, 422
REASONS = {
    400: "the body is no JSON",
    401: "the bearer token is missing or wrong",
    404: "there is no such run or item",
    409: "it cannot be done",
    413: "the body is too large",
    422: "a field is of the wrong kind, or beyond a limit",
    429: "too many requests wait",
    503: "not ready",
    504: "it took too long",
}

Name = Annotated[str | None, Query(description="which of the recommenders; the first, if not given", max_length=200)]
Count = Annotated[int, Query(ge=1, le=100, description="at most so many")]


def make_app(server: Serving) -> FastAPI:
    """The application of a server."""
    about = "A trained recommender: lists for histories, and what is known of its items."
    app = FastAPI(
        title="genrec", version=versions("genrec")["genrec"] or "", description=about, lifespan=server.lifespan,
        docs_url=None, redoc_url=None, generate_unique_id_function=lambda route: route.name,
    )  # fmt: skip
    app.add_exception_handler(Refusal, _refusal)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    _lists(app, server)
    _items(app, server)
    _about(app, server)
    add_page(app)
    return app


def _lists(app: FastAPI, server: Serving) -> None:
    asked, additions = bodies.bounded(server.limits)

    async def recommend(body: Any) -> Response:
        """The best items for histories."""
        return JSONResponse(await server.ask(Job(_named(server, body.run), body)))

    async def add_items(body: Any) -> Response:
        """Add items, without training."""
        return JSONResponse(await server.ask(Job(_named(server, body.run), lambda answers: answers.add(body))))

    # Their limits are the server's, so that they are known only here.
    recommend.__annotations__["body"], add_items.__annotations__["body"] = asked, additions
    for path, route, model in (
        ("/recommend", recommend, bodies.Recommendations),
        ("/items", add_items, bodies.Added),
    ):
        statuses = _told(400, 401, 404, 409, 413, 422, 429, 503, 504)
        app.post(path, response_model=model, responses=statuses)(route)


def _items(app: FastAPI, server: Serving) -> None:
    statuses = _told(401, 404, 409, 422, 429, 503, 504)

    @app.get("/items", response_model=bodies.Search, responses=_told(401, 404, 422))
    async def search_items(
        q: Annotated[str, Query(max_length=200, description="words of a title or a key")] = "",
        limit: Count = 10,
        run: Name = None,
    ) -> Response:
        """Items by what their titles or keys hold."""
        name = _named(server, run)
        shown = server.answers[name].hosted.shown
        rows, count = await run_in_threadpool(lambda: shown.finder.find(q, limit))
        return JSONResponse({"run": name, "found": count, "items": shown.found(rows)})

    @app.get("/items/{key:path}", response_model=bodies.Item, responses=statuses)
    async def item(key: str, run: Name = None) -> Response:
        """All about an item."""
        return JSONResponse(await server.ask(Job(_named(server, run), lambda answers: answers.item(key))))

    @app.get("/similar/{key:path}", response_model=bodies.Similar, responses=statuses)
    async def similar_items(
        key: str, by: Literal["identifier", "text"] = "identifier", k: Count = 10, run: Name = None
    ) -> Response:
        """The items nearest to one."""
        return JSONResponse(await server.ask(Job(_named(server, run), lambda answers: answers.similar(key, by, k))))


def _about(app: FastAPI, server: Serving) -> None:
    @app.get("/info", response_model=bodies.Info, responses=_told(401))
    async def info() -> Response:
        """What is served."""
        runs = [answers.hosted.about() for answers in server.answers.values()]
        return JSONResponse({"genrec": app.version, "runs": runs, "limits": server.limits.told()})

    @app.get("/health", response_model=bodies.State)
    async def health() -> Response:
        """Whether the process lives."""
        return JSONResponse({"status": "alive"})

    @app.get("/ready", response_model=bodies.State, responses=_told(503))
    async def ready() -> Response:
        """Whether it answers."""
        if not server.ready:
            raise Refusal(NOT_READY, "it is about to begin, or to end")
        return JSONResponse({"status": "ready"})

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}, **_told(401)})
    async def metrics() -> Response:
        """Numbers for Prometheus."""
        return Response(server.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _named(server: Serving, run: str | None) -> str:
    if run is None:
        return next(iter(server.answers))
    if run not in server.answers:
        raise Refusal(UNKNOWN, f"no recommender is called so: there are {', '.join(server.answers)}", "run")
    return run


def _told(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": bodies.Refused, "description": REASONS[status]} for status in statuses}


def _answer(
    request: Request, status: int, reason: str, where: str | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    return JSONResponse(refused(request.state.number, reason, where), status, headers)


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    headers = {"Retry-After": "1"} if error.status in RETRY else None
    return _answer(request, error.status, error.reason, error.where, headers)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if "Allow" in headers:
        # Of all routes at this address, not of the first alone.
        there = [route for route in request.app.routes if route.matches(request.scope)[0] != Match.NONE]
        headers["Allow"] = ", ".join(sorted({method for route in there for method in getattr(route, "methods", ())}))
    return _answer(request, error.status_code, str(error.detail), headers=headers)


async def _invalid(request: Request, error: Exception) -> Response:
    """The first thing that is wrong, in the words of the checker and without what was sent."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return _answer(request, MALFORMED, f"the body is no JSON: {first.get('ctx', {}).get('error', '')}")
    _, *names = first["loc"]
    where = "".join(f"[{name}]" if isinstance(name, int) else f".{name}" for name in names).lstrip(".")
    return _answer(request, INVALID, first["msg"], where or None)
