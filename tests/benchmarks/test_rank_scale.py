"""The benchmark of ranking runs, and its table has a row for everything that is measured."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from benchmarks import rank_scale


@pytest.mark.parametrize("half", [[], ["--half"]])
def test_ranking_a_memory_mapped_table_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], half: list[str]
) -> None:
    threads = str(torch.get_num_threads())
    rank_scale.main(["--tiny", "--rounds", "1", "--threads", threads, "--folder", str(tmp_path), *half])
    title, _, header, _, *rows = capsys.readouterr().out.splitlines()
    assert title.startswith(f"4 users, 1,000 items x 20 torch.float{16 if half else 32}")
    measured = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [row[0] for row in measured] == [
        "plain product",
        "all items",
        "three candidate sets",
        "three candidate sets, ten weights",
    ]
    assert all(len(row) == header.count("|") - 1 for row in measured)
    assert measured[0][2] == "1.00"
    assert not list(tmp_path.iterdir()), "the table is deleted"
