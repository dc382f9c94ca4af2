"""What people say who look for something, from a file: queries of items, or of users."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from genrec.data.catalog import KEY, Catalog
from genrec.data.columns.keys import keys
from genrec.data.columns.rows import Rows, shown
from genrec.data.dataset import Dataset
from genrec.data.files import Findings, find, read_table, require
from genrec.errors import GenrecError

QUERY, USER = "query", "user"
WORDS = 64
"""After so many a query is cut."""


class Queries(NamedTuple):
    """Queries and what each asks for.

    Args:
        items: int64 [n], rows of the catalogue.
        texts: [n], in one line each.
    """

    items: np.ndarray = np.empty(0, np.int64)
    texts: pl.Series = pl.Series(dtype=pl.String)


NONE = Queries()


def read_queries(name: str, root: Path, dataset: Dataset, findings: Findings) -> Queries:
    """Read queries; what is said of a user asks for each of the items that he took in training.

    Args:
        name: a table as `genrec.data.Table` reads it, found in the same places, with the columns ``query`` and
            ``item``, or ``query`` and ``user``; both may have any number of rows.
        root: the folder of the data.
        dataset: whose items and users they are.
        findings: where it is said what was noticed.

    Raises:
        GenrecError: if the file is missing or broken, or a row has no query, or a key that nobody has.
    """
    (part, *more) = find(name, root)
    if more:
        raise GenrecError(f"`{name}` stands for {1 + len(more)} files: queries are in one")
    table = read_table(part, (QUERY,), findings=findings)
    by = USER if KEY not in table.columns and USER in table.columns else KEY
    require(table.columns, (by, QUERY), part.name)
    rows = Rows([part.name], [len(table)])
    # As a prompt has them: in one line, and not all of a long one.
    words = table[QUERY].cast(pl.String).fill_null("").str.extract_all(r"\S+").list.head(WORDS)
    texts = words.list.join(" ")
    if (empty := texts == "").any():
        raise GenrecError(f"{rows.at(int(empty.arg_max() or 0))}: no value in column `{QUERY}`")
    named = keys(table[by], by, rows, findings)
    known = dataset.catalog if by == KEY else Catalog(pl.DataFrame({KEY: dataset.users.column}))
    found = known.find(named.to_list())
    if (unknown := found < 0).any():
        row = int(unknown.argmax())
        raise GenrecError(
            f"{rows.at(row)}: there is no {by} `{shown(named[row])}` in {dataset.name}, nor are those of "
            f"{int(unknown.sum()) - 1:,} other queries of {len(unknown):,}: leave them out of the file"
        )
    if by == KEY:
        return Queries(found, texts)
    taken = dataset.train.take(found)
    return Queries(taken.values.astype(np.int64), texts.gather(taken.rows))
