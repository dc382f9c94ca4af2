"""The benchmark of lists for users of another shop runs, and its measure is one of texts."""

from __future__ import annotations

from pathlib import Path

from benchmarks.open_domain import compare

from genrec import load
from genrec.data import Synthetic

from ..served import SETREC, make_run, recommender


def test_lists_are_compared(tmp_path: Path) -> None:
    served = load(make_run(tmp_path, recommender(SETREC)))
    found = compare(served, Synthetic(users=150, items=140, seed=1).load("data"), users=20, k=5, seed=0)
    assert list(found) == ["SETRec", "of another user", "popular", "random", "nearest texts"]
    similarity = {name: value for name, (value, _) in found.items()}
    assert max(similarity, key=lambda name: similarity[name]) == "nearest texts"
    assert found["popular"][1] == 5 / 100
    assert not served.model.candidates.all()
