"""A score is the sum of what its slots add, whatever the method; and other methods say that theirs has no parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from genrec import devices, load
from genrec.serving.slots import slot_names, slot_scores

from ..served import E4SREC, SETREC, TIGER, make_run, recommender

RPG = {
    "class_path": "genrec_baselines.RPG",
    "init_args": {"codes": {"class_path": "PQCodes", "init_args": {"digits": 4, "size": 8, "dim": 8}}},
}
LEVEL = {**TIGER, "init_args": {**TIGER["init_args"], "search": {"normalize": "level"}}}
CHILDREN = {**TIGER, "init_args": {**TIGER["init_args"], "search": {"normalize": "children"}}}


@pytest.mark.parametrize(
    ("identifier", "whole", "slots"),
    [(SETREC, 2**27, 3), (SETREC, 0, 3), (TIGER, 2**27, 3), (LEVEL, 2**27, 3), (RPG, 2**27, 4)],
)
def test_scores_are_sums(
    identifier: dict[str, Any], whole: int, slots: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "WHOLE", whole)
    model = load(make_run(tmp_path, recommender(identifier))).model
    histories = torch.tensor([[-1, -1, 3], [5, 9, 11]])
    with torch.inference_mode():
        items, scores = model.rank(histories, 4, torch.ones(1, 140, dtype=torch.bool))
    parts = slot_scores(model, histories, items[0])
    assert parts.shape == (2, 4, slots)
    assert len(slot_names(model) or []) == slots
    torch.testing.assert_close(parts.sum(2), scores[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("identifier", [E4SREC, CHILDREN])
def test_other_scores_have_no_parts(identifier: dict[str, Any], tmp_path: Path) -> None:
    assert slot_names(load(make_run(tmp_path, recommender(identifier))).model) is None
