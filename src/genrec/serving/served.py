"""A trained recommender in use: histories in, titles out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import torch

from genrec.data import Catalog, Dataset, SequenceData
from genrec.decoding.code_sums import CodeIndex
from genrec.decoding.vector_index import Kind, VectorIndex
from genrec.devices import usable
from genrec.errors import GenrecError
from genrec.io import hub, manifest
from genrec.io.bounds import at_most
from genrec.recommenders import RankingModule
from genrec.recommenders.alone import set_up
from genrec.runs import layout, restoring, reuse
from genrec.runs.building import build, config_of, find_run, restore
from genrec.serving import asked, loading, saving
from genrec.serving.indexing import RECALL, Indexing
from genrec.serving.kept_index import Place
from genrec.serving.lists import Lists

BATCHES = 32
"""Users of so many batches are looked at together, so that a batch is of users with histories of about one length."""


def load(
    path: str | Path, data_root: str | Path | None = None, trust: bool = False, device: str | torch.device = "cpu"
) -> Served:
    """The recommender of a run, with its best checkpoint, or one that `Served.save_pretrained` wrote.

    The folder is data, whoever made it: nothing that its config names is imported, see `genrec.runs.trusted`.

    Args:
        path: the folder of a run, or of runs: the newest that has a best checkpoint counts. Or a saved folder.
        data_root: the folder of the data; None takes that of the run's config. A saved folder needs none.
        trust: import the modules of classes that the folder names, as for a run of your own with a class of your own.
        device: where it ranks, such as ``cuda``.

    Raises:
        GenrecError: if there is no such run, or its files or data are missing or damaged, or its config names what is
            no known class; it ranks for the users of its data alone; or there is no such device.
    """
    folder, device = _folder(path), usable(device)
    if manifest.is_saved(folder):
        return Served(*loading.read(folder, trust), Place.of_saved(folder)).to(device)
    run = find_run(folder)
    config = config_of(run, data_root, trust)
    made = build(config)
    if not made.model.serves:
        raise GenrecError(f"{made.model.method} is a ranking from a file, and knows nothing of histories that are new")
    checkpoint = run / layout.CHECKPOINTS / layout.BEST
    if made.model.learns:
        reuse.tell_data(restoring.adopt(made.model, made.data, checkpoint))
    with at_most(lambda: checkpoint.stat().st_size, f"`{checkpoint}`") if made.model.learns else nullcontext():
        set_up(made.model, made.data)
    if made.model.learns:
        restore(made.model, checkpoint)
    return Served(made.model, made.data, config, Place.of_run(checkpoint)).to(device)


def from_pretrained(name: str | Path, trust: bool = False, device: str | torch.device = "cpu") -> Served:
    """A recommender that `Served.save_pretrained` wrote into a folder, or `Served.push_to_hub` to the hub.

    Args:
        name: the folder, or else the name on the Hugging Face hub, such as ``someone/toys-setrec``.
        trust: see `load`.
        device: see `load`.

    Raises:
        GenrecError: if there is none, it cannot be fetched, or it is not what `save_pretrained` wrote; or there is no
            such device.
    """
    folder, device = _folder(name), usable(device)
    if not folder.is_dir():
        folder = hub.fetch(str(name))
    if not manifest.is_saved(folder):
        raise GenrecError(f"`{name}` holds no {manifest.FILE}: give what `save_pretrained` or `push_to_hub` wrote")
    return Served(*loading.read(folder, trust), Place.of_saved(folder)).to(device)


def _folder(path: str | Path) -> Path:
    # Neither NUL nor half a character: libraries below speak of their own then.
    if not isinstance(path, str | Path) or re.search("[\0\ud800-\udfff]", str(path)):
        raise GenrecError(f"give the folder of a run, or of a saved recommender, as a text or a path, not {path!r:.80}")
    return Path(path)


class Served:
    """A recommender that is ready to rank; `load` and `from_pretrained` make it.

    Args:
        model: set up, with its final parameters and tables.
        data: says how much of a history is read, and how many users are ranked together.
        config: the sections ``model``, ``data`` and ``assets`` that both were built from.
        place: where its indexes are kept.

    Attributes:
        model: the module, in evaluation mode.
        data: the data module, whose loaders give the users of the data set; a saved recommender has no users.
        index: what `build_index` made.
    """

    def __init__(
        self, model: RankingModule, data: SequenceData, config: Mapping[str, Any], place: Place | None = None
    ) -> None:
        self.model, self.data, self.config, self.place = model, data, config, place
        self.index: VectorIndex | CodeIndex | None = None

    @property
    def dataset(self) -> Dataset:
        """What it was trained on."""
        return self.data.dataset

    @property
    def catalog(self) -> Catalog:
        """What it can read: the items of the data set, then those that were added."""
        return self.model.catalog

    def to(self, device: str | torch.device) -> Served:
        """Rank on another device from now on.

        Raises:
            GenrecError: if there is none of that name.
        """
        self.model.to(usable(device))
        return self

    def rows(self, keys: Sequence[str]) -> np.ndarray:
        """The rows of items, int64 [n].

        Args:
            keys: n of them.

        Raises:
            GenrecError: if they are no list of texts, and as `Catalog.rows`.
        """
        return self.catalog.rows(asked.texts(keys))

    def known(self, histories: Sequence[Sequence[str]]) -> list[list[str]]:
        """Histories without the keys of items that are not in the catalogue; what is left out is said once.

        Raises:
            GenrecError: if they are no lists of texts.
        """
        known = asked.Known(self.catalog)
        kept = known.of([asked.texts(history) for history in asked.list_of(histories)])
        known.tell()
        return kept

    def recommend(
        self,
        histories: Sequence[Sequence[str]],
        k: int = 10,
        allowed: Sequence[str] | None = None,
        repeats: bool = False,
        skip_unknown: bool = False,
    ) -> pl.DataFrame:
        """The best items for users who are known by what they took; nobody's depend on who else is asked.

        Args:
            histories: the item keys of every user, oldest first; an empty one is a user of whom nothing is known. The
                last ``max_history`` of the training's data are read.
            k: items per user.
            allowed: the keys of the items that may be recommended; None allows all.
            repeats: whether items of a user's history may be recommended to him again, as they may when metrics are
                measured.
            skip_unknown: leave out keys of histories that are not in the catalogue, and say how many.

        Returns:
            ``user`` (0, 1, ...), ``rank`` (1, 2, ...), ``item`` (its key), ``title`` and ``score``, a row per
            recommendation, best first.

        Raises:
            GenrecError: if a key is unknown, or fewer than ``k`` items may be recommended to a user; nobody has been
                ranked by then.
        """
        lists, histories = self._lists(k, allowed, repeats), asked.list_of(histories)
        for first, window in self._windows(histories, asked.Known(self.catalog) if skip_unknown else None):
            lists.check(window, first)
        return pl.concat([lists.of([], 0), *self._ranked(lists, histories, skip_unknown)])

    def recommend_batches(
        self,
        histories: Iterable[Sequence[str]],
        k: int = 10,
        allowed: Sequence[str] | None = None,
        repeats: bool = False,
        skip_unknown: bool = False,
    ) -> Iterator[pl.DataFrame]:
        """`recommend` for any number of users, some thousand at a time: nothing is kept of who has had his list.

        Args:
            histories: as there, from any iterable; it is read as far as its users are ranked.
            k: as there.
            allowed: as there.
            repeats: as there.
            skip_unknown: as there; how many is said at the end.

        Returns:
            frames that are, one below the other, what `recommend` returns.

        Raises:
            GenrecError: as `recommend`, but when it comes to the user that it is about.
        """
        return self._ranked(self._lists(k, allowed, repeats), asked.iterable(histories), skip_unknown)

    def _lists(self, k: int, allowed: Sequence[str] | None, repeats: bool) -> Lists:
        rows = None if allowed is None else self.rows(allowed)
        return Lists(self.model, self.data, self.index, k, rows, repeats)

    def _ranked(self, lists: Lists, histories: Iterable[Sequence[str]], skip_unknown: bool) -> Iterator[pl.DataFrame]:
        known = asked.Known(self.catalog) if skip_unknown else None
        for first, window in self._windows(histories, known):
            yield lists.of(window, first)
        if known:
            known.tell()

    def _windows(
        self, histories: Iterable[Sequence[str]], known: asked.Known | None
    ) -> Iterator[tuple[int, list[list[str]]]]:
        """Histories, some batches of them at a time, and the number of the first user of each."""
        first = 0
        for window in asked.windows(histories, BATCHES * self.data.rank_batch_size):
            yield first, known.of(window) if known else window
            first += len(window)

    def add_items(self, items: pl.DataFrame, recommend: bool = True) -> None:
        """Make new items recommendable, and readable in histories, without training.

        Args:
            items: columns as in `genrec.data.Catalog`.
            recommend: False has them read in histories alone: what users took elsewhere, known by its text.

        Raises:
            GenrecError: if a key is there already, a column is of the wrong kind, or the method knows nothing but the
                items it was trained on, or, of those that are only read, nothing of their text.
        """
        if not isinstance(items, pl.DataFrame):
            raise GenrecError(f"new items come as a polars DataFrame with a column `item`, not as {items!r:.80}")
        self.model.add_items(items, recommend)
        if self.index is not None:
            self.index.grow(Indexing(self.model, self.data).items())

    def build_index(self, kind: Kind = "exact", k: int = 10, recall: float = RECALL) -> float:
        """Let `recommend` search an index from now on, instead of asking the method; new items are put into it.

        It is an index of vectors; or of codes, exact and of a byte or two each, where a method scores an item by a sum
        over slots (`genrec.decoding.code_sums.CodeSums`).

        How hard an index that does not compare every item tries is decided on users of its own: some hundred of the
        data set's, or, where there are none, users who took one item each. It is built once: that of a run is kept
        beside its checkpoints, `save_pretrained` saves the one that is in use, and it is found again as long as the
        items are what they were.

        Args:
            kind: ``exact``, ``ivf``, ``hnsw`` or ``ivf_pq``, see `genrec.decoding.vector_index.VectorIndex`.
            k: what recall is measured at.
            recall: the share of the true best k that the index is to find.

        Returns:
            the share that it does find, for as many other users.

        Raises:
            GenrecError: if the method ranks by neither inner products nor sums over slots, or there is no such index.
        """
        self.index, share = Indexing(self.model, self.data).build(kind, k, recall, self.place)
        return share

    def save_pretrained(self, folder: str | Path) -> None:
        """Write it into a folder that needs neither the data set nor the run, and holds no user's history.

        Args:
            folder: where; an older one of that name is renamed.

        Raises:
            GenrecError: if it cannot be written.
        """
        saving.save(self.model, self.data, self.config, _folder(folder), self.index)

    def push_to_hub(self, name: str) -> None:
        """Put what `save_pretrained` writes on the Hugging Face hub.

        Args:
            name: of the repository, such as ``someone/toys-setrec``; made if it is not there.

        Raises:
            GenrecError: if the hub cannot be reached, or does not let us.
        """
        with TemporaryDirectory() as scratch:
            folder = Path(scratch) / "recommender"
            self.save_pretrained(folder)
            hub.upload(folder, name)
