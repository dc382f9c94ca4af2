"""The contract of `embed` and `loss`: what a language model reads of items, and what it learns from."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.backbones import Read
from genrec.data.samples import beginnings
from genrec.identifiers import ItemIdentifier
from genrec.recommenders.packing import one_by_one
from genrec.testing.contract.setting import ContractSetting, without_chance
from genrec.testing.tiny import HISTORY, TARGET, TinyModel
from genrec.types import ORDERED, PAD, Batch


class LearningContract(ContractSetting):
    """Histories become tokens; a target's loss is its own."""

    def test_embed_hides_padding_and_keeps_the_order_of_items(self, model: TinyModel) -> None:
        """An empty history has no token, and a longer one goes on where a shorter one ends."""
        tokens = model.identifier.embed(HISTORY)
        assert tokens.embeds.shape[2] == model.backbone.width
        assert tokens.mask[2].sum() == 0
        assert tokens.mask[0].sum() >= 3
        for items in ([0, 1, 2], [2, 1, 0]):
            longer, shorter = (_real(model, items[:count]) for count in (3, 1))
            torch.testing.assert_close(longer[: len(shorter)], shorter)
            assert len(longer) > len(shorter) > 0

    def test_nothing_but_parameters_has_a_row_per_item_that_processes_would_send(self, model: TinyModel) -> None:
        """And what is learned or chosen keeps its bits, whatever a trainer casts."""
        items = len(model.catalog)
        names = {name for name, buffer in model.identifier.named_buffers() if items in buffer.shape}
        assert not names, "make them a `table` (genrec.identifiers.tables)"
        model.identifier.to(torch.bfloat16)
        numbers = [*model.identifier.parameters(), *model.identifier.buffers()]
        assert {number.dtype for number in numbers if number.is_floating_point()} <= {torch.float32}

    def test_loss_is_finite_and_reaches_the_language_model(self, model: TinyModel) -> None:
        """Scalars by name; ``loss`` is the one that is minimised."""
        losses = model.losses(HISTORY, TARGET)
        assert "loss" in losses
        assert all(value.ndim == 0 and torch.isfinite(value) for value in losses.values())
        losses["loss"].backward()
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.backbone.parameters())

    def test_a_target_adds_the_same_to_the_loss_in_any_company(
        self, model: TinyModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The loss is a mean over targets, each of which depends on its own history alone, however that is padded."""
        without_chance(model.identifier, monkeypatch)
        alone = [_loss(model, HISTORY[[row]], TARGET[[row]]) for row in range(3)]
        for rows in ([0, 1, 2], [2, 0]):
            mean = torch.stack([alone[row] for row in rows]).mean()
            for padding in (0, 2):
                together = _loss(model, F.pad(HISTORY[rows], (padding, 0), value=PAD), TARGET[rows])
                torch.testing.assert_close(together, mean, atol=1e-5, rtol=1e-5)

    def test_the_loss_does_not_depend_on_whether_numbers_are_looked_at(
        self, model: TinyModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On a GPU shapes are bounds (`genrec.devices.exact_sizes`); what is learned is the same."""
        found = []
        for exact in (True, False):
            monkeypatch.setattr("genrec.devices.exact_sizes", lambda device, exact=exact: exact)
            torch.manual_seed(1)
            losses = model.losses(HISTORY, TARGET)
            found.append((losses, _gradients(model, losses)))
        torch.testing.assert_close(*found, atol=1e-5, rtol=1e-4)

    def test_prompts_that_were_read_give_the_same_loss(self, model: TinyModel) -> None:
        """A validation reads a prompt once, for the ranking and for the loss."""
        memory, found = model.read(HISTORY), []
        with torch.no_grad():
            for context in (model.context(HISTORY), Read(memory)):
                torch.manual_seed(1)
                found.append(model.identifier.loss(model.backbone, context, HISTORY, TARGET))
        torch.testing.assert_close(*found, atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize("kind", ["causal"])
    def test_packed_prompts_teach_what_single_ones_do(self, model: TinyModel) -> None:
        """All beginnings of a history in one pass have the losses and gradients of the same ones, one by one."""
        batch = Batch(torch.arange(3), HISTORY, TARGET, HISTORY[:, :0])
        prefixes = beginnings(HISTORY.numpy(), (HISTORY != PAD).sum(1).numpy() + 1)
        history, target = one_by_one(batch, prefixes)
        found = []
        for packed in (True, False):
            context = model.packed(HISTORY, prefixes) if packed else model.context(history)
            torch.manual_seed(2)
            losses = model.identifier.loss(model.backbone, context, history, target)
            found.append((losses, _gradients(model, losses)))
        torch.testing.assert_close(*found, atol=1e-5, rtol=1e-3)

    def test_codes_are_numbers_below_their_sizes(self, model: TinyModel) -> None:
        """If items have codes, each has one in every place."""
        found = model.identifier.item_codes()
        if found is not None:
            codes, sizes = found
            assert codes.shape == (len(model.catalog), len(sizes))
            assert not codes.is_floating_point()
            assert ((codes >= 0) & (codes < torch.tensor(list(sizes), device=codes.device))).all()

    def test_every_item_is_described_on_one_line(self, model: TinyModel) -> None:
        """For people; items with token sequences of their own have descriptions of their own."""
        described = [model.identifier.describe(item) for item in range(len(model.catalog))]
        assert all(len(text.splitlines()) == 1 and text == text.strip() for text in described)
        names = model.identifier.token_sequences()
        if names is not None:
            distinct = {tuple(row) for row in names.codes.tolist()}
            assert len(set(described)) == len(distinct) == len(model.catalog)

    def test_the_default_description_is_what_the_language_model_reads(self, model: TinyModel) -> None:
        """How many tokens, and whether they are a set."""
        described = ItemIdentifier.describe(model.identifier, 7)
        tokens = model.identifier.embed(torch.tensor([[7]]))
        assert re.fullmatch(rf"(a set of )?{int(tokens.mask.sum())} tokens? of width {model.backbone.width}", described)
        assert described.startswith("a set of") == bool((tokens.sets[tokens.mask] != ORDERED).any())


def _loss(model: TinyModel, history: Tensor, target: Tensor) -> Tensor:
    return model.losses(history, target)["loss"].detach()


def _gradients(model: TinyModel, losses: dict[str, Tensor]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(losses["loss"], model.learned(), allow_unused=True, materialize_grads=True)


def _real(model: TinyModel, items: list[int]) -> Tensor:
    """The real tokens of a history, one after another, [n, D]."""
    tokens = model.identifier.embed(torch.tensor([items]))
    return tokens.embeds[tokens.mask]
