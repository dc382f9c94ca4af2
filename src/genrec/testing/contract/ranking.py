"""The contract of `index` and `rank`: lists that can be believed, the same before and after a stop."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
import torch
import torch.nn.functional as F

from genrec.assets import ItemAssets
from genrec.data import Dataset
from genrec.errors import GenrecError
from genrec.testing.contract.setting import ContractSetting, Factory, disturb
from genrec.testing.tiny import HISTORY, TinyModel, by_item, tiny_backbone
from genrec.types import PAD, Ranking

NEW = pl.DataFrame({"item": ["new0", "new1"], "title": ["red train number 9", "green kite"]})
CLOSE = 1e-4
"""Scores that differ by no more may change places: sums of other shapes are rounded otherwise."""


class RankingContract(ContractSetting):
    """Rankings are distinct, allowed and sorted, and depend on nothing but the history and what was learned."""

    def test_rankings_are_distinct_allowed_and_sorted(self, model: TinyModel) -> None:
        """In every candidate set, from one read of the prompt."""
        allowed = torch.ones(2, 12, dtype=torch.bool)
        allowed[1, ::3] = False
        items, scores = model.rank(HISTORY, 4, allowed)
        assert items.shape == scores.shape == (2, 3, 4)
        assert (scores.diff(dim=2) <= 0).all()
        for candidates, of_users in zip(allowed, items, strict=True):
            for row in of_users.tolist():
                assert len(set(row)) == 4
                assert candidates[row].all()

    def test_more_items_than_candidates_are_refused(self, model: TinyModel) -> None:
        """With a sentence, rather than a list that is too short."""
        allowed = torch.zeros(1, 12, dtype=torch.bool)
        allowed[:, :3] = True
        assert model.rank(HISTORY, 3, allowed).items.sort(2).values.tolist() == [[[0, 1, 2]] * 3]
        with pytest.raises(GenrecError):
            model.rank(HISTORY, 4, allowed)

    def test_a_longer_ranking_begins_as_a_shorter_one(self, model: TinyModel) -> None:
        """As long as `ItemIdentifier.reach` says: settings without a user's own items are measured in it."""
        disturb(model)
        allowed = torch.ones(2, 12, dtype=torch.bool)
        allowed[1, ::3] = False
        depth = model.identifier.reach(2, 6)
        assert 2 <= depth <= 8
        _assert_same(
            Ranking(*(part[..., :2] for part in model.rank(HISTORY, depth, allowed))), model.rank(HISTORY, 2, allowed)
        )

    def test_a_ranking_depends_on_no_padding_and_on_no_other_user(self, model: TinyModel) -> None:
        """Whatever else is in the batch."""
        disturb(model)
        together = by_item(model.rank(HISTORY))
        padded = by_item(model.rank(F.pad(HISTORY, (2, 0), value=PAD)))
        torch.testing.assert_close(padded, together, atol=CLOSE, rtol=CLOSE)
        for row in range(3):
            alone = by_item(model.rank(HISTORY[[row]]))
            torch.testing.assert_close(alone[:, 0], together[:, row], atol=CLOSE, rtol=CLOSE)

    def test_rank_each_holds_what_rank_finds(self, model: TinyModel) -> None:
        """For every value, once it is chosen."""
        disturb(model)
        allowed = torch.ones(2, 12, dtype=torch.bool)
        allowed[1, ::3] = False
        for value, expected in model.rank_each(HISTORY, 4, allowed).items():
            model.identifier.choose(value)
            _assert_same(model.rank(HISTORY, 4, allowed), expected)

    def test_rankings_are_those_of_float32_whatever_the_precision(
        self, model: TinyModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Given the same weights and states: what the language model itself computes is no part of it."""
        disturb(model)
        allowed = torch.ones(2, 12, dtype=torch.bool)
        allowed[1, ::6] = False

        def rank_each() -> dict[float, Ranking]:
            model.identifier.index(model.catalog, model.assets)
            return model.identifier.rank_each(model.backbone, memory, 10, allowed)

        def in_float32(verb: Callable[..., Any]) -> Callable[..., Any]:
            def called(*args: Any) -> Any:
                with torch.autocast("cpu", enabled=False):
                    return verb(*args)

            return called

        def tree(memory: Any) -> Any:
            made = make_tree(memory)
            made.write = in_float32(made.write)  # type: ignore[method-assign]
            return made

        memory, make_tree = model.read(HISTORY), model.backbone.tree
        monkeypatch.setattr(model.backbone, "tree", tree)
        monkeypatch.setattr(model.backbone, "write", in_float32(model.backbone.write))
        with torch.no_grad():
            expected = rank_each()
            with torch.autocast("cpu", torch.bfloat16):
                found = rank_each()
        for value, ranking in expected.items():
            same = torch.equal(found[value].items, ranking.items) and torch.equal(found[value].scores, ranking.scores)
            assert same, "make scores in float32: `genrec.decoding.inner_products`, `genrec.devices.full_precision`"

    def test_index_twice_changes_nothing(self, model: TinyModel) -> None:
        """The tables follow from the parameters."""
        disturb(model)
        before = model.rank(HISTORY)
        model.identifier.index(model.catalog, model.assets)
        _assert_same(model.rank(HISTORY), before)

    def test_a_saved_identifier_ranks_the_same(
        self, model: TinyModel, factory: Factory, kind: str, dataset: Dataset, assets: ItemAssets
    ) -> None:
        """Once its state is loaded into a new one, which was drawn otherwise, and the tables are refilled."""
        disturb(model)
        model.identifier.choose(next(iter(model.rank_each(HISTORY, 1, torch.ones(1, 12, dtype=torch.bool)))))
        model.identifier.index(model.catalog, model.assets)
        file = io.BytesIO()
        torch.save(model.identifier.state_dict(), file)
        file.seek(0)
        loaded = TinyModel(factory(), tiny_backbone(kind), dataset, assets, seed=1)
        loaded.identifier.load_state_dict(torch.load(file, weights_only=True))
        loaded.identifier.index(loaded.catalog, loaded.assets)
        _assert_same(loaded.rank(HISTORY), model.rank(HISTORY))

    def test_added_items_leave_the_order_of_the_old_ones(self, model: TinyModel) -> None:
        """They can be read and ranked, and nobody who was there before notices."""
        disturb(model)
        read, before = model.identifier.eval().embed(HISTORY), model.rank(HISTORY)
        model.add(NEW)
        again = model.identifier.embed(HISTORY)
        torch.testing.assert_close(again.embeds[again.mask], read.embeds[read.mask], atol=1e-5, rtol=1e-5)
        assert model.identifier.embed(torch.tensor([[12, 13]])).mask.any()
        after = model.rank(HISTORY)
        assert after.items.sort(2).values.tolist() == [[list(range(14))] * 3]
        old = after.items[after.items < 12].view(before.items.shape)
        # What the old scores say along the new order.
        falling = by_item(before).gather(2, old)
        assert (falling.diff(dim=2) <= CLOSE).all()

    def test_items_of_other_data_sets_are_told_by_their_text(self, model: TinyModel) -> None:
        """If the method says so (`ItemIdentifier.reads_text`): a train is not read as a boat is."""
        disturb(model)
        model.add(model.catalog.items[[0, 11]].with_columns(pl.Series("item", ["train", "boat"])))
        train, boat = (model.identifier.eval().embed(torch.tensor([[item]])) for item in (12, 13))
        same = train.embeds.shape == boat.embeds.shape and torch.allclose(train.embeds, boat.embeds)
        assert not (model.identifier.reads_text and same)


def _assert_same(found: Ranking, expected: Ranking) -> None:
    """The same scores, and the same items but where scores are too close to tell."""
    torch.testing.assert_close(found.scores, expected.scores, atol=CLOSE, rtol=CLOSE)
    gaps = expected.scores.diff(dim=2).abs() <= CLOSE
    close = F.pad(gaps, (1, 0)) | F.pad(gaps, (0, 1))
    assert ((found.items == expected.items) | close).all()
