"""Metrics against arithmetic written by hand, and against the release's own numbers."""

from __future__ import annotations

import json
from math import log2
from pathlib import Path

import pytest
import torch

from genrec.evaluation.metrics import hits, ndcg, recall
from genrec.types import PAD


def measure(predictions: list[int], targets: list[int], k: int) -> tuple[float, float]:
    wanted = torch.tensor([[*targets, PAD]])
    hit, count = hits(torch.tensor([predictions]), wanted), torch.tensor([len(targets)])
    return recall(hit, count, k).item(), ndcg(hit, count, k).item()


def test_two_of_three_targets_at_ranks_one_and_three() -> None:
    got = measure([7, 1, 8, 2], [7, 8, 9], 4)
    assert got == pytest.approx((2 / 3, (1 / log2(2) + 1 / log2(4)) / (1 / log2(2) + 1 / log2(3) + 1 / log2(4))))


def test_ranks_behind_k_do_not_count() -> None:
    assert measure([1, 2, 3], [3], 2) == (0, 0)


def test_the_ideal_has_at_most_k_hits() -> None:
    recalled, gain = measure([1, 2], [1, 2, 3, 4], 2)
    assert recalled == pytest.approx(2 / 4)
    assert gain == pytest.approx(1)


def test_padding_is_no_target() -> None:
    assert not hits(torch.tensor([[PAD, 1]]), torch.tensor([[PAD, PAD]])).any()


def test_the_release_measures_the_same(shared: Path) -> None:
    golden = json.loads((shared / "golden/golden_metrics.json").read_text())
    cases = [case for case in golden["cases"] if case["official"] is not None]
    assert len(cases) >= 20
    for case in cases:
        for k in golden["k"]:
            official = case["official"]["recall"][str(k)], case["official"]["ndcg"][str(k)]
            assert measure(case["predictions"], case["targets"], k) == pytest.approx(official, abs=5.1e-5)
