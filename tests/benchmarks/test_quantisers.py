"""The benchmark of quantisers, on hundreds of items."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from benchmarks import quantisers


@pytest.mark.filterwarnings("ignore:the codes have collapsed")
def test_quantisers_are_measured_and_what_is_beyond_is_computed(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("vector_quantize_pytorch")
    names = ["RQ-VAE", "RVQ, moving averages", "FSQ", "PQ, 4 digits"]
    quantisers.main(["--tiny", "--only", *names])
    lines = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    cells = {(name.removeprefix("| "), items): rest for name, items, *rest in lines[2:]}
    assert list(cells) == [(name, items) for name in names for items in ("300", "400", "500")]
    for (_, items), rest in cells.items():
        assert any("computed" in part for part in rest) == (items == "500")


def test_a_cell_of_a_data_set_says_nothing_but_its_numbers(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def toys(root: str) -> tuple[Any, dict[str, np.ndarray]]:
        print("building something first ...")
        table = np.random.default_rng(0).standard_normal((30, 8), np.float32)
        return SimpleNamespace(name="toys", catalog=range(30), warm=np.ones(30, bool)), {"text": table}

    monkeypatch.setattr(quantisers, "toys", toys)
    quantisers.main(["--cell", "RQ-KMeans", "0", ""])
    said = capsys.readouterr()
    assert json.loads(said.out)["items"] == 30
    assert "building something first" in said.err


def test_what_is_not_measured_grows_as_before() -> None:
    told = {"collision_rate": 0.5, "peak": 1.0, "busy": 1.0}
    found = {("A", 10): {**told, "seconds": 3600.0}, ("A", 20): {**told, "seconds": 2 * 3600.0}}
    *_, last = quantisers.scale(found, [10, 20, 40]).splitlines()
    assert last == "| A | 40 | | 4.00 h, computed | 0.00 h, computed | |"


def test_the_table_of_quality() -> None:
    told = {"collision_rate": 0.25, "largest_group": 3, "used": [0.5, 1], "entropy": [1.5, 2], "reconstruction": 0.4}
    cell = {**told, "size": 8, "seconds": 2.0, "busy": 3.0, "peak": 0.5}
    many = {**cell, "used": [0.2] * 5, "entropy": [1.0] * 5}
    *_, one, two = quantisers.quality({"A": cell, "B": many}).splitlines()
    assert one == "| A | 2 of 8 | 25.00% | 3 | 50% 100% | 1.50 2.00 | 40.0% | 2 | 3 | 0.50 GiB |"
    assert two == "| B | 5 of 8 | 25.00% | 3 | mean 20% | mean 1.00 | 40.0% | 2 | 3 | 0.50 GiB |"
