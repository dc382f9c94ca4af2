"""What every route answers, against the library."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from fastapi.testclient import TestClient

from genrec import load

from .conftest import LIMITS

DOCS = Path(__file__).resolve().parents[2] / "docs" / "serve.md"
HISTORIES = [["item-3", "item-7"], [], ["item-9"] * 30]


def asked(client: TestClient, status: int = 200, **body: Any) -> dict[str, Any]:
    answer = client.post("/recommend", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()  # type: ignore[no-any-return]


@pytest.mark.parametrize("run", ["setrec", "tiger"])
def test_lists_are_those_of_the_library(client: TestClient, run: str, request: pytest.FixtureRequest) -> None:
    served = load(request.getfixturevalue(run))
    for options in ({}, {"repeats": True}, {"allowed": ["item-1", "item-2", "item-5", "item-6"]}):
        found = asked(client, histories=HISTORIES, k=3, run=run, **options)
        lists = served.recommend(HISTORIES, 3, **options).partition_by("user")
        for expected, user in zip(lists, found["users"], strict=True):
            assert [item["item"] for item in user["items"]] == expected["item"].to_list()
            assert [item["title"] for item in user["items"]] == expected["title"].to_list()
            assert [item["score"] for item in user["items"]] == expected["score"].to_list()
            assert user["skipped"] == []


def test_what_is_excluded_is_not_recommended(client: TestClient) -> None:
    everything = asked(client, histories=[["item-3"]], k=4)["users"][0]["items"]
    first, *rest = [item["item"] for item in everything]
    others = asked(client, histories=[["item-3"]], k=3, exclude=[first])["users"][0]["items"]
    assert [item["item"] for item in others] == rest
    allowed = asked(client, histories=[["item-3"]], k=2, allowed=[first, *rest[:2]], exclude=[rest[0]])
    assert [item["item"] for item in allowed["users"][0]["items"]] == [first, rest[1]]


def test_unknown_items_are_an_error_or_are_listed(client: TestClient) -> None:
    histories = [["item-3"], ["item-7", "nope", "item-3", "nor this"]]
    refused = asked(client, 404, histories=histories)
    assert refused["where"] == "histories[1][1]"
    assert refused["error"].startswith("there is no item `nope` in the catalogue")
    found = asked(client, histories=histories, unknown="skip", k=2)
    assert [user["skipped"] for user in found["users"]] == [[], ["nope", "nor this"]]
    assert found["users"][1]["items"] == asked(client, histories=[["item-7", "item-3"]], k=2)["users"][0]["items"]
    assert asked(client, 404, histories=[[]], allowed=["item-1", "nope"], unknown="skip")["where"] == "allowed[1]"


@pytest.mark.parametrize(
    ("run", "names"),
    [("setrec", ["collaborative", "semantic 1", "semantic 2"]), ("tiger", ["token 1", "token 2", "token 3"])],
)
def test_a_score_is_the_sum_of_its_slots(client: TestClient, run: str, names: list[str]) -> None:
    found = asked(client, histories=HISTORIES, k=3, explain=True, run=run)
    assert found["slots"] == names
    for user in found["users"]:
        for item in user["items"]:
            assert len(item["slots"]) == len(names)
            assert sum(item["slots"]) == pytest.approx(item["score"], rel=1e-5)
    plain = asked(client, histories=HISTORIES, k=3, run=run)
    for user in found["users"]:
        for item in user["items"]:
            item["slots"] = None
    assert plain == {**found, "slots": None}


def test_items_are_searched_and_shown(client: TestClient, setrec: Path) -> None:
    catalog = load(setrec).catalog
    title = catalog.titles[5]
    found = client.get("/items", params={"q": title.upper()}).json()
    assert found["items"][0]["title"] == title
    words = client.get("/items", params={"q": "kettle northpeak", "limit": 2}).json()
    assert len(words["items"]) == 2 < words["found"]
    assert all({"kettle", "northpeak"} <= set(item["title"].lower().split()) for item in words["items"])
    assert client.get("/items", params={"q": "item-12"}).json()["items"][0]["item"] == "item-12"
    assert client.get("/items", params={"q": "(.*"}).json() == {"run": "setrec", "found": 0, "items": []}
    taken = [client.get(f"/items/{item['item']}").json()["taken"] for item in client.get("/items").json()["items"]]
    assert taken == sorted(taken, reverse=True)
    about = client.get("/items/item-5").json()
    assert about["identifier"] == "a set of 1 collaborative and 2 semantic tokens of width 32"
    assert len(client.get("/items/item-5", params={"run": "tiger"}).json()["codes"]) == 3


def test_neighbours_are_those_of_inspect(client: TestClient, tiger: Path) -> None:
    from genrec.analysis.inspection.overview import Inspection

    served = load(tiger)
    likenesses, mine = Inspection(served).likenesses, torch.from_numpy(served.rows(["item-5"]))
    for by, unit in (("identifier", "tokens"), ("text", "cosine")):
        found = client.get("/similar/item-5", params={"by": by, "k": 4, "run": "tiger"}).json()
        alike = likenesses[by](mine)[0].float()
        told = [item["alike"] for item in found["items"]]
        assert found["unit"] == unit
        assert told == pytest.approx(alike[served.rows([item["item"] for item in found["items"]])].tolist())
        assert told == pytest.approx(alike.scatter(0, mine, -1.0).topk(4).values.tolist())


def test_what_is_served_is_told(client: TestClient) -> None:
    info = client.get("/info").json()
    assert info["genrec"] == version("genrec")
    assert [run["run"] for run in info["runs"]] == ["setrec", "tiger"]
    assert info["runs"][0]["slots"] == ["collaborative", "semantic 1", "semantic 2"]
    assert info["limits"]["k"] == LIMITS.k
    assert client.get("/health").json() == {"status": "alive"}
    assert client.get("/ready").json() == {"status": "ready"}


def keys_of(value: Any) -> Any:
    """The shape of JSON: its names, to any depth."""
    if isinstance(value, dict):
        return {name: keys_of(each) for name, each in value.items() if name not in ("metrics", "limits")}
    return [keys_of(value[0])] if isinstance(value, list) and value and isinstance(value[0], dict) else None


def test_the_page_of_the_docs_shows_what_comes(client: TestClient) -> None:
    examples = [json.loads(text) for text in re.findall(r"```json\n(\{.*?)```", DOCS.read_text(), re.DOTALL)]
    body, answer, search, item, similar, _, _, info, _ = examples
    assert set(body) == set(client.get("/openapi.json").json()["components"]["schemas"]["Recommend"]["properties"])
    found = {
        "recommend": (answer, asked(client, histories=[["item-1"]])),
        "search": (search, client.get("/items").json()),
        "item": (item, client.get("/items/item-1").json()),
        "similar": (similar, client.get("/similar/item-1").json()),
        "info": (info, client.get("/info").json()),
    }
    for name, (told, came) in found.items():
        assert keys_of(told) == keys_of(came), name
