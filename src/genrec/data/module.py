"""From a data set to batches of item ids: no embeddings, no prompts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import lightning as L
import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from genrec.data.cutting import Geometry
from genrec.data.dataset import Dataset, Source
from genrec.data.extras import Extra, Gather
from genrec.data.files import FINDINGS, Findings
from genrec.data.foreign import Foreign
from genrec.data.mixture import Mixture, mixture
from genrec.data.origin import Origin
from genrec.data.queries import NONE, Queries, read_queries
from genrec.data.ragged import Joined, Lists, Ragged
from genrec.data.samplers import BalancedByLength, Draw, LongestFirst, Share
from genrec.data.samples import Samples, last_positions, prediction, prefixes, ranking, windows
from genrec.data.tasks import Task, Wordings, checked
from genrec.errors import GenrecError
from genrec.seeds import seed_of_run
from genrec.types import Batch

MOST_WORKERS = 1024
"""Processes that read batches; more are a slip of the pen."""


class SequenceData(L.LightningDataModule):
    """Batches of users' histories and next items, `genrec.types.Batch`.

    ========== ================================= ==========================================
    loader     history                           target, targets
    ========== ================================= ==========================================
    train      a part of the training list       the item after it, [B, 0]
    validation training                          validation items (the first; all, once each)
    test       training + validation             test items (the first; all, once each)
    predict    training + validation + test      `PAD`, [B, 0]
    ========== ================================= ==========================================

    Training batches hold samples of about the same length and about equally many targets, and are shuffled anew in
    every epoch (`genrec.data.samplers`). Users who have nothing in a split are left out of its loader. With several
    processes each loader gives this process's share, whatever the trainer's ``use_distributed_sampler`` says.

    Args:
        source: where the data set comes from.
        root: the folder that the source's files are relative to.
        batch_size: training samples of a batch on average, per process: users, where a sample is all of a user.
        rank_batch_size: users of a batch when ranking; None is 256 where there is a GPU, and 32 where there is none.
        max_history: the most recent items of a user that are looked at.
        empty_history: train on first items too, predicted from nothing.
        samples: "prefixes" predicts every position of the last `max_history` training items; "windows" gives the same
            targets as one sample per user, all his prefixes in one reading, to a language model that can do that (a
            `CausalBackbone`); "users" gives a user's last training item and the `max_history` before it, to SASRec and
            its like, which learn all positions from it.
        seed: decides the order of the training batches, and who is drawn by `val_users` and `few_shot`; None is that of
            `seed_everything`.
        num_workers: processes that make batches ahead of time; 0 makes them in the training's own.
        val_users: so many of the users with validation items, drawn at random, are looked at in a validation; None is
            all of them. What validation decides is then decided by them.
        few_shot: so many of the training samples, drawn at random once, are all that is learned from; None is all.
        extras: what batches hold beside items, by name; an identifier asks for it (`ItemIdentifier.extra`).
        foreign: other data sets whose items are read in the histories of a test or prediction, and never recommended.
        tasks: what a language model is asked in training, by name; None asks for the next item alone, with the prompt
            that is ranked with. An epoch is then as long as their weights make it.
        queries: a file of what people say who look for items, for tasks that have ``<query>``: `read_queries`.

    Attributes:
        origin: what the checkpoint in use was trained on, if `dataset` has changed since (`runs.restoring.adopt`).
        compared: whether it was looked for what has changed.
        words: what makes token ids of the texts of tasks; whoever is trained gives it.

    Raises:
        GenrecError: if a number is too small, or tasks do not go together with the rest.
    """

    def __init__(
        self,
        source: Source,
        root: str = "data",
        batch_size: int = 128,
        rank_batch_size: int | None = None,
        max_history: int = 50,
        empty_history: bool = True,
        samples: Literal["prefixes", "windows", "users"] = "prefixes",
        seed: int | None = None,
        num_workers: int = 0,
        val_users: int | None = None,
        few_shot: int | None = None,
        extras: dict[str, Extra] | None = None,
        foreign: Foreign | None = None,
        tasks: dict[str, Task] | None = None,
        queries: str | None = None,
    ) -> None:
        super().__init__()
        for key, count, whole in (("val_users", val_users, "all users"), ("few_shot", few_shot, "all samples")):
            if count is not None and count < 1:
                raise GenrecError(f"`{key}` is a positive number, or null for {whole}, not {count}")
        if rank_batch_size is None:
            # Beams of many users at once are tensors that a CPU's allocator hands back and asks for again each time.
            rank_batch_size = 256 if torch.cuda.is_available() else 32
        least = {"batch_size": 1, "rank_batch_size": 1, "max_history": 1, "num_workers": 0, "seed": 0}
        given = (batch_size, rank_batch_size, max_history, num_workers, 0 if seed is None else seed)
        for (key, smallest), value in zip(least.items(), given, strict=True):
            if value < smallest:
                raise GenrecError(f"data.{key} is {value}: give {smallest} or more")
        if num_workers > MOST_WORKERS:
            raise GenrecError(f"data.num_workers is {num_workers}, each a process: give {MOST_WORKERS} or fewer")
        if foreign and extras:
            raise GenrecError("`data.extras` are of this data set's histories: leave out `data.foreign`, or them")
        self._listed = False
        self.told = False  # whether what the reading found out was said: by `setup`, or on a data card
        self.source = source
        self.root = Path(root)
        self.batch_size = batch_size
        self.rank_batch_size = rank_batch_size
        self.max_history = max_history
        self.empty_history = empty_history
        self.samples = {"prefixes": prefixes, "windows": windows, "users": last_positions}[samples]
        self.seed = seed_of_run() if seed is None else seed
        self.num_workers = num_workers
        self.val_users = val_users
        self.few_shot = few_shot
        self.extras = extras or {}
        self.foreign = foreign
        self.tasks = checked(tasks or {})
        others = {"extras": self.extras, "samples: users": samples == "users", "few_shot": few_shot}
        other = next((key for key, given in others.items() if given), None)
        if self.tasks and other:
            raise GenrecError(f"`data.tasks` and `data.{other}` do not go together: leave one of them out")
        self.queries = queries
        asking = [name for name, task in (tasks or {}).items() if task.has_query]
        if asking and queries is None:
            raise GenrecError(f"`data.tasks.{asking[0]}` has <query>: name the file of them in `data.queries`")
        if queries is not None and not asking:
            raise GenrecError("none of `data.tasks` has <query>: leave `data.queries` out, or ask with them")
        self.origin: Origin | None = None
        self.compared = False
        self.words: Callable[[Batch], Batch] | None = None

    @cached_property
    def dataset(self) -> Dataset:
        """The data set, loaded on first use.

        Raises:
            GenrecError: if something is missing or broken.
        """
        found = self.source.load(self.root)
        return self.foreign.join(found, self.root) if self.foreign else found

    def setup(self, stage: str) -> None:
        """Load the data, so that bad input is known before training starts, and say once what its reading found out."""
        if not self.told:
            self._say(self.dataset.name, self.dataset.notes.get(FINDINGS, {}))
        if stage == "fit":
            self._asking  # noqa: B018  # a file that cannot be read is known before hours of preparation
        self.told = True

    def _say(self, name: str, findings: Mapping[str, object]) -> None:
        """What the reading of something found out, if anything, on standard error."""
        if findings and (self.trainer is None or self.trainer.is_global_zero):
            print(f"{name}: {'; '.join(f'{what}: {count}' for what, count in findings.items())}", file=sys.stderr)

    @cached_property
    def _asking(self) -> Queries:
        """The queries that tasks ask with, read on first use, when it is said what was found out; none without any."""
        if self.queries is None or not any(task.has_query for task in self.tasks.values()):
            return NONE
        findings = Findings()
        found = read_queries(self.queries, self.root, self.dataset, findings)
        cold = int((~self.dataset.warm[found.items]).sum())
        findings.count("queries of items that training lacks, which are not asked", cold)
        self._say(self.queries, findings)
        return found

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Texts become token ids on the host, where their lengths are known."""
        return self.words(batch) if self.words else batch

    def train_dataloader(self) -> DataLoader[Batch]:
        """Training samples in a new order every epoch.

        Raises:
            GenrecError: if there are none.
        """
        of_users = self.samples(self.dataset.train, self.max_history, self.empty_history)
        if not len(of_users):
            raise GenrecError(f"{self.dataset.name}: no user has taken enough in training for anything to be learned")
        samples = self._mixture(of_users) if self.tasks else of_users.some(self.few_shot, self.seed)
        share = self._share
        accumulation = self.trainer.accumulate_grad_batches if self.trainer else 1
        geometry = Geometry(self.batch_size, share.world, accumulation, self.seed)
        return self._loader(samples, BalancedByLength(samples, geometry, share.rank))

    def _mixture(self, samples: Samples) -> Mixture:
        """The samples of all tasks; says once how many each has."""
        each = prefixes(self.dataset.train, self.max_history, self.empty_history)
        warm, wordings = np.flatnonzero(self.dataset.warm), Wordings(self.dataset.catalog, self._asking)
        found, pools = mixture(self.tasks, samples, each, warm, wordings, self.seed)
        if not self._listed and (self.trainer is None or self.trainer.is_global_zero):
            listed = (f"{name} {pool.number:,} of {len(pool.samples):,}" for name, pool in pools.items())
            print(f"{self.dataset.name}: {len(found):,} samples an epoch: {', '.join(listed)}", file=sys.stderr)
        self._listed = True
        return found

    def val_dataloader(self) -> DataLoader[Batch]:
        """Users with validation items, each once; `val_users` of them."""
        samples = ranking(self._known(self.dataset.train), self._targets("validation"), self.max_history)
        return self._ranking_loader(samples.some(self.val_users, self.seed), "limit_val_batches")

    def test_dataloader(self) -> DataLoader[Batch]:
        """Users with test items, each once."""
        known = self._known(self.dataset.train, self.dataset.validation)
        return self._ranking_loader(ranking(known, self._targets("test"), self.max_history), "limit_test_batches")

    def predict_dataloader(self) -> DataLoader[Batch]:
        """All users, each once."""
        known = self._known(self.dataset.train, self.dataset.validation, self.dataset.test)
        return self._ranking_loader(prediction(known, self.max_history), "limit_predict_batches")

    def _known(self, *own: Ragged) -> Lists:
        return self.foreign.histories(self.dataset, *own) if self.foreign else Joined(own)

    def _targets(self, split: Literal["validation", "test"]) -> Ragged:
        if self.foreign and self.foreign.users == "theirs":
            raise GenrecError(
                f"what users of other data sets took of {self.dataset.name} is not known, so nothing can be measured: "
                "`genrec predict` recommends to them"
            )
        return self.dataset.targets(split)

    def _ranking_loader(self, samples: Samples, limit: str) -> DataLoader[Batch]:
        most = getattr(self.trainer, limit) if self.trainer else 1.0
        sampler = LongestFirst(samples, self.rank_batch_size, self._share, most, self.seed)
        return self._loader(samples, sampler)

    def _loader(self, samples: Samples | Mixture, sampler: Sampler[Draw]) -> Batches:
        if self.extras and isinstance(samples, Samples):
            samples = replace(samples, extras=Gather(self.dataset, self.extras))
        # `batch_size=None`: a draw picks a whole batch. A generator of its own: a loader seeds its workers whenever it
        # starts, and how often it does is not to decide what the model's dropout draws.
        return Batches(
            samples,
            sampler=sampler,
            batch_size=None,
            generator=torch.Generator(),
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),  # so that a GPU takes the next batch while it works on this one
        )

    @property
    def _share(self) -> Share:
        return Share(self.trainer.global_rank, self.trainer.world_size) if self.trainer else Share()


class Batches(DataLoader[Batch]):
    """A loader that draws nothing before it is asked for a batch: until then it may be told where to go on."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        """The batches of an epoch."""
        yield from super().__iter__()
