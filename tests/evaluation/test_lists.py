"""Lists that are none are refused: by a validation, a test and a prediction, whatever the method."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from genrec.data import Dataset, InMemory, SequenceData
from genrec.decoding import top_k
from genrec.errors import GenrecError
from genrec.evaluation.lists import flaws, refuse_flaws, refuse_shape
from genrec.recommenders import RankingModule
from genrec.testing import Syncs, quiet_trainer
from genrec.types import Batch, Ranking

ALLOWED = torch.tensor([[True] * 4, [True, True, False, False]])
GOOD = Ranking(torch.tensor([[[2, 0]], [[1, 0]]]), torch.tensor([[[2.0, 2.0]], [[1.0, -torch.inf]]]))

Change = Callable[[Tensor, Tensor], Any]
WRONG: dict[str, tuple[Change, str]] = {
    "repeated": (lambda items, scores: Ranking(items[..., :1].expand_as(items), scores), "are in a list twice"),
    "forbidden": (lambda items, scores: Ranking(items[:1].expand_as(items), scores), "are not among the candidates"),
    "beyond": (lambda items, scores: Ranking(items + 12, scores), r"are not of the catalogue \(rows 0 to 11\)"),
    "before": (lambda items, scores: Ranking(items - 12, scores), r"are not of the catalogue \(rows 0 to 11\)"),
    "rising": (lambda items, scores: Ranking(items, -scores), "have better scores than those before them"),
    "short": (lambda items, scores: Ranking(items[..., :1], scores[..., :1]), r"shape \[\d, 4, 1\].*k = 2"),
    "few": (lambda items, scores: Ranking(items[:, :1], scores[:, :1]), "4 users"),
    "sets": (lambda items, scores: Ranking(items[:0], scores[:0]), r"items of shape \[0, 4, 2\]"),
    "floats": (lambda items, scores: Ranking(items.float(), scores), "torch.float32: the rows of items are whole"),
    "tuple": (lambda items, scores: (items, scores), "returned a tuple to be ranked by"),
}


class Wrong(RankingModule):
    """Ranks by row, and spoils what it found from a batch on."""

    learns = False

    def __init__(self, change: Change, batch: int = 0) -> None:
        super().__init__(ks=(1, 2))
        self.change, self.batch, self.ranked = change, batch, 0

    def rank(self, history: Tensor, k: int, allowed: Tensor) -> Ranking:
        found = top_k(torch.arange(12.0).expand(len(history), -1), allowed, k)
        self.ranked += 1
        return self.change(*found) if self.ranked > self.batch else found


class Counting(Wrong):
    """Counts what a batch lets the host wait for, with the hook that comes behind it."""

    def __init__(self) -> None:
        super().__init__(Ranking)
        self.waits: list[int] = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        with Syncs() as self.syncs:
            super().validation_step(batch, batch_idx)

    def on_validation_batch_end(self, *args: Any) -> None:
        with self.syncs:
            super().on_validation_batch_end(*args)
        self.waits.append(self.syncs.total)


def data(dataset: Dataset) -> SequenceData:
    return SequenceData(InMemory(dataset), rank_batch_size=4)


# A prediction has one candidate set, of all items.
@pytest.mark.parametrize(
    ("verb", "name"),
    [
        (verb, name)
        for name in WRONG
        for verb in ("validate", "test", "predict")
        if (verb, name) != ("predict", "forbidden")
    ],
)
def test_a_wrong_ranking_is_refused_at_once(verb: str, name: str, dataset: Dataset, tmp_path: Path) -> None:
    change, said = WRONG[name]
    module = Wrong(change)
    with pytest.raises(GenrecError, match=rf"Wrong .*{said}"):
        getattr(quiet_trainer(default_root_dir=tmp_path), verb)(module, data(dataset))
    assert module.ranked == 1


@pytest.mark.parametrize("verb", ["validate", "test"])
def test_and_at_the_end_where_only_a_later_one_is_wrong(verb: str, dataset: Dataset, tmp_path: Path) -> None:
    module = Wrong(WRONG["beyond"][0], batch=1)
    with pytest.raises(GenrecError, match=r"Wrong ranks items that are not of .*genrec\.testing\.contract"):
        getattr(quiet_trainer(default_root_dir=tmp_path), verb)(module, data(dataset))
    assert module.ranked == 2


def test_only_the_first_batch_is_waited_for(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genrec.devices.exact_sizes", lambda device: False)
    module = Counting()
    quiet_trainer(default_root_dir=tmp_path).validate(module, data(dataset), verbose=False)
    first, later = module.waits
    assert first <= 1
    assert later == 0


def test_lists_may_tie_and_end_in_what_is_impossible() -> None:
    refuse_shape(GOOD, 2, 1, 2, "X")
    refuse_flaws(GOOD, ALLOWED, "X")
    together = Ranking(*(torch.stack([part, part]) for part in GOOD))
    assert not any(flaws(together, ALLOWED).values())


def test_of_several_rankings_one_may_be_wrong() -> None:
    swapped = Ranking(GOOD.items.flip(0), GOOD.scores)
    together = Ranking(*(torch.stack(parts) for parts in zip(GOOD, swapped, strict=True)))
    assert [what for what, flaw in flaws(together, ALLOWED).items() if flaw] == ["are not among the candidates"]


def test_no_ranking_at_all_is_a_sentence(dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = Wrong(Ranking)
    monkeypatch.setattr(module, "rank_each", lambda *args: {})
    with pytest.raises(GenrecError, match="`rank_each` of Wrong returned no ranking"):
        quiet_trainer(default_root_dir=tmp_path).validate(module, data(dataset))
