"""Requests that are ranked together get what each would get alone, to the last bit; too many are told to come again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from fastapi.testclient import TestClient

from genrec import Served, load
from genrec.web.answers import Answers
from genrec.web.bodies import Asked
from genrec.web.limits import Limits

from .conftest import hosted, reached, serve

NEW = [{"item": f"new-{number}", "title": f"Northpeak Kettle {number}", "categories": ["Kitchen"]} for number in (1, 2)]


def histories(count: int, keys: list[str]) -> list[list[str]]:
    generator = np.random.default_rng(0)
    lengths = generator.integers(0, 12, count)
    return [[keys[row] for row in generator.integers(0, len(keys), length)] for length in lengths]


def flat(lists: pl.DataFrame) -> list[tuple[str, float]]:
    return list(lists.select("item", "score").iter_rows())


def lists_of(answer: dict[str, Any]) -> list[list[tuple[str, float]]]:
    return [[(item["item"], item["score"]) for item in user["items"]] for user in answer["users"]]


@pytest.mark.parametrize(
    ("run", "index", "new"), [("setrec", None, True), ("setrec", "ivf", True), ("tiger", None, False)]
)
def test_company_changes_no_bit(run: str, index: str | None, new: bool, request: pytest.FixtureRequest) -> None:
    answers = hosted(request.getfixturevalue(run), run, index)
    served = load(request.getfixturevalue(run))
    if index:
        served.build_index(index)  # type: ignore[arg-type]
    if new:
        answers.hosted.add_items(pl.DataFrame(NEW))
        served.add_items(pl.DataFrame(NEW))
    users = histories(60, list(served.catalog.keys))
    expected = [flat(lists) for lists in served.recommend(users, 5).partition_by("user")]
    for size in (1, 3, 64):
        found: list[Any] = []
        for start in range(0, len(users), size):
            found += answers.recommend([Asked(histories=[user], k=5) for user in users[start : start + size]])
        assert [lists_of(answer)[0] for answer in found] == expected, size


def test_one_that_cannot_be_answered_is_alone_with_that(setrec: Path) -> None:
    answers = hosted(setrec, "setrec")
    good, bad = Asked(histories=[["item-1"]]), Asked(histories=[["nope"]])
    first, refused, last = answers.recommend([good, bad, good])
    assert first == last
    assert isinstance(refused, Exception)


class Slow(Answers):
    """Waits before it ranks, and may fail."""

    def __init__(self, answers: Answers, wait: Callable[[], object]) -> None:
        super().__init__(answers.hosted)
        self.wait, self.together = wait, [0][:0]

    def recommend(self, requests: Any) -> Any:
        self.together.append(len(requests))
        self.wait()
        if any(request.k == 7 for request in requests):
            raise RuntimeError("a fault in /some/path.py")
        return super().recommend(requests)


def ask(client: TestClient, **more: Any) -> Any:
    return client.post("/recommend", json={"histories": [["item-1"]], "k": 2, **more})


def test_what_waits_is_taken_together_and_a_fault_is_of_one(setrec: Path) -> None:
    go = threading.Event()
    slow = Slow(hosted(setrec, "setrec"), go.wait)
    with reached(serve(slow)) as client, ThreadPoolExecutor(9) as pool:
        first = pool.submit(ask, client)
        while not slow.together:
            time.sleep(0.01)
        rest = [pool.submit(ask, client, k=2 + number) for number in range(8)]
        metrics = ""
        while "genrec_requests_waiting 10.0" not in metrics:  # with this one
            metrics = client.get("/metrics").text
        go.set()
        answers = [future.result() for future in (first, *rest)]
    assert slow.together[:2] == [1, 8]
    assert [answer.status_code for answer in answers] == [200] * 6 + [500] + [200] * 2
    assert answers[6].json()["error"] == "something went wrong here: the log has more"
    assert "genrec_batch_requests_count 10" not in metrics


def test_too_many_are_told_to_come_again_and_too_late_is_told(setrec: Path) -> None:
    go = threading.Event()
    slow = Slow(hosted(setrec, "setrec"), go.wait)
    with reached(serve(slow, limits=Limits(waiting=2, seconds=1.0))) as client, ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(ask, client) for _ in range(2)]
        while "genrec_requests_waiting 3.0" not in client.get("/metrics").text:
            time.sleep(0.01)
        refused = ask(client)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert refused.json()["error"] == "2 requests wait already: come again"
        late = [future.result() for future in waiting]
        assert [answer.status_code for answer in late] == [504, 504]
        go.set()
        assert ask(client).status_code == 200


def test_added_items_are_there_for_whoever_asks_next(setrec: Path, tmp_path: Path) -> None:
    answers = hosted(setrec, "setrec")
    answers.keep = tmp_path / "kept"
    with reached(serve(answers)) as client:
        added = client.post("/items", json={"items": NEW})
        assert added.json() == {"run": "setrec", "generation": 2, "added": 2, "items": 142}
        assert client.get("/items", params={"q": "new-1"}).json()["items"][0]["title"] == NEW[0]["title"]
        near = client.get("/similar/new-1", params={"by": "text", "k": 1}).json()["items"]
        assert near[0]["item"] == "new-2"
        mine = {"histories": [["new-1"]], "k": 1, "allowed": ["new-2"]}
        assert client.post("/recommend", json=mine).json()["users"][0]["items"][0]["item"] == "new-2"
        again = client.post("/items", json={"items": NEW[:1]})
        assert (again.status_code, again.json()["where"]) == (409, "items")
        twice = client.post("/items", json={"items": [{"item": "x"}, {"item": "x"}]})
        assert (twice.status_code, client.get("/items/x").status_code) == (409, 404)
        answers.alone = False
        assert client.post("/items", json={"items": [{"item": "x"}]}).status_code == 409
    kept: Served = load(tmp_path / "kept")
    assert flat(kept.recommend([["new-1"]], 3)) == flat(answers.hosted.served.recommend([["new-1"]], 3))
