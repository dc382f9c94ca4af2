"""The contract of `ItemIdentifier`, run on every concrete identifier that can be found."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from inspect import isabstract
from pathlib import Path
from typing import Any

import pytest
import torch

from genrec.assets import Assets, ItemAssets, ReleasedCF, TfidfText
from genrec.backbones import Backbone, Read, T5Backbone
from genrec.data import Dataset
from genrec.identifiers import ItemIdentifier
from genrec.recommenders.prompts import TEMPLATE, Prompt
from genrec.types import PAD, Ranking, Tokens

SIZES = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4}
HISTORY = torch.tensor([[0, 1, 2], [PAD, 6, 7], [PAD, PAD, PAD]])
TARGET = torch.tensor([3, 8, 0])


def concrete(base: type[ItemIdentifier]) -> Iterator[type[ItemIdentifier]]:
    for subclass in base.__subclasses__():
        if not isabstract(subclass):
            yield subclass
        yield from concrete(subclass)


for entry in entry_points(group="genrec.identifiers"):
    entry.load()
IDENTIFIERS = [cls for cls in concrete(ItemIdentifier) if cls.__module__.startswith("genrec")]


class Model:
    def __init__(self, cls: type[ItemIdentifier], dataset: Dataset, assets: ItemAssets) -> None:
        torch.manual_seed(0)
        self.catalog, self.assets = dataset.catalog, assets
        self.backbone: Backbone = T5Backbone(sizes=SIZES)
        self.backbone.setup([*dataset.catalog.titles, TEMPLATE])
        self.prompt = Prompt()
        self.prompt.setup(self.backbone)
        self.identifier = cls()
        self.identifier.setup(self.catalog, assets, self.backbone)

    def context(self, history: torch.Tensor = HISTORY) -> Tokens:
        return self.prompt(self.backbone, self.identifier.embed(history))

    def loss(self, rows: list[int]) -> torch.Tensor:
        losses = self.identifier.loss(self.backbone, self.context(HISTORY[rows]), HISTORY[rows], TARGET[rows])
        return losses["loss"]

    def rank(self, k: int, allowed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.identifier.eval()
        self.backbone.eval()
        with torch.no_grad():
            return self.identifier.rank(self.backbone, self.backbone.read(self.context()), k, allowed)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all: codes take seconds to learn."""
    return tmp_path_factory.mktemp("assets")


@pytest.fixture(params=IDENTIFIERS, ids=lambda cls: cls.__name__)
def model(request: pytest.FixtureRequest, dataset: Dataset, root: Path) -> Model:
    assets = Assets(text=TfidfText(dim=8), cf=ReleasedCF(), root=str(root))
    return Model(request.param, dataset, assets.bind(dataset))


def test_there_are_identifiers() -> None:
    assert IDENTIFIERS


def test_embed_hides_padding_and_keeps_the_order_of_items(model: Model) -> None:
    tokens = model.identifier.embed(HISTORY)
    assert tokens.embeds.shape[2] == model.backbone.width
    assert tokens.mask[2].sum() == 0
    assert tokens.mask[0].sum() >= 3


def test_nothing_but_parameters_has_a_row_per_item_that_processes_would_send(model: Model) -> None:
    """And what is learned or chosen keeps its bits, whatever a trainer casts."""
    names = {name for name, buffer in model.identifier.named_buffers() if len(model.catalog) in buffer.shape}
    assert not names
    model.identifier.to(torch.bfloat16)
    numbers = [*model.identifier.parameters(), *model.identifier.buffers()]
    assert {number.dtype for number in numbers if number.is_floating_point()} <= {torch.float32}


def test_loss_is_finite_and_reaches_the_language_model(model: Model) -> None:
    losses = model.identifier.loss(model.backbone, model.context(), HISTORY, TARGET)
    assert all(value.ndim == 0 and torch.isfinite(value) for value in losses.values())
    losses["loss"].backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.backbone.parameters())


def test_a_target_adds_the_same_to_the_loss_in_any_company(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    model.backbone.eval()
    # What is drawn at random belongs to no target: the same for all.
    monkeypatch.setattr(torch, "rand", lambda *size, **options: torch.full(size, 0.5))
    monkeypatch.setattr(torch, "randint", lambda high, size, **options: torch.full(size, high // 2))
    monkeypatch.setattr(torch, "randn_like", torch.ones_like)
    alone = [model.loss([row]) for row in range(3)]
    torch.testing.assert_close(model.loss([0, 1, 2]), torch.stack(alone).mean(), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(model.loss([2, 0]), (alone[2] + alone[0]) / 2, atol=1e-5, rtol=1e-5)


def test_the_loss_does_not_depend_on_whether_numbers_are_looked_at(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU shapes are bounds; what is learned is the same."""
    model.backbone.eval()
    learned = [p for p in (*model.identifier.parameters(), *model.backbone.parameters()) if p.requires_grad]
    found = []
    for exact in (True, False):
        monkeypatch.setattr("genrec.devices.exact_sizes", lambda device, exact=exact: exact)
        torch.manual_seed(1)
        losses = model.identifier.loss(model.backbone, model.context(), HISTORY, TARGET)
        found.append((losses, torch.autograd.grad(losses["loss"], learned, allow_unused=True, materialize_grads=True)))
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-4)


def test_prompts_that_were_read_give_the_same_loss(model: Model) -> None:
    model.identifier.eval()
    model.backbone.eval()
    with torch.no_grad():
        found = []
        for context in (model.context(), Read(model.backbone.read(model.context()))):
            torch.manual_seed(1)
            found.append(model.identifier.loss(model.backbone, context, HISTORY, TARGET))
    torch.testing.assert_close(*found, atol=1e-5, rtol=1e-5)


def test_rankings_are_distinct_allowed_and_sorted(model: Model) -> None:
    allowed = torch.ones(2, 12, dtype=torch.bool)
    allowed[1, ::3] = False
    items, scores = model.rank(4, allowed)
    assert items.shape == scores.shape == (2, 3, 4)
    assert (scores.diff(dim=2) <= 0).all()
    for candidates, of_users in zip(allowed, items, strict=True):
        for row in of_users.tolist():
            assert len(set(row)) == 4
            assert candidates[row].all()


def test_rankings_are_those_of_float32_whatever_the_precision(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Given the same weights and states: what the language model itself computes is no part of it."""
    with torch.no_grad():
        for parameter in model.identifier.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    model.identifier.eval()
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

    make_tree = model.backbone.tree
    monkeypatch.setattr(model.backbone, "tree", tree)
    monkeypatch.setattr(model.backbone, "write", in_float32(model.backbone.write))
    with torch.no_grad():
        memory = model.backbone.eval().read(model.context())
        expected = rank_each()
        with torch.autocast("cpu", torch.bfloat16):
            found = rank_each()
    for value, ranking in expected.items():
        assert torch.equal(found[value].items, ranking.items)
        assert torch.equal(found[value].scores, ranking.scores)


def test_index_twice_changes_nothing(model: Model) -> None:
    allowed = torch.ones(1, 12, dtype=torch.bool)
    before = model.rank(4, allowed)
    model.identifier.index(model.catalog, model.assets)
    after = model.rank(4, allowed)
    assert torch.equal(before[0], after[0])
    torch.testing.assert_close(before[1], after[1])


def test_a_saved_identifier_ranks_the_same(model: Model, dataset: Dataset) -> None:
    with torch.no_grad():
        for parameter in model.identifier.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    for value in list(
        model.identifier.rank_each(
            model.backbone, model.backbone.read(model.context()), 1, torch.ones(1, 12, dtype=torch.bool)
        )
    )[:1]:
        model.identifier.choose(value)
    model.identifier.index(model.catalog, model.assets)
    loaded = Model(type(model.identifier), dataset, model.assets)
    loaded.backbone.load_state_dict(model.backbone.state_dict())
    loaded.identifier.load_state_dict(model.identifier.state_dict())
    loaded.identifier.index(loaded.catalog, loaded.assets)
    allowed = torch.ones(1, 12, dtype=torch.bool)
    expected, found = model.rank(4, allowed), loaded.rank(4, allowed)
    assert torch.equal(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1])


def test_every_item_is_described_on_one_line(model: Model) -> None:
    described = [model.identifier.describe(item) for item in range(len(model.catalog))]
    assert all(len(text.splitlines()) == 1 and text == text.strip() for text in described)
    names = model.identifier.token_sequences()
    if names is not None:
        distinct = {tuple(row) for row in names.codes.tolist()}
        assert len(set(described)) == len(distinct) == len(model.catalog)


def test_the_default_description_is_what_the_language_model_reads(model: Model) -> None:
    described = ItemIdentifier.describe(model.identifier, 7)
    tokens = model.identifier.embed(torch.tensor([[7]]))
    assert re.fullmatch(rf"(a set of )?{int(tokens.mask.sum())} tokens? of width {model.backbone.width}", described)
    assert described.startswith("a set of") == bool((tokens.sets[tokens.mask] >= 0).any())
