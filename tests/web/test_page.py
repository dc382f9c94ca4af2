"""The explorer's files: what they are served as, and what they never do."""

from __future__ import annotations

import re
from importlib.resources import files

from fastapi.testclient import TestClient


def test_the_page_may_ask_nobody_else(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    named = re.findall(r'(?:src|href)="(explorer/[^"]+)"', page.text)
    assert sorted(named) == ["explorer/app.js", "explorer/style.css"]
    kinds = {"js": "text/javascript", "css": "text/css"}
    for answer in (page, *(client.get(f"/{name}") for name in named)):
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-type"].startswith(kinds.get(answer.url.path.rpartition(".")[2], "text/html"))
    assert client.get("/explorer/../guard.py").status_code == 404
    assert client.get("/explorer/%2e%2e/served.py").status_code == 404


def test_scripts_make_no_markup_of_data_and_ask_nobody_else() -> None:
    folder = files("genrec.serving") / "explorer"
    texts = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert {"index.html", "style.css", "app.js"} <= set(texts)
    for name, text in texts.items():
        banned = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|https?://|@import"
        assert not re.search(banned, text), name
        assert len(text.splitlines()) <= 300, name
    assert not re.search(r"<script(?! type=\"module\" src)|\sstyle=|\son\w+=", texts["index.html"])
