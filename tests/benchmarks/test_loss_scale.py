"""The benchmark of losses over many items, on hundreds."""

from __future__ import annotations

import pytest
from benchmarks import loss_scale


def test_every_cell_is_measured_or_computed(capsys: pytest.CaptureFixture[str]) -> None:
    loss_scale.main(["--tiny"])
    lines = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    cells = {(items, kind): peak for items, kind, peak, *_ in lines[2:]}
    assert len(cells) == 9
    assert [cell for cell, peak in cells.items() if "computed" in peak] == [("400", "whole")]
