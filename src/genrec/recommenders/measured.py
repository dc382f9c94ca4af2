"""How every recommender is measured: the loops of validation, test and prediction, the same for all."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, NamedTuple

import lightning as L
import polars as pl
import torch
from torch import Tensor, nn

from genrec.data import Dataset
from genrec.data.ragged import Joined
from genrec.errors import GenrecError
from genrec.evaluation import metrics
from genrec.evaluation.collecting import CollectedRanks
from genrec.evaluation.known import Known
from genrec.evaluation.lists import refuse_flaws, refuse_shape
from genrec.evaluation.protocol import Measure, RankingMetrics
from genrec.evaluation.watch import Watch, refuse_nan
from genrec.recommenders.deep import ranked_deep
from genrec.types import PAD, Batch, Ranking


class _Measured(NamedTuple):
    """What a validation has measured so far; no module, whose tensors a trainer would send and cast.

    Args:
        values: those that may be chosen.
        metrics: of a ranking for each; None before the first batch.
    """

    values: Sequence[float] = ()
    metrics: RankingMetrics | None = None


class Measured(L.LightningModule, ABC):
    """A LightningModule that ranks items for histories, as it is measured; `RankingModule` has the rest.

    Args:
        ks: the cut-offs of the metrics; the largest is the length of every ranking.

    Attributes:
        measure: what is measured; the usual, unless it is set before an evaluation.
        dataset: the data, there from `setup` on.
        results: the means of the last validation or test by setting (`RankingMetrics.compute`).
        ranks: where every target stood in the last test, a row per user and target (`genrec.evaluation.ranks`), in a
            temporary file on the first process's machine, which is there as long as its module.
        search: asked by a test or a prediction in the place of `rank`, an index of the items for example; None before.
        rank_seconds: wall-clock seconds that it spent on preparing tables and ranking.
    """

    dataset: Dataset
    results: dict[str, dict[str, float]]
    ranks: pl.LazyFrame
    rank_seconds: float

    def __init__(self, ks: Sequence[int]) -> None:
        super().__init__()
        metrics.check_cut_offs(ks)
        self.ks = tuple(sorted(ks))
        self.measure = Measure()
        self.search: Callable[[Tensor, int, Tensor], Ranking] | None = None
        self._watch = Watch()
        self._known: Known | None = None

    @property
    @abstractmethod
    def method(self) -> str:
        """The method's name in the tables of results."""

    @abstractmethod
    def rank(self, history: Tensor, k: int, allowed: Tensor) -> Ranking:
        """The k best items of every user in every candidate set.

        Args:
            history: [B, T] rows, `PAD` (-1) on the left.
            k: how many.
            allowed: [C, N] bool, the candidate sets.
        """

    def rank_each(self, history: Tensor, k: int, allowed: Tensor) -> dict[float, Ranking]:
        """`rank` for every value of a weight that validation chooses; one value where there is nothing to choose."""
        return {0.0: self.rank(history, k, allowed)}

    def reach(self, k: int, more: int) -> int:
        """How long a ranking may be, k and up to so many more, whose first k are those of a ranking of k.

        A search that does not look at every item finds others when more are wanted of it than it keeps in sight.
        """
        return k + more

    def choose(self, value: float) -> None:
        """Keep the value that validation found best."""

    def refresh(self) -> None:
        """Bring tables that depend on the parameters up to date, before a pass of evaluation."""

    def layers(self) -> list[nn.Module]:
        """The large parts of the model that are used one after another, through ``forward`` alone."""
        return []

    def _new_metrics(self, rankings: int = 1, new: bool = False) -> RankingMetrics:
        # A trainer of one process may run inside one of several: a SASRec that is an asset, built by one for all.
        sync = self.trainer.world_size > 1
        known, data = self._known, self.dataset
        if known is None or known.dataset is not data or known.measure is not self.measure:
            known = self._known = Known.of(data, self.measure)
        about = (known.groups, data.candidates, replace(self.measure, new=new), known.texts)
        return RankingMetrics(data.frequency, self.ks, sync, rankings, *about).to(self.device)

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Remember a loss that is no number; whether there was one is looked at as often as the trainer logs."""
        if isinstance(outputs, Mapping):
            self._watch.loss(outputs["loss"], self.trainer.global_step)
        if (batch_idx + 1) % self.trainer.log_every_n_steps == 0:  # type: ignore[attr-defined]
            self._watch.stop_in_training(self.trainer)

    def on_validation_start(self) -> None:
        """What a broken training has left is not to be measured."""
        self._watch.stop_in_training(self.trainer)

    def on_train_end(self) -> None:
        """Nor kept."""
        self._watch.stop_in_training(self.trainer)

    def on_validation_epoch_start(self) -> None:
        """Forget the last pass, and prepare the tables."""
        start = self._clock()
        self.bring_up_to_date()
        self._watch.forget()
        self._measured = _Measured()
        self._allowed = self._new_metrics().allowed
        self.rank_seconds = self._clock() - start

    def holding(self, batch: Batch) -> AbstractContextManager[None]:
        """Have what a batch holds beside its items at hand; nothing, where nobody asks for it."""
        return nullcontext()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Rank the validation users, once for every value that may be chosen."""
        start = self._clock()
        with self.holding(batch):
            rankings = self.rank_each(batch.history, max(self.ks), self._allowed)
        self._count(rankings, batch, start)

    def on_validation_batch_end(self, outputs: Any, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Look at the first rankings at once: most faults are in all of them, and an epoch may be long.

        The others are looked at on the device, and asked for at the end.
        """
        if batch_idx == 0:
            self._watch.stop_at_validation(self.trainer)

    def on_test_batch_end(self, outputs: Any, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """See `on_validation_batch_end`."""
        if batch_idx == 0:
            self._watch.stop_at_validation(self.trainer)

    def _count(self, rankings: dict[float, Ranking], batch: Batch, start: float) -> None:
        """Measure what was ranked since ``start``, for all values at once."""
        self.rank_seconds += self._clock() - start
        if not rankings:
            raise GenrecError(f"`rank_each` of {self.method} returned no ranking: it needs one for at least one value")
        for ranking in rankings.values():
            refuse_shape(ranking, len(self._allowed), len(batch.history), max(self.ks), self.method)
        together = Ranking(*(torch.stack(parts) for parts in zip(*rankings.values(), strict=True)))
        self._watch.ranking(together, self._allowed, self.method)
        if self._measured.metrics is None:
            self._measured = _Measured(list(rankings), self._new_metrics(len(rankings)))
        assert self._measured.metrics is not None
        self._measured.metrics.update(together, _wanted(batch))

    def on_validation_epoch_end(self) -> None:
        """Choose the value with the best NDCG (`metrics.MAIN`) over all items, and log its metrics as ``val/...``."""
        key = metrics.main(self.ks)
        self._watch.stop_at_validation(self.trainer)
        values, measured = self._measured
        assert measured is not None, "there are users to be ranked"
        sweep = dict(zip(values, measured.compute_each(), strict=True))
        best = max(sweep, key=lambda value: sweep[value]["all"][key])
        self.choose(best)
        self.results = sweep[best]
        if len(sweep) > 1:
            self.log("val/chosen", best)
            self.log_dict({f"val_sweep/{value:g}": result["all"][key] for value, result in sweep.items()})
        for setting in ("warm", "cold"):
            if self.results.get(setting, {}).get("users"):
                self.log(f"val/{setting}/{key}", self.results[setting][key])
        for name, value in self.results["all"].items():
            if name != "users":
                self.log(f"val/{name}", value, prog_bar=name == key)

    def on_test_epoch_start(self) -> None:
        """Prepare the tables; the time it takes counts."""
        start = self._clock()
        self.bring_up_to_date()
        self._watch.forget()
        self._metrics = self._new_metrics(new=self.measure.new)
        self._metrics.seconds += self._clock() - start
        self._before = Joined((self.dataset.train, self.dataset.validation))
        self._ranks = CollectedRanks(self.trainer)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Rank the test users."""
        own = self._own(batch) if self.measure.new else None
        start, k = self._clock(), max(self.ks)
        depth = k if own is None else self.reach(k, own.shape[1])
        with self.holding(batch):
            ranking = ranked_deep(self.search or self.rank, self._look, batch.history, depth, self._metrics.allowed)
        self._metrics.update(ranking, _wanted(batch), self._clock() - start, own)
        self._ranks.update(self._metrics.lists(ranking, own), batch.users, _wanted(batch), own)

    def _own(self, batch: Batch) -> Tensor:
        """All that the users of a test took before, [B, H], however much of it they are ranked by."""
        own = self._before.padded(batch.users.numpy(force=True))
        return torch.from_numpy(own).to(batch.history)

    def _look(self, ranking: Ranking, allowed: Tensor, users: int, k: int) -> None:
        """Look at what was ranked; see `genrec.evaluation.lists`."""
        refuse_shape(ranking, len(allowed), users, k, self.method)
        self._watch.ranking(ranking, allowed, self.method)

    def on_test_epoch_end(self) -> None:
        """Keep ``results`` and ``ranks``, and log the means as ``test/<setting>/<metric>``."""
        self._watch.stop_at_validation(self.trainer)
        self.results = self._metrics.compute()
        self.ranks = self._ranks.merged(self._metrics, self.dataset)
        self.rank_seconds = float(self._metrics.seconds)
        for setting, values in self.results.items():
            self.log_dict({f"test/{setting}/{name}": float(value) for name, value in values.items()})

    def on_predict_epoch_start(self) -> None:
        """Prepare the tables, and take every item of the data set as a candidate."""
        self.bring_up_to_date()
        self._everything = torch.from_numpy(self.dataset.candidates)[None].to(self.device)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """The best items of every user: ``users`` [B], ``items`` and ``scores`` [B, k]."""
        with self.holding(batch):
            ranking = (self.search or self.rank)(batch.history, max(self.ks), self._everything)
        refuse_shape(ranking, 1, len(batch.history), max(self.ks), self.method)
        refuse_nan(ranking.scores)
        refuse_flaws(ranking, self._everything, self.method)
        found = {"users": batch.users, "items": ranking.items[0], "scores": ranking.scores[0]}
        return {name: rows[: batch.examples] for name, rows in found.items()}

    def bring_up_to_date(self) -> None:
        """`refresh` without gradients, but not in the inference mode of Lightning's evaluations.

        What is made in it can never again be part of a training, which may come after a test.
        """
        with torch.inference_mode(False), torch.no_grad():
            self._keep_whole(True)
            self.refresh()

    def _keep_whole(self, whole: bool) -> None:
        """See `genrec.recommenders.sharding.keep_whole`."""
        if self.device_mesh is not None:
            from genrec.recommenders.sharding import keep_whole  # takes a second

            keep_whole(self.layers(), whole)

    def on_validation_end(self) -> None:
        """Go on with parts of the layers, if they are shared out."""
        self._keep_whole(False)

    def on_test_end(self) -> None:
        """See `on_validation_end`."""
        self._keep_whole(False)

    def on_predict_end(self) -> None:
        """See `on_validation_end`."""
        self._keep_whole(False)

    def _clock(self) -> float:
        """Seconds, after everything that was asked of a GPU is done."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def _wanted(batch: Batch) -> Tensor:
    """The targets [B, M] that count: none of a batch that only keeps this process in step with others."""
    return batch.targets if batch.examples else torch.full_like(batch.targets, PAD)
