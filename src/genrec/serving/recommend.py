"""``genrec recommend``: what a trained recommender has for users whose histories are given by hand, or in a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
from rich.table import Table

from genrec.config.options import Options
from genrec.errors import GenrecError
from genrec.io.console import cell, wide_console
from genrec.io.files import write_new
from genrec.io.quiet import quieten
from genrec.io.starting import quick_imports

if TYPE_CHECKING:
    from genrec.serving.served import Served


def command(arguments: Sequence[str]) -> None:
    """Print the best items for every history.

    Raises:
        GenrecError: for wrong arguments or files, unknown items, and as `genrec.load`.
    """
    chosen = _options().parse_args(arguments)
    # Imported late: who asks for help, or has mistyped, need not wait for torch.
    with quick_imports():
        from genrec.serving.given import read_history, read_items, read_keys
        from genrec.serving.served import load

    output = Path(chosen.output) if chosen.output else None
    if output and output.suffix not in (".parquet", ".jsonl"):
        raise GenrecError(f"recommend writes .parquet or .jsonl, not `{output.name}` (--output)")
    if chosen.histories and not output:
        raise GenrecError("lists for a file of histories are written into another: give --output FILE")
    if chosen.histories and not Path(chosen.histories).is_file():
        raise GenrecError(f"there is no file `{chosen.histories}` (--histories)")
    added = [
        (file, recommend, read_items(Path(file), option))
        for file, recommend, option in (
            (chosen.new_items, True, "--new-items"),
            (chosen.read_items, False, "--read-items"),
        )
        if file
    ]
    allowed = read_keys(Path(chosen.allow)) if chosen.allow else None
    histories = [read_history(history) for history in chosen.history or ()]
    if chosen.k < 1:
        raise GenrecError(f"--k is the number of items per user, at least 1, not {chosen.k}")
    quieten()
    served = load(chosen.run, chosen.data_root, chosen.trust, chosen.device)
    for file, recommend, items in added:
        served.add_items(items, recommend)
        print(f"added {len(items):,} {'item' if len(items) == 1 else 'items'} of {file}", file=sys.stderr)
    if chosen.skip_unknown and histories:
        histories = served.known(histories)
    # Before what takes long.
    _check(served, [key for history in histories for key in history], "--history")
    _check(served, allowed or [], f"{chosen.allow} (--allow)")
    if chosen.index:
        share = served.build_index(chosen.index, chosen.k)
        print(f"{chosen.index} index: recall@{chosen.k} against exact search is {share:.3f}")
    if output and chosen.histories:
        from genrec.serving.batch import Batch

        asked = chosen.k, allowed, chosen.repeats, chosen.skip_unknown
        count = Batch(served, Path(chosen.histories), output, *asked).run()
        print(f"wrote {count:,} recommendations to {output}")
        return
    found = served.recommend(histories, chosen.k, allowed, chosen.repeats)
    for user, history in enumerate(histories):
        wide_console().print(_table(served, user, history, found.slice(user * chosen.k, chosen.k)))
    if output:
        write_new(output, found.write_ndjson if output.suffix == ".jsonl" else found.write_parquet)
        print(f"wrote {len(found):,} recommendations to {output}")


def _options() -> Options:
    options = Options(
        "recommend", "The best items of a trained recommender for histories that are given by hand, or in a file."
    )
    options.add_argument("--run", required=True, help="a run, a folder of runs (the newest), or what was saved")
    users = options.add_mutually_exclusive_group(required=True)
    users.add_argument(
        "--history",
        action="append",
        metavar="ITEM,ITEM,...",
        help="what a user took, oldest first; give it once for every user, empty for one of whom nothing is known; "
        'keys with commas stand in quotes, or in a list of JSON: \'"a,b",c\' or \'["a,b", "c"]\'',
    )
    users.add_argument(
        "--histories",
        metavar="FILE",
        help="the histories of any number of users: .parquet with a column `history`, or .jsonl; needs --output, and "
        "goes on after a kill",
    )
    options.add_argument("--skip-unknown", action="store_true", help="leave out unknown items, and say how many")
    options.add_argument("--k", type=int, default=10, help="items per user (%(default)s)")
    options.add_argument("--allow", metavar="FILE", help="recommend only these items: a key a line")
    options.add_argument("--repeats", action="store_true", help="recommend items of a user's history too")
    options.add_argument(
        "--new-items", metavar="FILE.jsonl", help="add items before: an object a line, as the catalogue"
    )
    options.add_argument(
        "--read-items", metavar="FILE.jsonl", help="the same, to be read in histories and never recommended"
    )
    options.add_argument(
        "--index",
        choices=("exact", "ivf", "hnsw", "ivf_pq"),
        help="search an index (methods of one inner product; of a sum over codes: exact)",
    )
    options.add_argument("--device", default="cpu", help="rank on another device, such as cuda (%(default)s)")
    options.add_data_root()
    options.add_trust()
    options.add_argument("--output", metavar="FILE", help="write the recommendations: .parquet or .jsonl")
    return options


def _table(served: Served, user: int, history: Sequence[str], found: pl.DataFrame) -> Table:
    """What a user took, and below it what is recommended."""
    table = Table(title=f"user {user}")
    for name in ("rank", "item", "title", "score"):
        table.add_column(name, justify="right" if name in ("rank", "score") else "left")
    taken = served.catalog.items[served.rows(history)].select("item", pl.col("title").fill_null(""))
    for key, title in taken.iter_rows():
        table.add_row("took", cell(key), cell(title), "", style="dim")
    table.add_section()
    for rank, key, title, score in found.select("rank", "item", "title", "score").iter_rows():
        table.add_row(str(rank), cell(key), cell(title), f"{score:.4f}")
    return table


def _check(served: Served, keys: Sequence[str], where: str) -> None:
    """Whether items are in the catalogue.

    Raises:
        GenrecError: if one is not, naming where it is asked for.
    """
    try:
        served.rows(keys)
    except GenrecError as error:
        raise GenrecError(f"{where}: {error}") from error
