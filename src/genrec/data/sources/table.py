"""A plain table of (user, item, timestamp), and one of the items."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import polars as pl

from genrec.data.catalog import KEY
from genrec.data.columns import Rows, item_table, keys, seconds, shown
from genrec.data.dataset import Dataset, Source
from genrec.data.files import Findings, Part, Reading, find, read_table, require
from genrec.data.interactions import ITEM, ROW, TIME, USER
from genrec.data.preparing import Repeats, build
from genrec.data.splits import NAMES, SPLIT, WORDS, GivenSplit, QuantileSplit, Split, labelled, oddities
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
        """Read, filter and cut.

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
        findings = Findings()
        frame = self._interactions(Path(root), findings)
        items = None
        if self.items is not None:
            items = read_items(find(self.items, Path(root)), self.item, self.reading, findings)
            frame = listed(frame, items, self.unlisted, self.items, findings)
        name = self._name(Path(root))
        return build(name, frame, items, self.k_core, self.split, notes=findings.notes(), repeats=self.repeats)

    def _name(self, root: Path) -> str:
        """After the file, or after the folder where the files are called after their splits."""
        if isinstance(self.interactions, str):
            return name_of(self.interactions)
        file = dict(self._files(self.interactions))[NAMES[0]]
        name = name_of(file)
        return name if name.lower() not in WORDS else Path(file).parent.name or root.resolve().name or "table"

    def _interactions(self, root: Path, findings: Findings) -> pl.DataFrame:
        if isinstance(self.interactions, str):
            frame = self._table(find(self.interactions, root), self.split.column, findings)
        else:
            frame = pl.concat(
                self._table(find(name, root), None, findings).with_columns(pl.lit(part).alias(SPLIT))
                for part, name in self._files(self.interactions)
            )
        frame = frame.with_row_index(ROW)
        if not self.timestamp:  # then the order of the rows is that of time
            frame = frame.with_columns(pl.col(ROW).cast(pl.Float64).alias(TIME))
        for what, count in oddities(frame).items() if SPLIT in frame.columns else ():
            findings.count(what, count)
        return frame

    def _files(self, interactions: dict[str, str]) -> list[tuple[str, str]]:
        parts = {WORDS.get(part): name for part, name in interactions.items()}
        if set(parts) != set(range(len(NAMES))) or len(interactions) > len(NAMES):
            raise GenrecError(
                f"interactions that come already cut are a file for each of {', '.join(NAMES)}, not for "
                f"{', '.join(interactions)}"
            )
        return [(part, parts[number]) for number, part in enumerate(NAMES)]

    def _table(self, parts: list[Part], split: str | None, findings: Findings) -> pl.DataFrame:
        named = [name for name in (self.user, self.item, self.timestamp, split) if name is not None]
        twice = next((name for name in named if named.count(name) > 1), None)
        if twice is not None:
            raise GenrecError(f"`{twice}` is to be two columns of {parts[0].name} ({', '.join(named)}): name each once")
        wanted = [self.timestamp] if self.timestamp else []
        wanted += [self.rating] if self.min_rating is not None else []
        wanted += [split] if split else []
        table, rows = _read(parts, [self.user, self.item], wanted, self.reading, findings)
        columns = [keys(table[name], name, rows, findings) for name in (self.user, self.item)]
        frame = pl.DataFrame([column.rename(ours) for column, ours in zip(columns, (USER, ITEM), strict=True)])
        if self.timestamp:
            times = seconds(table[self.timestamp], self.timestamp, self.time_format, rows, findings)
            frame = frame.with_columns(times.alias(TIME))
        if split:
            words = keys(table[split], split, rows, findings)
            wrong = labelled(words).is_null()
            if wrong.any():
                row = int(wrong.arg_max() or 0)
                what = f"{rows.at(row)}: `{shown(words[row])}` in column `{split}` is no split"
                raise GenrecError(f"{what}: write {', '.join(WORDS)}")
            frame = frame.with_columns(words.alias(SPLIT))
        if self.min_rating is not None:
            frame = self._liked(frame, table[self.rating], rows, findings)
        return frame

    def _liked(self, frame: pl.DataFrame, ratings: pl.Series, rows: Rows, findings: Findings) -> pl.DataFrame:
        """What was rated as high as `min_rating`.

        Raises:
            GenrecError: naming a rating that is no number.
        """
        if ratings.dtype.is_nested() or ratings.dtype == pl.Boolean:
            numbers = pl.Series([None] * len(ratings), dtype=pl.Float64)
        else:
            text = ratings.str.strip_chars() if ratings.dtype == pl.String else ratings
            numbers = text.cast(pl.Float64, strict=False)
        wrong = ~numbers.is_finite().fill_null(False)
        if wrong.any():
            row = int(wrong.arg_max() or 0)
            if ratings[row] is None:
                raise GenrecError(f"{rows.at(row)}: no value in column `{self.rating}` (min_rating)")
            value = shown(ratings[row])
            raise GenrecError(f"{rows.at(row)}: `{value}` in column `{self.rating}` is no rating (min_rating)")
        liked = numbers >= self.min_rating
        findings.count(f"interactions rated below {self.min_rating:g}, left out", int((~liked).sum()))
        return frame.filter(liked)


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
    table, rows = _read(parts, [item], None, reading, findings)
    return item_table(table, keys(table[item], item, rows, findings), findings)


def listed(frame: pl.DataFrame, items: pl.DataFrame, unlisted: Unlisted, name: str, findings: Findings) -> pl.DataFrame:
    """Interactions, with those whose items an item table lacks or without.

    Raises:
        GenrecError: if it lacks all of them.
    """
    if unlisted not in get_args(Unlisted):
        raise GenrecError(f"unlisted is {' or '.join(get_args(Unlisted))}, not `{unlisted}`")
    known = pl.col(ITEM).is_in(items[KEY].implode())
    unknown = frame.filter(~known)
    if len(unknown) == len(frame) > 0:
        there = f"keys are there as `{items[KEY][0]}`, here as" if len(items) else "they have keys such as"
        why = f"{there} `{unknown[ITEM][0]}`; they must be written alike"
        raise GenrecError(f"none of the items that were taken is in `{name}`: {why}")
    said, kept = ("kept without text", "kept") if unlisted == "keep" else ("left out", "left out")
    findings.count(f"items that the item table lacks, {said}", unknown[ITEM].n_unique())
    findings.count(f"interactions with them, {kept}", len(unknown))
    return frame if unlisted == "keep" else frame.filter(known)


def _read(
    parts: list[Part], named: list[str], wanted: list[str] | None, reading: Reading, findings: Findings
) -> tuple[pl.DataFrame, Rows]:
    """Parts of a table, one after another.

    Args:
        parts: the files.
        named: the columns of keys.
        wanted: further columns; None: all there are.
        reading: how text is read.
        findings: where it is said what was found out.
    """
    tables = []
    for part in parts:
        table = read_table(part, named, wanted or (), reading, findings)
        require(table.columns, [*named, *(wanted or ())], part.name)
        if wanted is not None:
            unread = [name for name in table.columns if name not in (*named, *wanted)]
            if unread:
                findings["columns of the interactions that are not read"] = ", ".join(unread)
            table = table.select(*dict.fromkeys([*named, *wanted]))
        tables.append(table)
    rows = Rows([part.name for part in parts], [len(table) for table in tables])
    if not sum(rows.counts):
        raise GenrecError(f"`{parts[0].name}` holds no rows")
    if len(tables) == 1:
        return tables[0], rows
    findings["parts of the table"] = ", ".join(f"{Path(part.name).name}" for part in parts[:3]) + (
        f" ... ({len(parts)} files)" if len(parts) > 3 else ""
    )
    for name in {name: None for table in tables for name in table.columns}:
        kinds = [table.schema[name] for table in tables if table.schema.get(name, pl.Null) != pl.Null]
        if len({kind.is_temporal() for kind in kinds}) > 1:
            raise GenrecError(
                f"column `{name}` holds dates in some of the files from `{parts[0].name}` to `{parts[-1].name}`, and "
                f"{next(kind for kind in kinds if not kind.is_temporal())} in others: write all alike"
            )
    try:
        return pl.concat(tables, how="diagonal_relaxed"), rows
    except pl.exceptions.PolarsError as error:
        raise GenrecError(
            f"the files from `{parts[0].name}` to `{parts[-1].name}` are not parts of one table: "
            f"{' '.join(str(error).split())[:200]}"
        ) from error
