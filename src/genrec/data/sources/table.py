"""A plain table of (user, item, timestamp), and one of the items."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np
import polars as pl

from genrec.data.catalog import KEY
from genrec.data.columns import Rows, item_table, keys
from genrec.data.dataset import Dataset, Source
from genrec.data.files import Findings, Part, Reading, batches, find
from genrec.data.files.places import PREPARED
from genrec.data.folder import prepared
from genrec.data.hashes import Hashes
from genrec.data.interactions import ITEM
from genrec.data.log import Log, histogram
from genrec.data.preparing import Filters, Repeats, build
from genrec.data.sources.log_reader import Columns, LogReader
from genrec.data.splits import NAMES, WORDS, GivenSplit, QuantileSplit, Split
from genrec.errors import GenrecError

Unlisted = Literal["keep", "drop"]
CORE = 5


class Table(Source):
    """Interactions from files of text, JSON or parquet.

    Files are looked for below the folder of the data (``--data.root``), beside it, then in the working folder; a name
    can be a folder or a pattern, whose files are parts of one table, and names such as ``s3://bucket/log.parquet`` lie
    elsewhere. Text may be compressed; what stands between its fields is found out.

    Repeated (user, item) pairs count once, at their earliest; users and items with fewer than `k_core` interactions
    are dropped until none is left; then the timelines are cut. The order of what a user took in one moment is drawn.

    Args:
        interactions: the file, one interaction a row. If they come already cut, a file for each of training,
            validation and test.
        items: the file of the items, one a row: the column `item` and any of title, brand, description, tags, price and
            categories (a list; in a text separated by ``|``). Without it the items have no text.
        user: the column of the users' keys.
        item: the column of the items' keys, in both files.
        timestamp: the column of the times: numbers, or ISO dates and times (UTC unless they say otherwise), which
            become seconds since 1970. None: the rows are in the order of time.
        k_core: the least number of interactions of a user and of an item; 5 if None, or 1 if they come already cut.
        split: where the timelines are cut; `QuantileSplit` if None.
        time_format: how times are written, such as ``%d/%m/%Y``; or what numbers are: seconds, milliseconds,
            microseconds, nanoseconds, or number, which is kept. If None, it is found out or refused.
        separator: what stands between the fields of a line; found out if None.
        encoding: of text; UTF-8, or UTF-16 if the file says so, if None.
        rating: the column of the ratings, looked at only if there is a `min_rating`.
        min_rating: interactions with a lower rating are left out.
        repeats: how often a (user, item) pair counts, "first" or "all"; None is "all" if they come already cut.
        unlisted: "keep" or "drop" interactions with items that the item table lacks.
    """

    def __init__(
        self,
        interactions: str | dict[str, str],
        items: str | None = None,
        user: str = "user",
        item: str = "item",
        timestamp: str | None = "timestamp",
        k_core: int | None = None,
        split: Split | None = None,
        time_format: str | None = None,
        separator: str | None = None,
        encoding: str | None = None,
        rating: str = "rating",
        min_rating: float | None = None,
        repeats: Repeats | None = None,
        unlisted: Unlisted = "keep",
    ) -> None:
        given = isinstance(interactions, dict) or isinstance(split, GivenSplit)
        self.interactions = interactions
        self.items = items
        self.user, self.item, self.timestamp = user, item, timestamp
        self.k_core = (1 if given else CORE) if k_core is None else k_core
        self.split = split or (GivenSplit() if given else QuantileSplit())
        self.time_format = time_format
        self.reading = Reading(separator, encoding)
        self.rating, self.min_rating = rating, min_rating
        self.repeats: Repeats = repeats or ("all" if given else "first")
        self.unlisted = unlisted

    def load(self, root: str | Path) -> Dataset:
        """Read, filter and cut, unless that was done before; `genrec.data.folder.prepared` keeps it.

        Raises:
            GenrecError: if a file or column is missing or broken, no interaction is of an item of the item table, or a
                split is empty.
        """
        if self.timestamp is None and self.split.hides_the_future:
            raise GenrecError("without timestamps nothing can be cut by time: set split to LeaveOneOut or GivenSplit")
        if isinstance(self.interactions, dict) and self.split.column is None:
            raise GenrecError(
                "interactions that come already cut, in three files, are not cut again: leave `split` out"
            )
        root = Path(root)
        files = [("", self.interactions)] if isinstance(self.interactions, str) else self._files(self.interactions)
        logs = [(part, find(name, root)) for part, name in files]
        items = None if self.items is None else find(self.items, root)
        hashes = Hashes(root / PREPARED)
        hashed = [[part, [hashes.of(file) for file in parts]] for part, parts in logs]
        fingerprint = hashes.fingerprint(self, hashed, items)
        name = self._name(root)
        return prepared(root, name, fingerprint, lambda scratch: self._make(name, logs, items, scratch))

    def _make(self, name: str, logs: list[tuple[str, list[Part]]], items: list[Part] | None, scratch: Path) -> Dataset:
        findings = Findings()
        reader = LogReader(self.columns, self.reading, scratch, findings)
        for part, parts in logs:
            reader.read(parts, part)
        log = reader.finish()
        table, known = None, None
        if items is not None:
            table = read_items(items, self.item, self.reading, findings)
            known = listed(log, table, self.unlisted, str(self.items), findings)
        filters = Filters(self.k_core, repeats=self.repeats)
        return build(name, log, table, self.split, filters, scratch, findings, known)

    @property
    def columns(self) -> Columns:
        """What of the interactions is read."""
        split = self.split.column if isinstance(self.interactions, str) else None
        return Columns(self.user, self.item, self.timestamp, split, self.time_format, self.rating, self.min_rating)

    def _name(self, root: Path) -> str:
        """After the file, or after the folder where the files are called after their splits."""
        if isinstance(self.interactions, str):
            return name_of(self.interactions)
        file = dict(self._files(self.interactions))[NAMES[0]]
        name = name_of(file)
        return name if name.lower() not in WORDS else Path(file).parent.name or root.resolve().name or "table"

    def _files(self, interactions: dict[str, str]) -> list[tuple[str, str]]:
        parts = {WORDS.get(part): name for part, name in interactions.items()}
        if set(parts) != set(range(len(NAMES))) or len(interactions) > len(NAMES):
            raise GenrecError(
                f"interactions that come already cut are a file for each of {', '.join(NAMES)}, not for "
                f"{', '.join(interactions)}"
            )
        return [(part, parts[number]) for number, part in enumerate(NAMES)]


def name_of(file: str) -> str:
    """A data set is called as its file, without what is a pattern or an ending."""
    path = Path(file.split("://")[-1])
    stem = path.name.split(".")[0].strip("*?[]_- ")
    return stem or path.parent.name or "table"


def read_items(parts: list[Part], item: str, reading: Reading, findings: Findings) -> pl.DataFrame:
    """An item table, in the columns of `Catalog`.

    Raises:
        GenrecError: if it is missing or broken, or has no column of keys.
    """
    (batch,) = batches(parts, [item], None, reading, findings)
    rows = Rows(batch.names, batch.counts)
    return item_table(batch.table, keys(batch.table[item], item, rows, findings), findings)


def listed(log: Log, items: pl.DataFrame, unlisted: Unlisted, name: str, findings: Findings) -> np.ndarray | None:
    """Which items of a log may stay, bool [items of the log]; None where all may.

    Raises:
        GenrecError: if an item table lacks all of them.
    """
    if unlisted not in get_args(Unlisted):
        raise GenrecError(f"unlisted is {' or '.join(get_args(Unlisted))}, not `{unlisted}`")
    known = log.items.is_in(items[KEY].implode()).to_numpy()
    if len(log) and not known.any():
        there = f"keys are there as `{items[KEY][0]}`, here as" if len(items) else "they have keys such as"
        why = f"{there} `{log.items[int(log.columns[ITEM][0])]}`; they must be written alike"
        raise GenrecError(f"none of the items that were taken is in `{name}`: {why}")
    said, kept = ("kept without text", "kept") if unlisted == "keep" else ("left out", "left out")
    findings.count(f"items that the item table lacks, {said}", int((~known).sum()))
    taken = histogram(log.columns[ITEM], len(log.items))
    findings.count(f"interactions with them, {kept}", int(taken[~known].sum()))
    return None if unlisted == "keep" else known
