"""Users' lists of items, in the order of time but without times."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from genrec.data.build import Repeats, build
from genrec.data.columns import Rows, keys, require
from genrec.data.dataset import Dataset, Source
from genrec.data.files import Findings, Part, Reading, find, read_table
from genrec.data.files.compressed import opened
from genrec.data.files.reading import PARQUET
from genrec.data.files.records import parse, records_of_lines
from genrec.data.interactions import ITEM, ROW, TIME, USER
from genrec.data.splits import LeaveOneOut, Split
from genrec.data.table import FINDINGS, Unlisted, listed, name_of, read_items
from genrec.errors import GenrecError

Lists = Iterator[tuple[object, object]]


class Sequences(Source):
    """What every user took, one list after another.

    =========== =============================================================================
    file        holds
    =========== =============================================================================
    ``.txt``    a line for each user: his key, then the items' (P5's ``sequential_data.txt``),
                with blanks, tabs or commas between them
    ``.json``   an object of users' keys to lists of items (LETTER's ``inter.json``)
    ``.jsonl``  an object a line, with a user and a list of items
    ``.parquet`` a row for each user, with a column of lists
    =========== =============================================================================

    Lists have an order but no times, so they cannot be cut by time: `LeaveOneOut` takes the last two of every list.

    Args:
        interactions: the file; see `genrec.data.Table` for where it is looked for.
        items: the file of the items, as of `genrec.data.Table`.
        user: the field of the users' keys, where fields have names.
        item: the field of the lists, where fields have names; in the item table, the column of the items' keys.
        k_core: the least number of interactions of a user and of an item.
        split: where the lists are cut; `LeaveOneOut` if None.
        repeats: how often an item counts in a user's list: "all", or the "first" time only.
        unlisted: "keep" or "drop" interactions with items that the item table lacks.
    """

    def __init__(
        self,
        interactions: str,
        items: str | None = None,
        user: str = "user",
        item: str = "item",
        k_core: int = 1,
        split: Split | None = None,
        repeats: Repeats = "all",
        unlisted: Unlisted = "keep",
    ) -> None:
        self.interactions = interactions
        self.items = items
        self.user, self.item = user, item
        self.k_core = k_core
        self.split = split or LeaveOneOut()
        self.repeats: Repeats = repeats
        self.unlisted: Unlisted = unlisted

    def load(self, root: str | Path) -> Dataset:
        """Read, filter and cut.

        Raises:
            GenrecError: if a file is missing or broken, the rule cuts by time, or a split is empty.
        """
        if self.split.hides_the_future:
            raise GenrecError("lists have an order but no times, and cannot be cut by time: set split to LeaveOneOut")
        findings = Findings()
        frame = pl.concat(self._frame(part, findings) for part in find(self.interactions, Path(root)))
        frame = frame.with_row_index(ROW)
        items = None
        if self.items is not None:
            items = read_items(find(self.items, Path(root)), self.item, Reading(), findings)
            frame = listed(frame, items, self.unlisted, self.items, findings)
        notes = {FINDINGS: dict(findings)} if findings else {}
        name = name_of(self.interactions)
        return build(name, frame, items, self.k_core, self.split, notes=notes, repeats=self.repeats)

    def _frame(self, part: Part, findings: Findings) -> pl.DataFrame:
        """The lists of a file as interactions; the place in the list is the time."""
        if part.ending in PARQUET:
            table = read_table(part)
            require(table, [self.user, self.item], part.name)
            pairs: list[tuple[object, object]] = list(zip(table[self.user], table[self.item].to_list(), strict=True))
        else:
            pairs = list(self._lists(part))
        users: list[str] = []
        items: list[str] = []
        places: list[int] = []
        seen: set[str] = set()
        for row, (user, taken) in enumerate(pairs, 1):
            if not isinstance(taken, list) or not all(_is_key(item) for item in (user, *taken)):
                raise GenrecError(f"{part.name}, row {row}: not a user with a list of items, which are text or numbers")
            if str(user) in seen:
                raise GenrecError(f"{part.name}, row {row}: user `{user}` is there twice")
            seen.add(str(user))
            users += [str(user)] * len(taken)
            items += [str(item) for item in taken]
            places += range(len(taken))
        if not users:
            raise GenrecError(f"`{part.name}` holds no lists")
        rows = Rows([part.name], [len(users)])
        frame = pl.DataFrame({USER: users, ITEM: items, TIME: places}, schema_overrides={TIME: pl.Float64})
        return frame.with_columns(keys(frame[column], column, rows, findings) for column in (USER, ITEM))

    def _lists(self, part: Part) -> Lists:
        try:
            with part.open() as file, opened(file, part.name) as content:
                if part.ending == ".json":
                    value = parse(content.read(), part.name)
                    if not isinstance(value, dict):
                        raise GenrecError(f"`{part.name}` is no object of users' keys to lists of items")
                    yield from value.items()
                elif part.ending in (".jsonl", ".ndjson"):
                    for _, record in records_of_lines(content, part.name):
                        yield record.get(self.user), record.get(self.item)
                elif part.ending == ".txt":
                    for line in io.TextIOWrapper(content, "utf-8-sig"):
                        user, *items = re.split(r"[\s,]+", line.strip().strip(","))
                        if user:
                            yield user, list(items)
                else:
                    raise GenrecError(
                        f"`{part.name}` is none of the lists that can be read: .txt, .json, .jsonl, .parquet"
                    )
        except (OSError, EOFError, UnicodeError) as error:
            raise GenrecError(f"cannot read `{part.name}`: {' '.join(str(error).split())[:200]}") from error


def _is_key(value: object) -> bool:
    return isinstance(value, (str, int)) and not isinstance(value, bool)
