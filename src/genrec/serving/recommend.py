"""``genrec recommend``: what a trained recommender has for users whose histories are given by hand."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl
from rich.table import Table

from genrec.config.options import Options
from genrec.data.catalog import CATEGORIES, KEY, PRICE, SCHEMA
from genrec.data.files import json_lines
from genrec.errors import GenrecError
from genrec.io.console import cell, wide_console
from genrec.io.files import write_new
from genrec.io.quiet import quieten
from genrec.serving.served import Served, load

KINDS = {CATEGORIES: "a list of texts", PRICE: "a number"}
"""What the fields of an item are; the others are texts."""


def command(arguments: Sequence[str]) -> None:
    """Print the best items for every history.

    Raises:
        GenrecError: for wrong arguments or files, unknown items, and as `genrec.load`.
    """
    quieten()
    chosen = _options().parse_args(arguments)
    output = Path(chosen.output) if chosen.output else None
    if output and output.suffix not in (".parquet", ".jsonl"):
        raise GenrecError(f"recommend writes .parquet or .jsonl, not `{output.name}` (--output)")
    new = read_items(Path(chosen.new_items)) if chosen.new_items else None
    allowed = _read_keys(Path(chosen.allow)) if chosen.allow else None
    histories = [read_history(history) for history in chosen.history]
    if chosen.k < 1:
        raise GenrecError(f"--k is the number of items per user, at least 1, not {chosen.k}")
    served = load(chosen.run, chosen.data_root, chosen.trust)
    if new is not None:
        served.add_items(new)
        print(f"added {len(new):,} {'item' if len(new) == 1 else 'items'} of {chosen.new_items}", file=sys.stderr)
    if chosen.skip_unknown:
        histories = served.known(histories)
    # Before what takes long.
    _check(served, [key for history in histories for key in history], "--history")
    _check(served, allowed or [], f"{chosen.allow} (--allow)")
    if chosen.index:
        share = served.build_index(chosen.index, chosen.k)
        print(f"{chosen.index} index: recall@{chosen.k} against exact search is {share:.3f}")
    found = served.recommend(histories, chosen.k, allowed, chosen.repeats)
    for user, history in enumerate(histories):
        wide_console().print(_table(served, user, history, found.filter(pl.col("user") == user)))
    if output:
        write_new(output, found.write_ndjson if output.suffix == ".jsonl" else found.write_parquet)
        print(f"wrote {len(found):,} recommendations to {output}")


def _options() -> Options:
    options = Options("recommend", "The best items of a trained recommender for histories that are given by hand.")
    options.add_argument("--run", required=True, help="a run, a folder of runs (the newest), or what was saved")
    options.add_argument(
        "--history",
        action="append",
        required=True,
        metavar="ITEM,ITEM,...",
        help="what a user took, oldest first; give it once for every user, empty for one of whom nothing is known; a "
        "key with a comma stands in quotes: '\"a,b\",c'",
    )
    options.add_argument("--skip-unknown", action="store_true", help="leave out unknown items, and say how many")
    options.add_argument("--k", type=int, default=10, help="items per user (%(default)s)")
    options.add_argument("--allow", metavar="FILE", help="recommend only these items: a key a line")
    options.add_argument("--repeats", action="store_true", help="recommend items of a user's history too")
    options.add_argument(
        "--new-items", metavar="FILE.jsonl", help="add items before: an object a line, as the catalogue"
    )
    options.add_argument(
        "--index",
        choices=("exact", "approximate"),
        help="search an index (methods of one inner product; of a sum over codes: exact)",
    )
    options.add_data_root()
    options.add_trust()
    options.add_argument("--output", metavar="FILE", help="write the recommendations: .parquet or .jsonl")
    return options


def _table(served: Served, user: int, history: Sequence[str], found: pl.DataFrame) -> Table:
    """What a user took, and below it what is recommended."""
    table = Table(title=f"user {user}")
    for name in ("rank", "item", "title", "score"):
        table.add_column(name, justify="right" if name in ("rank", "score") else "left")
    titles = served.catalog.titles
    for key, row in zip(history, served.rows(history), strict=True):
        table.add_row("took", cell(key), cell(titles[row]), "", style="dim")
    table.add_section()
    for rank, key, title, score in found.select("rank", "item", "title", "score").iter_rows():
        table.add_row(str(rank), cell(key), cell(title), f"{score:.4f}")
    return table


def read_history(text: str) -> list[str]:
    """Item keys between commas; one that has commas itself stands in quotes, as in a csv file.

    Raises:
        GenrecError: if a quote is not closed.
    """
    try:
        cells = next(csv.reader([text], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise GenrecError(f"--history {text!r:.80} is no list of keys between commas ({error})") from error
    return [cell.strip() for cell in cells if cell.strip()]


def read_items(path: Path) -> pl.DataFrame:
    """New items from a file of one JSON object a line, with the fields of `genrec.data.Catalog`; others are dropped.

    Raises:
        GenrecError: if the file is missing or empty; naming line and field of what cannot be used.
    """
    if not path.is_file():
        raise GenrecError(f"there is no file `{path}` (--new-items)")
    records = []
    for number, record in json_lines(path):
        if not _encodes(record):
            raise GenrecError(f"{path}, line {number}: a text has half of a character (such as \\ud800)")
        wrong = next((name for name in SCHEMA if not _fits(name, record.get(name))), None)
        if wrong is not None:
            kind = KINDS.get(wrong, "a text")
            raise GenrecError(f"{path}, line {number}: `{wrong}` is {kind}, not {record.get(wrong)!r}")
        records.append({name: record.get(name) for name in SCHEMA})
    if not records:
        raise GenrecError(f"`{path}` holds no items (--new-items)")
    return pl.DataFrame(records, schema=SCHEMA)


def _encodes(record: object) -> bool:
    """Whether texts are whole: JSON can name halves of characters, which no file can hold."""
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _fits(name: str, value: object) -> bool:
    """Whether a field holds what it should; all but the key may be missing."""
    if name == KEY:
        return isinstance(value, str) and bool(value.strip())
    if name == CATEGORIES:
        return value is None or (isinstance(value, list) and all(isinstance(part, str) for part in value))
    if name == PRICE:
        return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    return value is None or isinstance(value, str)


def _check(served: Served, keys: Sequence[str], where: str) -> None:
    """Whether items are in the catalogue.

    Raises:
        GenrecError: if one is not, naming where it is asked for.
    """
    try:
        served.rows(keys)
    except GenrecError as error:
        raise GenrecError(f"{where}: {error}") from error


def _read_keys(path: Path) -> list[str]:
    """Item keys, one a line.

    Raises:
        GenrecError: if there is no such file, or no key in it.
    """
    try:
        keys = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except OSError as error:
        raise GenrecError(f"cannot read `{path}` (--allow): {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise GenrecError(f"`{path}` (--allow) is a text in UTF-8, which this is not (byte {error.start})") from error
    if not keys:
        raise GenrecError(f"`{path}` holds no item keys (--allow)")
    return keys
