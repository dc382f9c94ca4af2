"""The explorer: a page and its files (`genrec.serving.explorer`), which may ask this server and nobody else."""

from __future__ import annotations

from collections.abc import MutableMapping
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Response
from starlette.staticfiles import StaticFiles

from genrec.web.guard import PAGE

FOLDER = files("genrec.serving") / "explorer"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",  # another version has other files
}


class _Files(StaticFiles):
    """Files that are served with `HEADERS`."""

    async def get_response(self, path: str, scope: MutableMapping[str, Any]) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS)
        return response


def add_page(app: FastAPI) -> None:
    """Let an application show the explorer at ``/``."""
    app.mount(PAGE.rstrip("/"), _Files(directory=str(FOLDER)), name="explorer")

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return Response((FOLDER / "index.html").read_bytes(), media_type="text/html", headers=HEADERS)
