"""A Hugging Face hub on this machine: what the client needs to make a repository, fill it and fetch it."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import huggingface_hub
import pytest

TOKEN = "hf_of_someone"


class HubServer(ThreadingHTTPServer):
    """Repositories, name to files, path to content; only who has the `TOKEN` may write."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def commit(self, name: str) -> str:
        """The hash of a repository's contents."""
        files = sorted((path, _oid(content)) for path, content in self.repositories[name].items())
        return hashlib.sha1(json.dumps(files).encode()).hexdigest()


@lru_cache
def _oid(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def visit(server: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process fetch from a hub what it looks for: what the client reads from the environment when imported."""
    constants = huggingface_hub.constants
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("transformers.utils.hub._hf_api", None)  # made of the endpoint when it is first asked for


class _Handler(BaseHTTPRequestHandler):
    server: HubServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, {"error": "Invalid credentials"})
            return
        hub = self.server
        match urlsplit(self.path).path.split("/")[1:]:
            case ["api", "repos", "create"]:
                about = json.loads(body)
                name = f"{about['organization']}/{about['name']}"
                hub.repositories.setdefault(name, {})
                self._answer(200, {"url": f"{hub.url}/{name}"})
            case ["api", "models", owner, name, "preupload", "main"] if f"{owner}/{name}" in hub.repositories:
                paths = [file["path"] for file in json.loads(body)["files"]]
                modes = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]
                self._answer(200, {"files": modes})
            case ["api", "models", owner, name, "commit", "main"] if f"{owner}/{name}" in hub.repositories:
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        content = base64.b64decode(line["value"]["content"])
                        hub.repositories[f"{owner}/{name}"][line["value"]["path"]] = content
                commit = hub.commit(f"{owner}/{name}")
                url = f"{hub.url}/{owner}/{name}/commit/{commit}"
                self._answer(200, {"success": True, "commitUrl": url, "commitOid": commit})
            case _:
                self._nothing()

    def do_GET(self) -> None:
        hub = self.server
        match [unquote(part) for part in urlsplit(self.path).path.split("/")[1:]]:
            case ["api", "models", owner, name] | ["api", "models", owner, name, "revision", "main"] if (
                f"{owner}/{name}" in hub.repositories
            ):
                files = [{"rfilename": path} for path in hub.repositories[f"{owner}/{name}"]]
                about = {"id": f"{owner}/{name}", "sha": hub.commit(f"{owner}/{name}"), "siblings": files}
                self._answer(200, about)
            case ["api", "models", owner, name, "tree", _, *folder] if f"{owner}/{name}" in hub.repositories:
                inside = "".join(f"{part}/" for part in folder)
                files = [
                    (path, of) for path, of in hub.repositories[f"{owner}/{name}"].items() if path.startswith(inside)
                ]
                if folder and not files:
                    self._nothing("EntryNotFound")
                    return
                self._answer(
                    200, [{"type": "file", "path": path, "size": len(of), "oid": _oid(of)} for path, of in files]
                )
            case [owner, name, "resolve", _, *path] if f"{owner}/{name}" in hub.repositories:
                content = hub.repositories[f"{owner}/{name}"].get("/".join(path))
                if content is None:
                    self._nothing("EntryNotFound")
                    return
                commit = hub.commit(f"{owner}/{name}")
                self._send(200, content, {"ETag": f'"{_oid(content)}"', "X-Repo-Commit": commit})
            case _:
                self._nothing()

    def do_HEAD(self) -> None:
        self.do_GET()

    def _nothing(self, code: str = "RepoNotFound") -> None:
        self._answer(404, {"error": "Repository not found"}, {"X-Error-Code": code})

    def _answer(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(answer).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass
