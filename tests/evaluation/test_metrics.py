"""Metrics against arithmetic written by hand, and against the release's own numbers."""

from __future__ import annotations

import json
import subprocess
import sys
from math import log2
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from jsonargparse import Namespace

from genrec.analysis.report import results_table
from genrec.errors import GenrecError
from genrec.evaluation import metrics, ranks
from genrec.evaluation.metrics import hits, ndcg, recall
from genrec.evaluation.protocol import Measure, RankingMetrics
from genrec.training.arguments import check_monitors
from genrec.types import PAD, Ranking


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


FRAME = pl.DataFrame(
    {
        ranks.USER: ["anna", "anna", "ben"],
        ranks.ITEM: ["a", "b", "c"],
        ranks.GROUP: [1, 2, 1],
        f"{ranks.RANK}all": [3, 0, 2],
    }
)
"""Anna has two targets, one at the third place; Ben's stands at the second."""


def _first_hit(hit: torch.Tensor, n_targets: torch.Tensor, k: int) -> torch.Tensor:
    places = torch.arange(1, hit.shape[-1] + 1).double()
    return (hit[..., :k] / places[:k]).amax(-1)


TOY = metrics.Metric("First", "F", _first_hit, lambda rank, k: (rank.is_between(1, k) / rank).fill_nan(0).max())
"""The inverse of the first hit's place, as somebody would add it."""


def test_another_metric_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(metrics.METRICS, "first", TOY)
    chosen = Measure(("recall", "ndcg", "first"))
    # On a batch,
    measure = RankingMetrics(np.array([2, 1, 1, 0]), (2, 3), measure=chosen)
    one = torch.tensor([[[2, 3, 0], [1, 0, 2]]]).repeat(len(measure.allowed), 1, 1)
    measure.update(Ranking(one, torch.zeros(one.shape)), torch.tensor([[0, 1], [0, PAD]]))
    found = measure.compute()["all"]
    assert list(found)[-3:] == ["first@2", "first@3", "users"]
    assert found["first@2"] == pytest.approx((0 + 1 / 2) / 2)
    assert found["first@3"] == pytest.approx((1 / 3 + 1 / 2) / 2)
    # from the ranks of a test,
    assert ranks.user_metrics(FRAME, "all", ["first@2", "first@3"]) == pytest.approx(
        np.array([[0, 1 / 3], [1 / 2] * 2])
    )
    # in a table, beside which figures still show what validation chooses by,
    results = {"dataset": "toys", "method": "Mine", "split": "test", "users": 2, "items": 4}
    results |= {"settings": {"all": found}, "seconds": {"rank": 1.0}}
    assert [column.header for column in results_table([results]).columns][-4:-2] == ["F@2", "F@3"]
    assert metrics.main_of(list(found)[:-1]) == "ndcg@3"
    # and as a monitor.
    model = Namespace(class_path="genrec.recommenders.Popularity", init_args=Namespace(ks=(2, 3)))
    config = Namespace(
        model=model, trainer=Namespace(callbacks=None), measure=chosen, checkpoint=Namespace(monitor="val/first@3")
    )
    check_monitors(config)
    config.checkpoint.monitor = "val/first@5"
    with pytest.raises(GenrecError, match=r"val/first@2, .*val/first@3, val/warm/ndcg@3"):
        check_monitors(config)


def test_every_metric_follows_from_the_ranks_of_a_test() -> None:
    """From the hits of a batch, and from what `genrec test` writes down."""
    ranked = torch.tensor([[2, 3, 0], [1, 0, 2]])
    wanted = torch.tensor([[0, 1], [0, PAD]])
    hit, count = hits(ranked, wanted), torch.tensor([2, 1])
    for name in metrics.of_ranks(metrics.names((1, 2, 3), list(metrics.METRICS))):
        metric, k = metrics.parse(name)
        assert isinstance(metric, metrics.Metric)
        assert ranks.user_metrics(FRAME, "all", [name])[:, 0] == pytest.approx(metric.of_hits(hit, count, k).numpy())


def test_a_table_needs_no_torch() -> None:
    code = "import sys, genrec.evaluation.metrics, genrec.analysis.report.command; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
