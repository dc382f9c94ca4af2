"""The kit for a machine with a GPU runs on a CPU, and its page says what it found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .. import forks

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_kit_runs_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    forks.run("-m", "benchmarks.gpu", "--tiny", "--out", str(tmp_path), environment={"CUDA_VISIBLE_DEVICES": ""})
    found = json.loads((tmp_path / "tiny.json").read_text())
    assert not any(found["left_out"].values())
    for part in ("t5", "qwen"):
        steps = {name: entry for name, entry in found[part].items() if "error" not in entry}
        # FlexAttention has no backward on a CPU, which is said.
        assert {name for name in found[part] if name not in steps} <= {name for name in found[part] if "flex" in name}
        assert all(entry["step_seconds"] > 0 and entry["targets"] > 0 for entry in steps.values())
        assert sum("step_tflop" in entry for entry in steps.values()) == 1
    assert all("error" not in entry and entry["seconds"] > 0 for entry in found["ranking"].values())
    page = (tmp_path / "tiny.md").read_text()
    for title in ("## Training: SETRec at t5-small's shape", "LoRA, packed", "## Ranking"):
        assert title in page
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["tiny.json", "tiny.md"], "nothing unfinished is left"
