"""The benchmark of indexes runs, and every kind finds what it was told to."""

from __future__ import annotations

import sys

import pytest
from benchmarks import index_speed


def test_every_kind_is_measured(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["index_speed.py", "--tiny", "--threads", "1", "--recall", "0.95"])
    index_speed.main()
    lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    heads, _, *rows = lines
    assert [row[0] for row in rows] == ["exact", "ivf", "hnsw", "ivf_pq"]
    assert all(len(row) == len(heads) for row in rows)
    assert all(float(row[heads.index("recall@10")]) >= 0.9 for row in rows)
