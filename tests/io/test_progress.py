from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.io import progress
from genrec.io.progress import in_parts


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which stands still until a test moves it."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def work(total: int, size: int, clock: list[float], seconds: float) -> None:
    for _ in in_parts(range(total), size):
        clock[0] += seconds


@given(st.lists(st.integers(), max_size=30), st.integers(1, 12))
def test_the_parts_are_the_whole(items: list[int], size: int) -> None:
    parts = list(in_parts(items, size))
    assert [item for part in parts for item in part] == items
    assert all(len(part) == size for part in parts[:-1])


def test_many_texts_have_a_line_for_every_tenth(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    work(12_000, 400, clock, 7)
    # Three parts are a tenth.
    expected = [f"encoded {400 * parts:,} of 12,000 texts, {7 * parts} s" for parts in range(3, 30, 3)]
    assert capsys.readouterr().out.splitlines() == expected
    assert expected[0] == "encoded 1,200 of 12,000 texts, 21 s"


def test_few_texts_and_quick_work_pass_in_silence(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    work(progress.MANY, 100, clock, 60)
    work(100_000, 1_000, clock, 0.01)
    assert capsys.readouterr().out == ""


def test_lines_are_seconds_apart(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    work(10_000, 1_000, clock, 2)
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["3,000", "6,000", "9,000"]
