"""The benchmark of walks runs, and more beams find more."""

from __future__ import annotations

import sys

import pytest
from benchmarks import graph_decoding


def test_walks_are_measured(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["graph_decoding.py", "--tiny"])
    graph_decoding.main()
    lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    heads, _, *rows = lines
    assert [row[:3] for row in rows] == [["every item", "-", "-"], ["20", "5", "3"], ["20", "20", "3"]]
    few, many = (float(row[heads.index("recall@10")]) for row in rows[1:])
    assert 0.2 < few < many <= 1
