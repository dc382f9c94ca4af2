"""The benchmark of the server, for a moment, with processes that begin with everything imported."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from benchmarks import http_load

from .. import forks


def test_every_round_is_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @contextmanager
    def forked(run: str, *options: str) -> Iterator[http_load.Running]:
        log = tmp_path / "-".join(("log", *options))
        process = forks.start("-m", "genrec", "serve", run, "--port", "0", *options, output=str(log))
        while "listening at" not in (log.read_text() if log.exists() else ""):
            assert process.is_alive()
            time.sleep(0.05)
        port = int(log.read_text().partition("listening at")[2].split("\n")[0].rsplit(":", 1)[1])
        try:
            yield http_load.Running(port, psutil.Process(process.pid), 0.0)
        finally:
            process.terminate()
            assert forks.end(process) == 143

    monkeypatch.setattr(http_load, "server", forked)
    monkeypatch.setattr(sys, "argv", ["http_load.py", "--tiny"])
    http_load.main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    rounds = [row for row in rows if row[1:2] in (["together"], ["one by one"])]
    assert [int(row[0]) for row in rounds] == [1, 1, 8, 8, 64, 64]
    assert all(float(row[2].replace(",", "")) > 0 for row in rounds)
    assert {row[5] for row in rounds} == {"0"}
    assert [row[0] for row in rows[-5:]] == ["0", "100", "200", "300", "400"]
