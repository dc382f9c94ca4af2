"""What must hold for SETRec whatever its weights are."""

from __future__ import annotations

import weakref
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from genrec import devices
from genrec.backbones import T5Backbone
from genrec.errors import GenrecError
from genrec.identifiers import SETRec
from genrec.losses import Negatives, totals
from genrec.recommenders.prompts import TEMPLATE, Prompt
from genrec.types import PAD, Tokens

ITEMS = 12
SIZES = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4}


class Model:
    """An identifier, a small T5 and the prompt, with random weights."""

    def __init__(
        self, t5: dict[str, Any] | None = None, items: int = ITEMS, negatives: Negatives | None = None, **options: Any
    ) -> None:
        torch.manual_seed(0)
        self.backbone = T5Backbone(sizes=SIZES, **(t5 or {}))
        self.backbone.setup([TEMPLATE])
        self.prompt = Prompt()
        self.prompt.setup(self.backbone)
        self.catalog: Any = range(items)
        self.assets: Any = SimpleNamespace(text=torch.randn(items, 16), cf=torch.randn(items, 8), built=self.built)
        self.identifier = SETRec(**options)
        if negatives is not None:
            self.identifier.learn_from(negatives)
        self.identifier.setup(self.catalog, self.assets, self.backbone)
        # New queries and biases are almost zero; make every part matter.
        for name, parameter in [*self.backbone.named_parameters(), *self.identifier.named_parameters()]:
            if "relative_attention_bias" in name or name == "queries":
                torch.nn.init.normal_(parameter)
        self.identifier.index(self.catalog, self.assets)
        self.backbone.eval()
        self.identifier.eval()

    def built(self, recipe: Any) -> dict[str, Any]:
        """How often items were taken: the first one never, each other one as often as its number says."""
        return {"counts": np.arange(len(self.catalog))}

    def written(self, history: Tensor | Tokens) -> Tensor:
        tokens = history if isinstance(history, Tokens) else self.identifier.embed(history)
        with torch.no_grad():
            return self.backbone(self.prompt(self.backbone, tokens), self.identifier._query())

    def losses(self, history: Tensor, target: Tensor) -> dict[str, Tensor]:
        self.identifier.train()
        context = self.prompt(self.backbone, self.identifier.embed(history))
        return self.identifier.loss(self.backbone, context, history, target)


@pytest.fixture(scope="module")
def model() -> Model:
    return Model()


histories = st.lists(st.integers(0, ITEMS - 1), max_size=7)


@settings(max_examples=30)
@given(histories.filter(bool), st.randoms(use_true_random=False))
def test_the_order_of_an_items_tokens_moves_nothing(model: Model, items: list[int], random: Any) -> None:
    tokens = model.identifier.embed(torch.tensor([items]))
    k = model.identifier.n_tokens
    order = [place * k + token for place in range(len(items)) for token in random.sample(range(k), k)]
    permuted = Tokens(tokens.embeds[:, order], tokens.mask[:, order], tokens.sets[:, order])
    torch.testing.assert_close(model.written(permuted), model.written(tokens), atol=1e-5, rtol=0)


def test_queries_begin_as_large_as_they_are_asked_to_be(model: Model) -> None:
    def queries(**options: float) -> Tensor:
        torch.manual_seed(0)
        identifier = SETRec(**options)
        identifier.setup(model.catalog, model.assets, model.backbone)
        return identifier.queries.detach()

    torch.testing.assert_close(queries(query_std=1.0) * 0.02, queries())
    assert 0.8 < queries(query_std=1.0).std() < 1.2


def test_without_sparse_attention_the_order_matters() -> None:
    model = Model(sparse_attention=False)
    tokens = model.identifier.embed(torch.tensor([[1, 2]]))
    order = [1, 0, *range(2, 10)]
    permuted = Tokens(tokens.embeds[:, order], tokens.mask[:, order], tokens.sets[:, order])
    assert (model.written(permuted) - model.written(tokens)).abs().max() > 1e-3


@settings(max_examples=30)
@given(st.lists(histories, min_size=1, max_size=4))
def test_a_user_is_the_same_alone_and_in_any_batch(model: Model, users: list[list[int]]) -> None:
    longest = max(1, *map(len, users))
    batch = torch.tensor([[PAD] * (longest - len(items)) + items for items in users])
    together = model.written(batch)
    for row, items in enumerate(users):
        alone = model.written(torch.tensor([items or [PAD]]))
        torch.testing.assert_close(together[row], alone[0], atol=1e-5, rtol=0)


def test_a_batch_of_empty_histories_trains_without_nan() -> None:
    model = Model()
    losses = model.losses(torch.full((3, 1), PAD), torch.tensor([0, 1, 2]))
    losses["loss"].backward()
    assert losses["reconstruction"] == 0
    gradients = [p.grad for p in model.identifier.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_the_reconstruction_is_a_mean_over_targets_of_means_over_their_histories() -> None:
    model = Model()

    def reconstruction(*histories: list[int]) -> float:
        return model.losses(torch.tensor(histories), torch.zeros(len(histories), dtype=torch.long))[
            "reconstruction"
        ].item()

    once, twice = reconstruction([3]), reconstruction([5])
    assert reconstruction([3, 5, 5]) == pytest.approx((once + 2 * twice) / 3, rel=1e-5)
    assert reconstruction([PAD, PAD]) == 0
    mixed = reconstruction([3, 5, 5], [PAD, PAD, 3], [PAD, PAD, PAD])
    assert mixed == pytest.approx(((once + 2 * twice) / 3 + once + 0) / 3, rel=1e-5)


def test_generation_loss_is_the_mean_over_slots_of_a_full_softmax(model: Model) -> None:
    history, target = torch.tensor([[1, 2], [PAD, 3]]), torch.tensor([4, 5])
    model.identifier.eval()
    context = model.prompt(model.backbone, model.identifier.embed(history))
    loss = model.identifier.loss(model.backbone, context, history, target)["generation"]
    written, expected = model.written(history), []
    for user in range(2):
        for k in range(5):
            scores = model.identifier.corpus[:, k] @ written[user, k]
            expected.append(scores.logsumexp(0) - scores[target[user]])
    torch.testing.assert_close(loss, torch.stack(expected).mean())


def test_the_sweep_from_one_pass_equals_separate_passes(model: Model) -> None:
    allowed = torch.ones(2, ITEMS, dtype=torch.bool)
    allowed[1, ::2] = False
    history = torch.tensor([[1, 2], [PAD, 3]])
    with torch.no_grad():
        memory = model.backbone.read(model.prompt(model.backbone, model.identifier.embed(history)))
        sweep = model.identifier.rank_each(model.backbone, memory, 4, allowed)
        assert list(sweep) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
        for beta, ranking in sweep.items():
            model.identifier.choose(beta)
            alone = model.identifier.rank(model.backbone, memory, 4, allowed)
            assert torch.equal(alone.items, ranking.items)
            torch.testing.assert_close(alone.scores, ranking.scores, atol=1e-5, rtol=1e-5)


def test_beta_one_forgets_the_collaborative_token_and_zero_the_semantic_ones(model: Model) -> None:
    written, corpus = model.written(torch.tensor([[1, 2]]))[0], model.identifier.corpus
    for beta, tokens in ((0.0, slice(0, 1)), (1.0, slice(1, 5))):
        weighted = written * model.identifier._weights(torch.tensor(beta))[:, None]
        scores = weighted.flatten() @ corpus.flatten(1).T
        torch.testing.assert_close(scores, (written[tokens] * corpus[:, tokens]).sum((1, 2)))


@pytest.mark.parametrize(
    ("options", "tokens"),
    [({"n_semantic": 0}, 1), ({"use_cf": False}, 4), ({"n_semantic": 6}, 7), ({"learned_queries": False}, 5)],
)
def test_ablations_train_and_rank(options: dict[str, Any], tokens: int) -> None:
    model = Model(**options)
    history, target = torch.tensor([[1, 2], [PAD, 3]]), torch.tensor([4, 5])
    model.losses(history, target)["loss"].backward()
    assert (model.identifier.queries.grad is None) == (options == {"learned_queries": False})
    model.identifier.eval()
    assert model.written(history).shape == (2, tokens, 32)
    allowed = torch.ones(1, ITEMS, dtype=torch.bool)
    with torch.no_grad():
        memory = model.backbone.read(model.prompt(model.backbone, model.identifier.embed(history)))
        sweep = model.identifier.rank_each(model.backbone, memory, 3, allowed)
        ranking = model.identifier.rank(model.backbone, memory, 3, allowed)
    assert (len(sweep) == 1) == (tokens in (1, 4))
    assert ranking.items.shape == (1, 2, 3)


@pytest.mark.parametrize(("kept", "whole"), [("corpus", devices.WHOLE), ("vectors", 0)])
def test_items_are_indexed_in_parts_and_the_old_ones_are_gone_before(
    kept: str, whole: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "WHOLE", whole)
    model = Model(items=100)
    expected = model.identifier.item_vectors().clone()
    old = weakref.ref(getattr(model.identifier, kept))
    sizes, encoder = [], model.identifier.autoencoder.encoder

    def look(module: Any, args: tuple[Tensor]) -> None:
        sizes.append(len(args[0]))
        assert old() is None

    encoder[0].register_forward_pre_hook(look)
    monkeypatch.setattr(totals, "held_at_once", lambda device: 1000)
    model.identifier.index(model.catalog, model.assets)
    found = model.identifier.item_vectors()
    assert sum(sizes) == 100
    assert max(sizes) < 100
    torch.testing.assert_close(found, expected)


def test_parameters_do_not_grow_with_the_catalogue(model: Model) -> None:
    assert all(ITEMS not in value.shape for value in model.identifier.state_dict().values())


def test_new_items_are_scaled_as_those_of_the_training_were() -> None:
    model = Model(standardize_text=True)
    before = model.identifier.corpus.clone()
    more: Any = SimpleNamespace(
        text=torch.cat([model.assets.text, 100 * torch.ones(1, 16)]), cf=torch.cat([model.assets.cf, torch.zeros(1, 8)])
    )
    model.identifier.index(range(ITEMS + 1), more)  # type: ignore[arg-type]
    torch.testing.assert_close(model.identifier.corpus[:ITEMS], before)
    assert model.identifier.corpus.shape[0] == ITEMS + 1


@pytest.mark.parametrize(
    "options", [{"n_semantic": 0, "use_cf": False}, {"n_semantic": -1}, {"betas": [1.5]}, {"betas": []}]
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(GenrecError, match="SETRec needs"):
        SETRec(**options)
