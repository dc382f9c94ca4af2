"""Servers in this process, of untrained recommenders."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from genrec import load
from genrec.web.answers import Answers
from genrec.web.hosted import Hosted
from genrec.web.limits import Limits
from genrec.web.metrics import Metrics
from genrec.web.server import Server
from genrec.web.worker import Recommenders

from ..served import SETREC, TIGER, make_run, recommender

LIMITS = Limits(body=100_000, histories=8, length=300, k=20, items=4, waiting=64)


def hosted(run: Path, name: str, index: str | None = None) -> Answers:
    served = load(run)
    if index:
        served.build_index(index)
    return Answers(Hosted(name, served, run, index))


def serve(*answers: Answers, limits: Limits = LIMITS, token: str | None = None) -> Server:
    named = {each.hosted.name: each for each in answers}
    return Server(Recommenders(named, limits, Metrics()), limits, token)


@contextmanager
def reached(server: Server) -> Iterator[TestClient]:
    with TestClient(server.app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def setrec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("setrec"), recommender(SETREC))


@pytest.fixture(scope="session")
def tiger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("tiger"), recommender(TIGER))


@pytest.fixture(scope="module")
def client(setrec: Path, tiger: Path) -> Iterator[TestClient]:
    """Of a server that two recommenders share, whose items stay what they are."""
    with reached(serve(hosted(setrec, "setrec"), hosted(tiger, "tiger"))) as client:
        yield client
