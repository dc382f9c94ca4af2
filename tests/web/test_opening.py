"""Another folder takes over between two requests, and one that cannot be used does not."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from genrec import load
from genrec.errors import GenrecError
from genrec.web import opening
from genrec.web.opening import Opening, Swaps

from .conftest import reached, serve


@pytest.fixture
def folder(setrec: Path, tmp_path: Path) -> Path:
    load(setrec).save_pretrained(tmp_path / "models" / "first")
    return tmp_path / "models"


def served(folder: Path) -> tuple[Any, Swaps]:
    answers = Opening().all([str(folder)])
    server = serve(*answers.values())
    return server, Swaps(Opening(), {"models": folder}, server.api.answers, server.metrics)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(opening, "EVERY", 0.05)
    return


@pytest.mark.usefixtures("quick")
def test_a_new_folder_takes_over_under_load_and_a_broken_one_does_not(
    folder: Path, tiger: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load(tiger).save_pretrained(folder.parent / "second")
    shutil.copytree(folder / "first", folder.parent / "broken")
    (folder.parent / "broken" / "items.parquet").write_bytes(b"no")
    server, swaps = served(folder)
    done, seen = threading.Event(), set()

    def ask(number: int) -> list[int]:
        codes = []
        while not done.is_set():
            answer = client.post("/recommend", json={"histories": [["item-1"], []], "k": 3})
            codes.append(answer.status_code)
            seen.add((answer.json()["generation"], answer.json()["users"][0]["items"][0]["score"]))
        return codes

    def until(wanted: str) -> None:
        end = time.monotonic() + 60
        while wanted not in client.get("/metrics").text:
            assert time.monotonic() < end, client.get("/metrics").text
            time.sleep(0.02)

    watching = threading.Thread(target=swaps.watch)
    with reached(server) as client, ThreadPoolExecutor(4) as pool, caplog.at_level(logging.INFO, "genrec.web"):
        watching.start()
        asking = [pool.submit(ask, number) for number in range(4)]
        try:
            (folder.parent / "broken").rename(folder / "broken")
            os.utime(folder / "broken" / "recommender.json", (2e9, 2e9))
            until('genrec_swaps_total{result="refused",run="models"} 1.0')
            (folder.parent / "second").rename(folder / "second")
            os.utime(folder / "second" / "recommender.json", (3e9, 3e9))
            until('genrec_swaps_total{result="taken",run="models"} 1.0')
            assert client.get("/info").json()["runs"][0]["method"] == "TIGER"
        finally:
            done.set()
            swaps.end()
        codes = [code for future in asking for code in future.result()]
    watching.join()
    assert set(codes) == {200}
    assert {generation for generation, _ in seen} <= {1, 2}
    assert len(seen) <= 2
    assert "`models` is not taken over, what is served goes on" in caplog.text


def test_a_signal_opens_the_same_folder_again(folder: Path) -> None:
    server, swaps = served(folder)
    with reached(server) as client:
        swaps.all()
        assert client.get("/info").json()["runs"][0]["generation"] == 2


def test_names_are_those_of_folders(setrec: Path, folder: Path) -> None:
    found = Opening().all([str(setrec), str(folder), str(folder / "first"), str(setrec.parent)])
    assert list(found) == ["made_up", "models", "first", "made_up-4"]
    with pytest.raises(GenrecError, match="no trained recommender"):
        Opening().all([str(folder.parent / "nothing")])
