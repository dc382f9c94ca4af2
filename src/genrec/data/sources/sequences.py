"""Users' lists of items, in the order of time but without times."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from genrec.data.columns import Rows, keys, shown
from genrec.data.columns.keys import BLANKS, MISSING
from genrec.data.dataset import Dataset, Source
from genrec.data.files import Findings, Part, Reading, find, read_table, require
from genrec.data.files.compressed import opened
from genrec.data.files.places import PREPARED
from genrec.data.files.reading import PARQUET
from genrec.data.files.records import parse, records_of_lines
from genrec.data.folder import prepared
from genrec.data.hashes import Hashes
from genrec.data.interactions import ITEM, TIME, USER
from genrec.data.log import record
from genrec.data.preparing import Filters, Repeats, build
from genrec.data.sources.table import Unlisted, listed, name_of, read_items
from genrec.data.splits import LeaveOneOut, Split
from genrec.errors import GenrecError

Lists = Iterator[tuple[object, object]]


class Sequences(Source):
    """What every user took, one list after another.

    =========== =============================================================================
    file        holds
    =========== =============================================================================
    ``.txt``    a line for each user: his key, then the items' (P5's ``sequential_data.txt``),
                with blanks, tabs or commas between them; or ``.tsv``
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
        root = Path(root)
        parts = find(self.interactions, root)
        items = None if self.items is None else find(self.items, root)
        hashes = Hashes(root / PREPARED)
        fingerprint = hashes.fingerprint(self, [hashes.of(part) for part in parts], items)
        name = name_of(self.interactions)
        return prepared(root, name, fingerprint, lambda scratch: self._make(name, parts, items, scratch))

    def _make(self, name: str, parts: list[Part], items: list[Part] | None, scratch: Path) -> Dataset:
        findings = Findings()
        seen: dict[str, str] = {}
        log = record(pl.concat(self._frame(part, seen, findings) for part in parts), scratch)
        table, known = None, None
        if items is not None:
            table = read_items(items, self.item, Reading(), findings)
            known = listed(log, table, self.unlisted, str(self.items), findings)
        filters = Filters(self.k_core, repeats=self.repeats)
        return build(name, log, table, self.split, filters, scratch, findings, known)

    def _frame(self, part: Part, seen: dict[str, str], findings: Findings) -> pl.DataFrame:
        """The lists of a file as interactions; the place in the list is the time.

        Args:
            part: the file.
            seen: where every user was, to which those of this file are added.
            findings: where it is said what was found out.
        """
        if part.ending in PARQUET:
            table = read_table(part)
            require(table.columns, [self.user, self.item], part.name)
            pairs: list[tuple[object, object]] = list(zip(table[self.user], table[self.item].to_list(), strict=True))
        else:
            pairs = list(self._lists(part))
        users: list[str] = []
        items: list[str] = []
        places: list[int] = []
        for row, (user, taken) in enumerate(pairs, 1):
            where = f"{part.name}, row {row}"
            if not _is_key(user):
                raise GenrecError(f"{where}: `{shown(user)}` is no user (`user`): keys are text or whole numbers")
            if not isinstance(taken, list):
                raise GenrecError(f"{where}: user `{shown(user)}` has `{shown(taken)}`, not a list of items (`item`)")
            wrong = next((item for item in taken if not _is_key(item)), user)
            if wrong is not user:
                raise GenrecError(f"{where}: `{shown(wrong)}` is no item: keys are text or whole numbers")
            key = str(user).strip(BLANKS)
            if key in seen:
                raise GenrecError(
                    f"{where}: user `{shown(user)}` has a list already ({seen[key]}): a user has one list, and a file "
                    "with an interaction a line is a `Table`"
                )
            seen[key] = where
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
                    for number, record in records_of_lines(content, part.name):
                        require(list(record), [self.user, self.item], f"{part.name}, line {number}")
                        yield record[self.user], record[self.item]
                elif part.ending in (".txt", ".tsv"):
                    for line in io.TextIOWrapper(content, "utf-8-sig"):
                        user, *items = re.split(r"[\s,]+", line.strip().strip(","))
                        if user == self.user:
                            raise GenrecError(
                                f"`{part.name}` has names in its first line: lists have none, take it out"
                            )
                        if user:
                            yield user, list(items)
                else:
                    raise GenrecError(
                        f"`{part.name}` is none of the lists that can be read: .txt, .tsv, .json, .jsonl, .parquet"
                    )
        except (OSError, EOFError, UnicodeError) as error:
            raise GenrecError(f"cannot read `{part.name}`: {' '.join(str(error).split())[:200]}") from error


def _is_key(value: object) -> bool:
    if isinstance(value, str):
        return value.strip(BLANKS) not in ("", *MISSING)
    return isinstance(value, int) and not isinstance(value, bool)
