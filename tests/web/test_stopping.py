"""A server as a process of its own: it begins, answers, and ends when it is asked to."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from genrec.cli import main

from ..forks import end, start

CLIENTS = 64
BODY = json.dumps({"histories": [["item-1", "item-2"]], "k": 3})


def address(log: Path) -> tuple[str, int]:
    stop = time.monotonic() + 120
    while "listening at http://" not in (said := log.read_text() if log.exists() else ""):
        assert time.monotonic() < stop, said
        time.sleep(0.1)
    host, _, port = said.partition("listening at http://")[2].split("\n")[0].partition(":")
    return host, int(port)


def ask(connection: http.client.HTTPConnection) -> tuple[int, bool]:
    """The status of an answer, and whether the connection stays."""
    connection.request("POST", "/recommend", BODY, {"content-type": "application/json"})
    answer = connection.getresponse()
    json.loads(answer.read())
    return answer.status, not answer.will_close


def test_whoever_was_heard_is_answered_when_it_ends(setrec: Path, tmp_path: Path) -> None:
    """64 clients ask again and again on connections of their own; SIGTERM comes while all of them wait."""
    log = tmp_path / "log"
    process = start("-m", "genrec", "serve", str(setrec), "--port", "0", output=str(log))
    try:
        host, port = address(log)
        answered = [0] * CLIENTS

        def client(number: int) -> None:
            connection = http.client.HTTPConnection(host, port, timeout=60)
            connection.connect()
            stays = True
            while stays:
                try:
                    status, stays = ask(connection)
                except ConnectionError:  # closed before it was heard, or the log has one more than was answered
                    break
                assert status == 200
                answered[number] += 1

        threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        while min(answered) < 2:
            time.sleep(0.01)
        os.kill(process.pid or 0, signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert end(process) == 143
    finally:
        process.kill()
    said = log.read_text()
    heard = said.count("POST /recommend ")
    assert "Traceback" not in said
    assert heard == said.count("POST /recommend 200") == sum(answered)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "the following arguments are required: RUN_OR_FOLDER"),
        (["nothing"], "no trained recommender"),
        (["x", "--token-file", "nothing"], "cannot read `nothing`"),
        (["x", "--host", "256.1.1.1"], "cannot listen at 256.1.1.1"),
        (["x", "--port", "99999"], "a port is a number from 0 to 65535, not 99999"),
        (["x", "--workers", "0"], "--workers is the number of processes"),
        (["x", "--keep-items", __file__], "(--keep-items) is no folder"),
        (["x", "--max-k", "0"], "`--max-k` of genrec serve is 0"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    arguments: list[str],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as exit_:
        main(["serve", *arguments, *(["--port", "0"] if "--port" not in arguments else [])])
    assert exit_.value.code == 2
    error = capsys.readouterr().err
    assert reason in error
    assert error.count("\n") == 1
