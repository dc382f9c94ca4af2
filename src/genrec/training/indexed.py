"""``--index``: a test or a prediction that searches an index of the items, and what that costs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
from rich.table import Table

from genrec.data import SequenceData
from genrec.decoding.vector_index import Kind
from genrec.errors import GenrecError
from genrec.evaluation import metrics
from genrec.io.console import wide_console
from genrec.recommenders import RankingModule
from genrec.runs import layout
from genrec.serving.indexing import Indexing
from genrec.serving.kept_index import Place

SHOWN = ("all", "warm", "cold")
"""Settings in the table; the file has all."""


class Cost(NamedTuple):
    """What a test found with an index and without.

    Args:
        kind: of the index.
        share: of the best that comparing all items finds, those that it finds, for users it was tuned with.
        exact: the results without.
        found: with it, and the same settings.
        seconds: of ranking, without and with.
    """

    kind: Kind
    share: float
    exact: dict[str, dict[str, float]]
    found: dict[str, dict[str, float]]
    seconds: dict[str, float]

    def record(self) -> dict[str, Any]:
        """As it is written; ``lost`` is what an index costs, in every metric."""
        lost = {
            setting: {name: value - self.found[setting][name] for name, value in values.items() if name != "users"}
            for setting, values in self.exact.items()
        }
        return {**self._asdict(), "lost": lost}

    def print(self) -> None:
        """A row per setting: every metric without the index, with it, and the difference."""
        table = Table(title=f"{self.kind} index against every item")
        names = [name for name in self.exact["all"] if name != "users"]
        for head in ("setting", *(f"{metrics.short(name)} {part}" for name in names for part in _PARTS)):
            table.add_column(head.format(index=self.kind), justify="left" if head == "setting" else "right")
        lost = self.record()["lost"]
        for setting in (each for each in SHOWN if each in self.exact):
            numbers = [(self.exact[setting][name], self.found[setting][name], lost[setting][name]) for name in names]
            table.add_row(setting, *(f"{number:.4f}" for three in numbers for number in three))
        wide_console().print(table)
        print(
            f"{self.kind} index: recall@{max(metrics.parse(name)[1] for name in names)} against exact search", end=" "
        )
        print(f"is {self.share:.3f}; ranking took {self.seconds['exact']:.1f} s without and", end=" ")
        print(f"{self.seconds['found']:.1f} s with it")


_PARTS = ("exact", "{index}", "lost")


class SearchesIndex(L.Callback):
    """Has the users of a test or a prediction ranked by an index, which is built, or found, when their turn comes.

    Args:
        data: the users that it is tuned on are of it.
        kind: of the index.
        checkpoint: of the model; the index is kept beside it, where it lies in a run.

    Attributes:
        share: of the best items that it finds.
    """

    def __init__(self, data: SequenceData, kind: Kind, checkpoint: str | None) -> None:
        self._data, self._kind = data, kind
        self._place = Place.of_run(Path(checkpoint)) if checkpoint and layout.run_of(Path(checkpoint)) else None
        self.share = 1.0

    def on_test_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Build it, before the clock of the test runs."""
        assert isinstance(pl_module, RankingModule)
        pl_module.bring_up_to_date()
        indexing = Indexing(pl_module, self._data)
        index, self.share = indexing.build(self._kind, max(pl_module.ks), place=self._place)
        pl_module.search = partial(indexing.search, index)

    on_predict_epoch_start = on_test_epoch_start


def refuse(trainer: L.Trainer, model: RankingModule, data: SequenceData, kind: Kind) -> None:
    """Refuse to build an index, before anything that takes long.

    Raises:
        GenrecError: if the method has none of that kind, or several processes rank.
    """
    Indexing(model, data).check(kind)
    if trainer.world_size > 1:
        raise GenrecError(f"--index is for one process, not {trainer.world_size}: give `--trainer.devices 1`")


def cost(trainer: L.Trainer, model: RankingModule, data: SequenceData, kind: Kind, checkpoint: str | None) -> Cost:
    """Test once more with an index, after a test without, whose results stay the model's."""
    # Ranks are in a file that is there as long as those who collected them.
    exact, ranks, seconds, collected = model.results, model.ranks, model.rank_seconds, model._ranks
    searches = SearchesIndex(data, kind, checkpoint)
    trainer.callbacks.append(searches)  # type: ignore[attr-defined]
    try:
        trainer.test(model, datamodule=data, verbose=False)
    finally:
        model.search = None
    found = Cost(kind, searches.share, exact, model.results, {"exact": seconds, "found": model.rank_seconds})
    model.results, model.ranks, model.rank_seconds, model._ranks = exact, ranks, seconds, collected
    return found
