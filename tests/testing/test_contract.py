"""What breaks the contract of an identifier is found, each fault by the test that is about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from genrec.data import Dataset
from genrec.decoding import inner_products, top_k
from genrec.identifiers import ItemIdentifier
from genrec.identifiers.tables import table
from genrec.losses import linear_cross_entropy
from genrec.testing import TinyModel, tiny_assets, tiny_backbone
from genrec.testing.contract import IdentifierContract
from genrec.types import PAD, Ranking, Tokens


class Plain(ItemIdentifier):
    """One token per item, a map of its text; nothing is wrong with it."""

    def setup(self, catalog: Any, assets: Any, backbone: Any) -> None:
        self.map = nn.Linear(assets.text.shape[1], backbone.width)
        self.index(catalog, assets)

    def index(self, catalog: Any, assets: Any) -> None:
        self.text = table(assets.text)

    def embed(self, items: Tensor) -> Tokens:
        tokens = self.map(self.text[items.clamp(min=0)])
        return Tokens(tokens, items != PAD, Tokens.ordered(tokens).sets)

    def query(self, backbone: Any) -> Tokens:
        return Tokens.ordered(backbone.words(torch.tensor([[backbone.start]])))

    def loss(self, backbone: Any, context: Any, history: Tensor, target: Tensor) -> dict[str, Tensor]:
        states = backbone(context, self.query(backbone))[:, 0]
        weight = states.new_full((len(target),), 1 / len(target))
        return {"loss": linear_cross_entropy(states, self.map(self.text), target, weight)}

    def scores(self, backbone: Any, memory: Any) -> Tensor:
        with torch.autocast("cpu", enabled=False):
            return inner_products(backbone.write(memory, self.query(backbone))[:, 0], self.map(self.text))

    def rank(self, backbone: Any, memory: Any, k: int, allowed: Tensor) -> Ranking:
        return top_k(self.scores(backbone, memory), allowed, k)


class ReadsPadding(Plain):
    def embed(self, items: Tensor) -> Tokens:
        return Tokens.ordered(super().embed(items).embeds)


class SendsATable(Plain):
    def setup(self, *args: Any) -> None:
        super().setup(*args)
        self.register_buffer("sent", self.text)


class LosesNoLoss(Plain):
    def loss(self, *args: Any) -> dict[str, Tensor]:
        return {"generation": super().loss(*args)["loss"]}


class Sums(Plain):
    def loss(self, *args: Any) -> dict[str, Tensor]:
        return {"loss": super().loss(*args)["loss"] * len(args[3])}


class CountsFromTheEnd(Plain):
    def embed(self, items: Tensor) -> Tokens:
        tokens = super().embed(items)
        age = torch.arange(items.shape[1]).flip(0)[:, None]
        return Tokens(tokens.embeds + age, tokens.mask, tokens.sets)


class SpeaksTwice(Plain):
    def describe(self, item: int) -> str:
        return "one line\nand another"


class CountsFromOne(Plain):
    def item_codes(self) -> tuple[Tensor, list[int]]:
        return torch.arange(len(self.text))[:, None] + 1, [len(self.text)]


class Repeats(Plain):
    def rank(self, *args: Any) -> Ranking:
        items, scores = super().rank(*args)
        return Ranking(items[..., :1].expand_as(items), scores)


class Forbidden(Plain):
    def rank(self, backbone: Any, memory: Any, k: int, allowed: Tensor) -> Ranking:
        return super().rank(backbone, memory, k, torch.ones_like(allowed))


class Rises(Plain):
    def rank(self, *args: Any) -> Ranking:
        return Ranking(*(part.flip(2) for part in super().rank(*args)))


class Fills(Plain):
    def rank(self, backbone: Any, memory: Any, k: int, allowed: Tensor) -> Ranking:
        return super().rank(backbone, memory, min(k, int(allowed.sum(1).min())), allowed)


class LooksAtOthers(Plain):
    def scores(self, *args: Any) -> Tensor:
        return super().scores(*args) * super().scores(*args).mean()


class ChoosesNothing(Plain):
    def rank_each(self, *args: Any) -> dict[float, Ranking]:
        items, scores = super().rank(*args)
        return {weight: Ranking(items, weight * scores) for weight in (1.0, 2.0)}


class Rounds(Plain):
    def scores(self, backbone: Any, memory: Any) -> Tensor:
        return backbone.write(memory, self.query(backbone))[:, 0] @ self.map(self.text).T


class GrowsEveryTime(Plain):
    text = torch.zeros(1)

    def index(self, catalog: Any, assets: Any) -> None:
        self.text = self.text + assets.text


class KeepsItToItself(Plain):
    def setup(self, *args: Any) -> None:
        super().setup(*args)
        self.turn = torch.randn(self.map.in_features)

    def scores(self, backbone: Any, memory: Any) -> Tensor:
        return super().scores(backbone, memory) + self.text @ self.turn


class NamesAnew(Plain):
    def index(self, catalog: Any, assets: Any) -> None:
        self.text = assets.text.flip(0)


Check = Callable[..., None]
FAULTS: dict[type[Plain], Check] = {
    ReadsPadding: IdentifierContract.test_embed_hides_padding_and_keeps_the_order_of_items,
    SendsATable: IdentifierContract.test_nothing_but_parameters_has_a_row_per_item_that_processes_would_send,
    LosesNoLoss: IdentifierContract.test_loss_is_finite_and_reaches_the_language_model,
    Sums: IdentifierContract.test_a_target_adds_the_same_to_the_loss_in_any_company,
    CountsFromTheEnd: IdentifierContract.test_packed_prompts_teach_what_single_ones_do,
    CountsFromOne: IdentifierContract.test_codes_are_numbers_below_their_sizes,
    SpeaksTwice: IdentifierContract.test_every_item_is_described_on_one_line,
    Repeats: IdentifierContract.test_rankings_are_distinct_allowed_and_sorted,
    Forbidden: IdentifierContract.test_rankings_are_distinct_allowed_and_sorted,
    Rises: IdentifierContract.test_rankings_are_distinct_allowed_and_sorted,
    Fills: IdentifierContract.test_more_items_than_candidates_are_refused,
    LooksAtOthers: IdentifierContract.test_a_ranking_depends_on_no_padding_and_on_no_other_user,
    ChoosesNothing: IdentifierContract.test_rank_each_holds_what_rank_finds,
    Rounds: IdentifierContract.test_rankings_are_those_of_float32_whatever_the_precision,
    GrowsEveryTime: IdentifierContract.test_index_twice_changes_nothing,
    KeepsItToItself: IdentifierContract.test_a_saved_identifier_ranks_the_same,
    NamesAnew: IdentifierContract.test_added_items_leave_the_order_of_the_old_ones,
}


class TestPlain(IdentifierContract):
    def make(self) -> Plain:
        return Plain()


@pytest.mark.parametrize("faulty", FAULTS, ids=lambda cls: cls.__name__)
def test_a_fault_is_found(
    faulty: type[Plain], dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assets = tiny_assets(dataset, tmp_path)
    given: dict[str, Any] = {
        "model": TinyModel(faulty(), tiny_backbone("causal"), dataset, assets),
        "factory": faulty,
        "kind": "causal",
        "dataset": dataset,
        "assets": assets,
        "monkeypatch": monkeypatch,
    }
    check = FAULTS[faulty]
    names = check.__code__.co_varnames[1 : check.__code__.co_argcount]
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(IdentifierContract(), **{name: given[name] for name in names})


def test_a_class_without_a_factory_is_told_what_it_lacks() -> None:
    with pytest.raises(NotImplementedError, match="a method `make`"):
        IdentifierContract().make()
