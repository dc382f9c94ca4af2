"""Benchmarks of large catalogues, run small."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from benchmarks import names_scale, order_scale, prepare_scale

from .. import forks

ROOT = Path(__file__).resolve().parents[2]


def rows(out: str) -> dict[str, str]:
    """A table of two columns."""
    cells = [line.strip("| ").split(" | ") for line in out.splitlines() if line.startswith("|")]
    return dict(cells[2:])


@pytest.mark.slow
def test_a_killed_embedding_goes_on_where_it_was(tmp_path: Path) -> None:
    found = rows(forks.run(f"{ROOT}/benchmarks/embed_scale.py", "--tiny", "--folder", str(tmp_path)))
    assert int(found["shards made twice"]) <= 1
    assert 2 <= int(found["shards there when it was killed"]) <= int(found["shards"]) == 4
    assert found["the same to the last bit"] == "yes"


def test_all_kinds_of_names_are_timed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["names_scale.py", "--tiny"])
    names_scale.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if "2,000" in line] == list(names_scale.CELLS)


@pytest.mark.slow
def test_a_log_is_prepared_found_again_and_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["prepare_scale.py", "--tiny", "--folder", str(tmp_path)])
    prepare_scale.main()
    out = capsys.readouterr().out
    head, _, line = ([cell.strip() for cell in line.strip("| ").split("|")] for line in out.splitlines())
    found = dict(zip(head, line, strict=True))
    assert found["users / items / interactions left"].startswith("1,000 / 500 / ")
    assert float(found["peak GiB (ru_maxrss)"]) < 2
    assert not list(tmp_path.iterdir()), "nothing is left"


def test_the_order_of_an_epoch_is_measured(tmp_path: Path) -> None:
    order_scale.generate(tmp_path, 20_000)
    found = order_scale.measure(tmp_path, 256)
    assert list(order_scale.ROWS) == [key for key in order_scale.ROWS if key in found]
    assert 10_000 < found["samples"] < 20_000
    assert max(found["epoch"], found["resume"], found["others"]) < 5
