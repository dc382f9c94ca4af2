"""What a checkpoint keeps beside model and optimiser, so that a killed fit loses nothing."""

from __future__ import annotations

import math
from typing import Any

import lightning as L
import torch

from genrec.data.cutting import Geometry, Leg
from genrec.data.module import Batches
from genrec.data.samplers import BalancedByLength
from genrec.errors import GenrecError
from genrec.recommenders import RankingModule
from genrec.types import Batch


class Continuation(L.Callback):
    """Lets a resumed fit go on as if it had never stopped: with the samples and the random numbers that were next.

    Checkpoints keep which steps of the epoch are done, and the state of the random numbers; the order of the samples is
    a function of epoch and geometry (`genrec.data.samplers`). With the same geometry a fit goes on with the batch that
    was next. With another one, after out-of-memory or on another number of devices, what is left of the epoch is cut
    anew: every sample is learned once all the same, and Lightning's counters and the learning rate go on from the part
    of the epoch that is done. What was begun of a step is done again. Several processes draw random numbers anew: the
    first one writes the checkpoint, and the others are not to draw the same.
    """

    always_kept = True
    """Every checkpoint of a training has its state."""

    def __init__(self) -> None:
        self._sampler: BalancedByLength | None = None
        self._legs: list[Leg] = []
        self._batches = 0
        self._begun = 0
        self._epoch = 0
        self._whole = False
        self._kept: dict[str, Any] | None = None

    def state_dict(self) -> dict[str, Any]:
        """What is done of this epoch, and the state of the CPU and of every GPU."""
        gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        state = {"epoch": self._epoch, "whole": self._whole, "cpu": torch.get_rng_state(), "gpus": gpus}
        if self._sampler is None:
            return {**state, "samples": 0, "legs": []}
        legs = [*self._legs, Leg(self._sampler.geometry, self._batches)]
        return {**state, "samples": len(self._sampler.samples), "legs": [[list(leg[0]), leg[1]] for leg in legs]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Wait until everything is set up, which draws as well."""
        self._kept = state_dict

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Go on where the checkpoint was written.

        Raises:
            GenrecError: if that was in the middle of an epoch of other samples.
        """
        assert isinstance(trainer.train_dataloader, Batches)
        sampler = trainer.train_dataloader.sampler
        assert isinstance(sampler, BalancedByLength)
        self._sampler = sampler
        kept, self._kept = self._kept, None
        if kept is None:
            return
        legs = [Leg(Geometry(*geometry), batches) for geometry, batches in kept["legs"]]
        if legs and not kept["whole"] and kept["samples"] != len(sampler.samples):
            raise GenrecError(
                f"the checkpoint was written in the middle of an epoch of {kept['samples']:,} training samples, and "
                f"there are {len(sampler.samples):,} now: give the data and `data` settings that it was trained with"
            )
        self._epoch, self._whole = kept["epoch"], kept["whole"]
        first = self._go_on(trainer, sampler, legs)
        if legs and legs[-1].geometry != sampler.geometry:
            _move_schedules(trainer, kept["epoch"] * trainer.num_training_batches + first)
        if isinstance(pl_module, RankingModule):
            pl_module.refresh_restored()
        if trainer.world_size == 1:
            torch.set_rng_state(kept["cpu"].cpu())
            if len(kept["gpus"]) == torch.cuda.device_count():
                torch.cuda.set_rng_state_all([state.cpu() for state in kept["gpus"]])

    def _go_on(self, trainer: L.Trainer, sampler: BalancedByLength, legs: list[Leg]) -> int:
        """Let sampler and trainer leave out what is done of the epoch; the batch that is next."""
        # Lightning would do it through the loader's own state, but not for a module that has asked how many steps there
        # will be, as a schedule of the learning rate does; and its counters are of the batches that there were.
        if self._whole:
            legs = [Leg(sampler.geometry, len(sampler))]
        first = sampler.resume(self._epoch, legs)
        if self._whole:
            first = int(trainer.num_training_batches)  # fewer, where `limit_train_batches` ends an epoch
        self._legs = list(legs)
        if legs and legs[-1].geometry == sampler.geometry:
            self._batches = self._legs.pop().batches
        progress: Any = trainer.fit_loop.epoch_loop.batch_progress.current
        # A checkpoint that was written at the end of a batch has not counted it as completed.
        ending = progress.ready - progress.completed
        progress.ready = progress.started = progress.processed = first
        progress.completed = first - ending
        return first

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Count the batches of whole steps."""
        if self._epoch != trainer.current_epoch:
            self._epoch, self._legs, self._batches = trainer.current_epoch, [], 0
        self._begun += 1
        self._whole = batch_idx + 1 == trainer.num_training_batches
        if self._whole or (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self._batches, self._begun = self._batches + self._begun, 0


def _move_schedules(trainer: L.Trainer, batches: float) -> None:
    """Let schedules that count steps go on from the part of the training that is done, where epochs bound it."""
    if trainer.max_steps == -1:
        for config in trainer.lr_scheduler_configs:
            if config.interval == "step":
                config.scheduler.last_epoch = math.ceil(batches / trainer.accumulate_grad_batches)
