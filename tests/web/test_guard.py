"""What every request passes, and what bad ones get: one clear answer, and nothing that is none of their business."""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import LIMITS, hosted, reached, serve

TOKEN = "a-token-of-many-letters"
DEEP = 50_000


@pytest.fixture(scope="module")
def guarded(setrec: Path) -> Iterator[TestClient]:
    with reached(serve(hosted(setrec, "setrec"), token=TOKEN)) as client:
        yield client


def test_all_but_the_page_and_whether_it_lives_asks_for_the_token(guarded: TestClient) -> None:
    right = {"authorization": f"Bearer {TOKEN}"}
    for path in ("/info", "/items", "/items/item-1", "/similar/item-1", "/metrics", "/openapi.json", "/nowhere"):
        for wrong in ({}, {"authorization": "Bearer no"}, {"authorization": TOKEN}, {"authorization": "Bearer \u00e9"}):
            answer = guarded.get(path, headers={name: value.encode("latin1") for name, value in wrong.items()})
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert set(answer.json()) == {"error", "where", "request"}
        assert guarded.get(path, headers=right).status_code == (404 if path == "/nowhere" else 200)
    for path in ("/health", "/ready"):
        assert guarded.get(path).status_code == 200


def test_a_request_has_a_number_in_its_answer_and_in_the_log(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "genrec.web"):
        mine = client.get("/health", headers={"x-request-id": "mine-1"})
        assert mine.headers["x-request-id"] == "mine-1"
        assert "mine-1 GET /health 200" in caplog.text
        forged = client.get("/items/a%0Ab%1B[31m", headers={"x-request-id": "no\tway"})
    number = forged.headers["x-request-id"]
    assert number.isalnum()
    assert forged.json()["request"] == number
    line = next(record.getMessage() for record in caplog.records if number in record.getMessage())
    assert line.isprintable()


def test_a_body_beyond_the_limit_is_not_read(client: TestClient) -> None:
    large = b'{"histories": [[]]}' + b" " * LIMITS.body
    read = 0

    def parts() -> Iterator[bytes]:
        nonlocal read
        for start in range(0, len(large), 1000):
            read += 1
            yield large[start : start + 1000]

    for content in (large, parts()):
        answer = client.post("/recommend", content=content, headers={"content-type": "application/json"})
        assert answer.status_code == 413
        assert answer.json()["error"].startswith(f"the body has more than {LIMITS.body} bytes")


@pytest.mark.parametrize(
    ("status", "where", "body"),
    [
        (422, "histories", {}),
        (422, "histories", {"histories": []}),
        (422, "histories", {"histories": [[]] * (LIMITS.histories + 1)}),
        (422, "histories[0]", {"histories": [["item-1"] * (LIMITS.length + 1)]}),
        (422, "histories[0]", {"histories": ["item-1"]}),
        (422, "histories[1][0]", {"histories": [[], [7]]}),
        (422, "k", {"histories": [[]], "k": 0}),
        (422, "k", {"histories": [[]], "k": LIMITS.k + 1}),
        (422, "k", {"histories": [[]], "k": True}),
        (422, "k", {"histories": [[]], "k": "10"}),
        (422, "unknown", {"histories": [[]], "unknown": "drop"}),
        (422, "hystories", {"histories": [[]], "hystories": [[]]}),
        (404, "run", {"histories": [[]], "run": "../../etc/passwd"}),
        (404, "exclude[0]", {"histories": [[]], "exclude": ["x"]}),
        (409, None, {"histories": [[]], "k": 3, "allowed": ["item-1", "item-2"]}),
        (409, None, {"histories": [["item-1"]], "k": 2, "allowed": ["item-1", "item-2"]}),
    ],
)
def test_what_is_wrong_is_named(client: TestClient, status: int, where: str | None, body: dict[str, Any]) -> None:
    answer = client.post("/recommend", json=body)
    assert (answer.status_code, answer.json()["where"]) == (status, where)
    assert answer.json()["error"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"null", b"[" * DEEP, b'{"histories": [["\\ud800"]]}', b'{"k": ' + b"9" * 5000 + b"}"],
)
def test_what_is_no_json_is_told(client: TestClient, content: bytes) -> None:
    answer = client.post("/recommend", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert set(answer.json()) == {"error", "where", "request"}


def test_other_methods_are_no_routes(client: TestClient) -> None:
    assert client.get("/recommend").status_code == 405
    assert client.delete("/items").headers["allow"] == "GET, POST"
    assert client.delete("/items").json()["error"] == "Method Not Allowed"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["item-1", "item-2", "item-99", "item-1 ", "", "a,b", "\0", "../x", "x" * 2000])
FIELDS = {
    "histories": st.lists(st.lists(KEYS, max_size=3), max_size=3) | JSON,
    "k": st.integers(-1, 30) | JSON,
    "run": st.sampled_from(["setrec", "tiger", "/etc"]) | JSON,
    "allowed": st.lists(KEYS, max_size=3) | JSON,
    "exclude": st.lists(KEYS, max_size=3) | JSON,
    "repeats": st.booleans() | JSON,
    "unknown": st.sampled_from(["error", "skip"]) | JSON,
    "explain": st.booleans() | JSON,
    "items": st.lists(st.dictionaries(st.sampled_from(["item", "title", "price", "categories"]), JSON)) | JSON,
}
BODIES = st.fixed_dictionaries({}, optional=FIELDS) | JSON
LEAKS = ("Traceback", "site-packages", "/work", "/tmp", "/root", 'File "', "genrec/", ".py")


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=BODIES, path=st.sampled_from(["/recommend", "/recommend", "/recommend", "/items"]), seed=st.integers(0, 9))
def test_a_thousand_bad_bodies_break_nothing(client: TestClient, body: Any, path: str, seed: int) -> None:
    content = bytearray(json.dumps(body).encode())
    if seed == 0 and content:  # not even JSON
        content[random.Random(len(content)).randrange(len(content))] ^= 0x55
    answer = client.post(path, content=bytes(content), headers={"content-type": "application/json"})
    assert answer.status_code < 500, (answer.text, body)
    assert not [leak for leak in LEAKS if leak in answer.text and leak not in json.dumps(body)], answer.text
    if answer.status_code >= 400:
        assert set(answer.json()) == {"error", "where", "request"}
