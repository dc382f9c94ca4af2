"""The benchmark of recommending to many users runs."""

from __future__ import annotations

import pytest
import torch
from benchmarks import serve_scale


def test_streams_and_frames_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    serve_scale.main(["--tiny", "--threads", str(torch.get_num_threads())])
    header, _, *rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert [row.split(" | ")[0] for row in rows] == ["| 40", "| 80"]
    assert all(row.count("|") == header.count("|") for row in rows)
