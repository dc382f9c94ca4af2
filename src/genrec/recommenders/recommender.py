"""One identifier, one language model, one training loop: the LightningModule that every method shares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import torch
from lightning.pytorch.cli import OptimizerCallable
from torch import Tensor, nn
from torch.optim import Optimizer

from genrec.assets import Assets, ItemAssets
from genrec.assets.codes.diagnostics import warn_of_ties
from genrec.assets.kept import KeptStore
from genrec.backbones import Backbone, Context, Memory, Read
from genrec.data.samples import last_positions
from genrec.errors import GenrecError, at_least
from genrec.identifiers import ItemIdentifier
from genrec.losses import Negatives
from genrec.recommenders.base import RankingModule
from genrec.recommenders.optimizers import Schedule, make_schedule, parameter_groups, share_done
from genrec.recommenders.packing import cut, one_by_one
from genrec.recommenders.prompts import TEMPLATE, Prompt
from genrec.recommenders.tasks import losses_of_tasks, said_in, with_words, words_for
from genrec.types import USER, Batch, Extras, Prefixes, Ranking


class Recommender(RankingModule):
    """Trains an identifier together with a language model, and ranks with them.

    A batch of ids becomes a prompt, ``context = prompt(embed(history))``; the identifier does the rest.

    Args:
        identifier: how items are named.
        backbone: the language model.
        assets: where the items' text and collaborative embeddings come from.
        template: the prompt, with ``<history>`` in it.
        optimizer: makes the optimiser from the parameters; AdamW if None.
        warmup_steps: steps of linear warm-up of the learning rate.
        schedule: how it goes on: it falls to zero on a "cosine" or "linear", with the "inverse_sqrt" of the steps, or
            stays "constant".
        identifier_lr: the learning rate of the identifier's own parameters; None is that of the language model.
        ks: the cut-offs of the metrics.
        negatives: what a target is told from in training; None is all items, or words.
        frozen_steps: the first steps, in which the language model stands still: new tokens, and whatever else is the
            identifier's own, learn alone.
    """

    extends = True
    identifier: ItemIdentifier
    backbone: Backbone
    assets: Assets
    item_assets: ItemAssets

    def __init__(
        self,
        identifier: ItemIdentifier,
        backbone: Backbone,
        assets: Assets | None = None,
        template: str = TEMPLATE,
        optimizer: OptimizerCallable | None = None,
        warmup_steps: int = 100,
        schedule: Schedule = "cosine",
        identifier_lr: float | None = None,
        ks: Sequence[int] = (5, 10),
        negatives: Negatives | None = None,
        frozen_steps: int = 0,
    ) -> None:
        super().__init__(ks)
        at_least(0, "the model", warmup_steps=warmup_steps, identifier_lr=identifier_lr or 0, frozen_steps=frozen_steps)
        # No class is the default: a command line would lend its arguments, such as eps, to any other one.
        self.optimizer = optimizer
        # It refuses arguments that make no sense: now, and not after all that comes before the first step.
        (optimizer or torch.optim.AdamW)([nn.Parameter(torch.zeros(1))])
        self.identifier = identifier
        self.backbone = backbone
        self.assets = assets or Assets()
        self.template = template
        self.prompt = Prompt(template)
        self.warmup_steps = warmup_steps
        self.schedule: Schedule = schedule
        self.identifier_lr = identifier_lr
        self.negatives = negatives
        self.frozen_steps = frozen_steps
        if negatives is not None:
            identifier.learn_from(negatives)
        self._created = False
        self._warns = False

    def setup(self, stage: str) -> None:
        """Create all parameters; the assets that the identifier asks for are built now, if they are missing."""
        super().setup(stage)
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if data.samples is last_positions and stage == "fit":
            raise GenrecError("`data.samples: users` is for SASRec: a language model takes `prefixes` or `windows`")
        data.words = partial(with_words, self.backbone)
        if self._created:
            return
        if data.origin:
            self.assets.store = KeptStore(self.assets.store, data.origin.assets)
        # Items that came since the training get their rows filled when its parameters are there.
        known = self.known.catalog
        self.item_assets = self.assets.bind(self.known)
        said = (*self.prompt.texts, *said_in(data.tasks))
        self.backbone.setup(self.identifier.texts(known, self.item_assets), said)
        self.prompt.setup(self.backbone)
        self.identifier.setup(known, self.item_assets, self.backbone)
        self.words = words_for(data.tasks, self.identifier, self.backbone)
        # A model that comes with weights comes in evaluation mode, and Lightning trains in the mode that it finds.
        self.train()
        if len(known) < len(self.catalog):
            # Whoever tests again asks for the same ones.
            self.item_assets = self.item_assets.extend(self.catalog, keep=True)
        self._created = True
        self._warns = stage != "predict"

    @property
    def method(self) -> str:
        """The identifier's name."""
        return type(self.identifier).__name__

    @property
    def language_model(self) -> str:
        """See `RankingModule.language_model`."""
        return self.backbone.describe()

    def layers(self) -> list[nn.Module]:
        """See `RankingModule.layers`."""
        return self.backbone.layers()

    def read(self, history: Tensor) -> Memory:
        """See `RankingModule.read`."""
        return self.backbone.read(self.prompt(self.backbone, self.identifier.embed(history)))

    @contextmanager
    def holding(self, batch: Batch) -> Iterator[None]:
        """See `RankingModule.holding`: the identifier may ask for it (`ItemIdentifier.extra`)."""
        if not batch.asked:  # whose rows are put together anew
            self.identifier.extras = Extras({USER: batch.users, **batch.extras.users}, batch.extras.items)
        try:
            yield
        finally:
            self.identifier.extras = Extras()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Tell the identifier how far the training is."""
        self.identifier.progress = share_done(self.trainer, batch_idx)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Let the language model stand still in the first steps: as if it had no gradient, before any is clipped.

        It has one until then, so processes that wait for each other's gradients do as always.
        """
        if self.trainer.global_step < self.frozen_steps:
            for parameter in self.backbone.parameters():
                parameter.grad = None

    def optimizer_step(self, *args: Any, **options: Any) -> None:
        """Make a step, and let the identifier do what follows."""
        super().optimizer_step(*args, **options)
        with torch.no_grad():
            self.identifier.after_step()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The identifier's loss for the next item of every history, as a part of the step's mean over its targets."""
        with self.holding(batch):
            if batch.asked:
                losses = losses_of_tasks(batch.asked, self.backbone, self.identifier, self.words, self._losses_of)
            else:
                losses = self._packed_losses(batch, batch.prefixes) if batch.prefixes else self._losses(batch)
        for name, value in losses.items():
            self.log(f"train/{name}", value.detach(), prog_bar=name == "loss")
        return self.share_of_step(batch) * losses["loss"]

    def on_validation_epoch_start(self) -> None:
        """See `RankingModule.on_validation_epoch_start`."""
        super().on_validation_epoch_start()
        self._loss = torch.zeros(2, dtype=torch.float64, device=self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Rank the validation users, and add up the losses of the first item that each took; prompts are read once."""
        start = self._clock()
        with self.holding(batch):
            memory = self.read(batch.history)
            rankings = self.identifier.rank_each(self.backbone, memory, max(self.ks), self._allowed)
            self._count(rankings, batch, start)
            loss = self._losses_of(Read(memory), batch.history, batch.target)["loss"]
        self._watch.validation_loss(loss)
        self._loss[0] += batch.examples * loss
        self._loss[1] += batch.examples

    def on_validation_epoch_end(self) -> None:
        """See `RankingModule.on_validation_epoch_end`; logs the mean loss over the users of all processes."""
        super().on_validation_epoch_end()
        # Lightning's own mean of uneven processes divides by a whole number of users for each.
        total, users = self.trainer.strategy.reduce(self._loss, reduce_op="sum")
        self.log("val/loss", total / users)

    def _losses(self, batch: Batch) -> dict[str, Tensor]:
        context = self.prompt(self.backbone, self.identifier.embed(batch.history))
        return self._losses_of(context, batch.history, batch.target)

    def _packed_losses(self, batch: Batch, prefixes: Prefixes) -> dict[str, Tensor]:
        history, target = one_by_one(batch, prefixes)
        tokens = self.identifier.embed(batch.history)
        per_item = tokens.mask.shape[1] // batch.history.shape[1]
        most = batch.history.shape[1] + 1
        context = self.prompt.packed(self.backbone, tokens, prefixes.users, prefixes.stops * per_item, most)
        self.identifier.extras = cut(self.identifier.extras, prefixes, batch.history.shape[1])
        return self._losses_of(context, history, target)

    def _losses_of(self, context: Context, history: Tensor, target: Tensor) -> dict[str, Tensor]:
        """What the identifier returns, if it is what it is asked for."""
        losses = self.identifier.loss(self.backbone, context, history, target)
        if not isinstance(losses, Mapping) or "loss" not in losses:
            given = ", ".join(losses) if isinstance(losses, Mapping) else f"a {type(losses).__name__}"
            raise GenrecError(
                f"`loss` of {self.method} returned {given or 'nothing'}: it returns scalars by name, and the one under "
                "`loss` is minimised"
            )
        if losses["loss"].ndim:
            raise GenrecError(
                f"`loss` of {self.method} returned a loss of shape {list(losses['loss'].shape)}: it has to be a "
                "scalar, the mean over the targets"
            )
        return losses

    def rank(self, history: Tensor, k: int, allowed: Tensor) -> Ranking:
        """See `RankingModule.rank`."""
        return self.identifier.rank(self.backbone, self.read(history), k, allowed)

    def rank_each(self, history: Tensor, k: int, allowed: Tensor) -> dict[float, Ranking]:
        """See `RankingModule.rank_each`."""
        return self.identifier.rank_each(self.backbone, self.read(history), k, allowed)

    def reach(self, k: int, more: int) -> int:
        """See `RankingModule.reach`."""
        return self.identifier.reach(k, more)

    def choose(self, value: float) -> None:
        """See `RankingModule.choose`."""
        self.identifier.choose(value)

    def refresh(self) -> None:
        """Refill the identifier's per-item tables."""
        self.identifier.index(self.catalog, self.item_assets)
        # Whoever uses a recommender cannot give it more codes.
        if self._warns and self.trainer.is_global_zero and (codes := self.identifier.item_codes()):
            warn_of_ties(codes[0])
            self._warns = False

    def add_items(self, items: pl.DataFrame, candidates: bool | np.ndarray = True) -> None:
        """See `RankingModule.add_items`."""
        if not np.all(candidates):
            self.identifier.check_reads_text()
        super().add_items(items, candidates)
        self.item_assets = self.item_assets.extend(self.catalog)
        self.refresh()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """See `RankingModule.on_save_checkpoint`; leave out what the backbone brings along itself."""
        super().on_save_checkpoint(checkpoint)
        for name in self.backbone.kept_elsewhere():
            del checkpoint["state_dict"][f"backbone.{name}"]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """See `RankingModule.on_load_checkpoint`; put it back in."""
        super().on_load_checkpoint(checkpoint)
        mine = self.backbone.state_dict()
        checkpoint["state_dict"].update({f"backbone.{name}": mine[name] for name in self.backbone.kept_elsewhere()})

    def kept_assets(self) -> dict[str, str]:
        """See `RankingModule.kept_assets`."""
        store = self.assets.store
        return {key: store.folder(asset, self.dataset).name for key, asset in store.asked.items()}

    def configure_optimizers(self) -> Any:
        """The optimiser over everything trainable, and the schedule of its learning rate."""
        items = len(self.dataset.catalog)
        own = parameter_groups(self.identifier, items, self.identifier_lr)
        if self.frozen_steps and not own:
            raise GenrecError(
                f"`frozen_steps: {self.frozen_steps}` lets what is the identifier's own learn alone, and {self.method} "
                "has nothing that learns: leave it out"
            )
        groups = parameter_groups(self.backbone, items) + own
        optimizer = (self.optimizer or torch.optim.AdamW)(groups)
        steps = self.trainer.estimated_stepping_batches
        schedule = make_schedule(self.schedule, optimizer, self.warmup_steps, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
