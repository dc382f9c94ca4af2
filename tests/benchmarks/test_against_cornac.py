"""The comparison with cornac on a made-up shop; cornac's half where its environment is named."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest
from benchmarks import against_cornac

PYTHON = os.environ.get("CORNAC_PYTHON")
"""The python of an environment with cornac 3.0, which cannot be installed beside genrec."""


def options_of(folder: Path) -> Namespace:
    """What `--tiny` asks for, with fewer users."""
    return Namespace(root=folder, folder=folder, epochs=1, users=60, ranked=12, code_steps=5, seed=0, tiny=True)


@pytest.mark.parametrize("method", ["tiger", "rpg"])
def test_ours_is_trained_and_measured(method: str, tmp_path: Path) -> None:
    against_cornac.ours(method, options_of(tmp_path))
    found = np.load(tmp_path / f"genrec_{method}.npy")
    assert found.shape == (12, 10)
    cells = against_cornac.line(tmp_path, f"genrec_{method}", "genrec", method).strip("| ").split(" | ")
    assert cells[:2] == [method.upper(), "genrec"]
    # Measured again, as the definitions say: by hand, and with the targets of the same users.
    wanted = np.load(tmp_path / "wanted.npz")
    targets = np.split(wanted["values"], np.cumsum(wanted["lengths"])[:-1])
    recalls = [len({*items} & {*found[row]}) / len({*items}) for row, items in enumerate(targets)]
    assert float(cells[2]) == pytest.approx(np.mean(recalls), abs=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(PYTHON is None, reason="CORNAC_PYTHON names no python that has cornac 3.0")
def test_both_are_in_one_table(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/against_cornac.py", "--tiny", "--cornac", str(PYTHON)]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)], cwd=root, check=True, capture_output=True, text=True, timeout=600
    )
    rows = [line.strip("| ").split(" | ")[:2] for line in done.stdout.splitlines()[2:]]
    assert rows == [["TIGER", "genrec"], ["TIGER", "cornac"], ["RPG", "genrec"], ["RPG", "cornac"]]
