"""What every recommender is and has, with or without a language model: data, items, parts, checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning as L
import numpy as np
import polars as pl
import torch
from torch import Tensor

from genrec.assets import Assets, ItemAssets
from genrec.backbones import Backbone, Memory
from genrec.data import Catalog, Dataset, SequenceData
from genrec.data.origin import ENTRY, Origin
from genrec.errors import GenrecError
from genrec.identifiers import ItemIdentifier
from genrec.io.checkpoints import read
from genrec.recommenders.alone import ARGUMENTS, arguments_for, arguments_of, load_weights, set_up
from genrec.recommenders.measured import Measured
from genrec.types import Batch

if TYPE_CHECKING:
    from typing import Self

ENTRIES = ("training_step", "validation_step", "test_step", "predict_step", "refresh")
"""The methods that use parameters."""


class RankingModule(Measured):
    """A LightningModule that ranks items for histories and is measured like every other one.

    A subclass implements `rank` and, if it learns, `training_step` and `configure_optimizers`. Whoever serves, saves or
    inspects it asks it for its items and parts, and not of which class it is.

    Args:
        ks: the cut-offs of the metrics; the largest is the length of every ranking.

    Attributes:
        learns: whether there is anything to train.
        extends: whether items can come that it was not trained on.
        serves: whether it ranks for any history, and not for the users of the data alone.
        known: what of the data it was trained on; all, unless they have changed since.
        catalog: what it can read: the items of the data, then those that were added.
        candidates: bool [N], which of them it can recommend.
        identifier: how it names items; None if it names none.
        backbone: the language model; None without one.
        assets: where it takes the items' embeddings from; None if it takes none.
        item_assets: the embeddings of all items of `catalog`, there from `setup` on; None without `assets`.
    """

    learns = True
    extends = False
    serves = True
    known: Dataset
    catalog: Catalog
    candidates: np.ndarray
    identifier: ItemIdentifier | None
    backbone: Backbone | None
    assets: Assets | None
    item_assets: ItemAssets | None

    def __init__(self, ks: Sequence[int] = (5, 10)) -> None:
        super().__init__(ks)
        self.identifier, self.backbone, self.assets, self.item_assets = None, None, None, None
        # Here and not below: a module that is shared out among processes is of a class made for it.
        self._name = type(self).__name__
        self._restored = False

    @property
    def method(self) -> str:
        """The method's name in the tables of results."""
        return self._name

    @property
    def language_model(self) -> str | None:
        """The language model in a few words; None for a method that has none."""
        return None

    def share_of_step(self, batch: Batch) -> float:
        """What a training batch's mean over its targets is multiplied by, so that the step's loss is that over all.

        Lightning divides a loss by the batches of a step, and takes the mean of the processes.
        """
        parts = self.trainer.accumulate_grad_batches * self.trainer.world_size
        return parts * batch.examples / batch.step_examples

    def setup(self, stage: str) -> None:
        """Take the data set from the trainer's data module, and say which settings are too small to be measured.

        Raises:
            GenrecError: if there is no such data module, fewer items than the largest cut-off, or items of other data
                sets that would be trained on, or cannot be read.
        """
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, SequenceData):
            raise GenrecError(
                f"{self.method} takes its catalogue from the data module, not from loaders: give the trainer "
                "`datamodule=genrec.data.SequenceData(source)`"
            )
        if data.tasks and self.backbone is None and stage == "fit":
            raise GenrecError(f"{self.method} has no language model to be asked anything: leave out `data.tasks`")
        self.dataset = data.dataset
        if self.learns and self.dataset.foreign and not data.origin:
            raise GenrecError(
                f"`data.foreign` is for a recommender that was trained on `{self.dataset.name}` without it: give its "
                "checkpoint to `genrec test` or `genrec predict`, and leave it out of other commands"
            )
        if self.dataset.foreign and self.identifier is not None:
            self.identifier.check_reads_text()
        self.known = data.origin.known(data.dataset) if data.origin else data.dataset
        if not (self.extends and "catalog" in vars(self)):
            # Items that were added stay.
            self.catalog, self.candidates = self.dataset.catalog, self.dataset.candidates
        k, items = max(self.ks), int(self.dataset.candidates.sum())
        if k > items:
            raise GenrecError(
                f"k = {k} is larger than the catalogue of `{self.dataset.name}` ({items} items): give smaller cut-offs "
                "(`ks` of the model)"
            )
        # Predictions are not measured.
        if stage != "predict" and self.trainer.is_global_zero:
            for setting, size in self._new_metrics().left_out.items():
                candidates = "1 candidate" if size == 1 else f"{size} candidates"
                print(f"{setting} is left out of the measuring: {candidates}, fewer than k = {k} (`ks` of the model)")

    def add_items(self, items: pl.DataFrame, candidates: bool | np.ndarray = True) -> None:
        """Make new items recommendable, without training.

        Args:
            items: columns as in `genrec.data.Catalog`; the new items get the next row numbers.
            candidates: whether they may be recommended, all or each, bool [n]; the others stand in histories alone.

        Raises:
            GenrecError: if it knows nothing but the items that it was trained on, or as `Catalog.extend`.
        """
        if not self.extends:
            raise GenrecError(f"{self.method} knows nothing of items that it was not trained on: train it again")
        self.catalog = self.catalog.extend(items)
        self.candidates = np.concatenate([self.candidates, np.broadcast_to(candidates, len(items))])

    def read(self, history: Tensor) -> Memory:
        """What the language model knows after the prompts of histories [B, T].

        Raises:
            GenrecError: if there is no language model.
        """
        raise GenrecError(f"{self.method} has no language model that could read a prompt")

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say what it was trained on, and made with; a module that serves was not trained."""
        if isinstance(self._trainer, L.Trainer):
            checkpoint[ENTRY] = self._trained_on
            checkpoint[ARGUMENTS] = arguments_of(self)

    @classmethod
    def load_from_checkpoint(  # type: ignore[override]  # Lightning's builds what a file names
        cls, checkpoint_path: str | Path, data: SequenceData, **arguments: Any
    ) -> Self:
        """A trained module, ready to rank; nothing that the file names is imported or called.

        Args:
            checkpoint_path: the file.
            data: the data that it was trained on.
            arguments: of the constructor; the objects among them have to be given, numbers and texts are kept.

        Raises:
            GenrecError: if the file is no checkpoint, an object is missing, or the data or the objects are others.
        """
        path = Path(checkpoint_path)
        contents = read(path)
        model = cls(**arguments_for(cls, contents.get(ARGUMENTS), arguments, path))
        if changed := Origin.read(contents).changes(data.dataset):
            raise GenrecError(f"`{path}` was trained on other data: {', '.join(changed)}")
        set_up(model, data)
        model.on_load_checkpoint(contents)
        load_weights(model, contents["state_dict"], path)
        return model

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Look whether the data are those of the training.

        Raises:
            GenrecError: if they are not; those that `genrec.runs.restoring` has compared are, or were made to fit.
        """
        data = self._trainer.datamodule if isinstance(self._trainer, L.Trainer) else None  # type: ignore[attr-defined]
        if data and not data.compared and (changed := Origin.read(checkpoint).changes(data.dataset)):
            raise GenrecError(f"the checkpoint was trained on other data: {', '.join(changed)}")
        self._restored = True

    def refresh_restored(self) -> None:
        """`refresh`, if parameters came from a checkpoint since a training last began: it reads tables of its own.

        As before an evaluation; and before random numbers go on, of which it may draw some.
        """
        if self._restored:
            modes = {module: module.training for module in self.modules()}
            self.eval()
            self.bring_up_to_date()
            self._keep_whole(False)
            for module, mode in modes.items():
                module.training = mode
        self._restored = False

    @cached_property
    def _trained_on(self) -> dict[str, Any]:
        return Origin.of(self.dataset, self.kept_assets()).state()

    def kept_assets(self) -> dict[str, str]:
        """The folders of the assets that it was made with, by the keys of their recipes."""
        return {}

    def configure_model(self) -> None:
        """Share the parameters out, where the strategy wants it (`genrec.recommenders.sharding.FullySharded`).

        Otherwise several processes take the buffers of the first, once: a process that built an asset may have drawn
        other random numbers. Parameters are seen to by the strategy.
        """
        if self.device_mesh is None and self.trainer.world_size == 1:
            return
        from genrec.recommenders import sharding  # takes a second

        if self.device_mesh is not None:
            sharding.shard(self, self.device_mesh["data_parallel"], self.layers(), ENTRIES)
        else:
            sharding.take_from_first(self.buffers(), self.trainer.strategy.root_device)

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """Make a step, and drop the gradients: Lightning keeps them beside all that the next forward pass holds."""
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        optimizer.zero_grad()

    def on_train_start(self) -> None:
        """Let every process draw random numbers of its own: what was the same for all, the parameters, is drawn."""
        self._watch.forget()
        self.refresh_restored()
        if self.trainer.world_size > 1:
            place = (torch.initial_seed(), self.global_rank, self.trainer.global_step)
            torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0]))


def learns(class_path: str) -> bool:
    """Whether the recommender of a whole config's ``model.class_path`` has anything to train."""
    module, _, name = class_path.rpartition(".")
    return bool(getattr(import_module(module), name).learns)
