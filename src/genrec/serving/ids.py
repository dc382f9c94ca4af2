"""``genrec export-ids``: what the items are called, for other programs that are to serve the language model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from genrec.config.options import Options
from genrec.errors import GenrecError
from genrec.io.files import write_new
from genrec.io.quiet import quieten
from genrec.io.starting import quick_imports
from genrec.io.versions import versions

if TYPE_CHECKING:
    from genrec.identifiers.names import ItemNames
    from genrec.serving.served import Served

ITEM = "item"
ABOUT = "genrec"
"""Where a parquet file keeps what is not about a single item."""


def command(arguments: Sequence[str]) -> None:
    """Write the identifiers of a run's items.

    Raises:
        GenrecError: for wrong arguments, a run that cannot be loaded, and as `identifiers`.
    """
    options = Options("export-ids", "What the items of a trained recommender are called, for other programs.")
    options.add_argument("run", metavar="RUN", help="a run, a folder of runs (the newest), or what was saved")
    options.add_argument("--output", required=True, metavar="FILE", help="to write: .json or .parquet")
    options.add_data_root()
    options.add_trust()
    chosen = options.parse_args(arguments)
    output = Path(chosen.output)
    if output.suffix not in (".json", ".parquet"):
        raise GenrecError(f"export-ids writes .json or .parquet, not `{output.name}` (--output)")
    # Imported late: who asks for help, or has mistyped, need not wait for torch.
    with quick_imports():
        from genrec.serving.served import load

    quieten()
    about, items = identifiers(load(chosen.run, chosen.data_root, chosen.trust))
    if output.suffix == ".parquet":
        note = {ABOUT: json.dumps(about)}
        write_new(output, lambda path: items.write_parquet(path, metadata=note))
    else:
        by_key = dict(zip(items[ITEM], items.drop(ITEM).iter_rows(named=True), strict=True))
        text = json.dumps({**about, "items": by_key}) + "\n"
        write_new(output, lambda path: path.write_text(text, encoding="utf-8"))
    print(f"wrote the identifiers of {len(items):,} items to {output}")


def identifiers(served: Served) -> tuple[dict[str, Any], pl.DataFrame]:
    """The items' identifiers, and what else it takes to use them, as json.

    Returns:
        what ``docs/leaving.md`` describes; and a row for every item: its key, ``item``; and ``ids`` and ``tokens`` of a
        method whose items are sequences of tokens, ``codes`` of one that tells them apart by codes.

    Raises:
        GenrecError: if items are neither, but vectors.
    """
    model = served.model
    about = {**versions("genrec"), "method": model.method, "dataset": served.dataset.name}
    keys = served.catalog.items.select(ITEM)
    names = model.identifier and model.identifier.token_sequences()
    if names:
        ids = [[token for token in row if token >= 0] for row in names.codes.tolist()]
        tokens = [names.spelled(row) for row in ids]
        columns = pl.Series("ids", ids, pl.List(pl.Int64)), pl.Series("tokens", tokens, pl.List(pl.String))
        return {**about, "kind": "tokens", **_about_tokens(served, names)}, keys.with_columns(columns)
    if model.identifier and (found := model.identifier.item_codes()):
        codes, sizes = found
        column = pl.Series("codes", codes.tolist(), pl.List(pl.Int64))
        return {**about, "kind": "codes", "sizes": list(sizes)}, keys.with_columns(column)
    raise GenrecError(
        f"the items of {model.method} have neither tokens of a vocabulary nor codes: there are no identifiers to export"
    )


def _about_tokens(served: Served, names: ItemNames) -> dict[str, Any]:
    model: Any = served.model
    search = getattr(model.identifier, "search", None)
    return {
        "language_model": model.language_model,
        "words": names.words,
        "new_tokens": [token.name for token in names.tokens],
        "prompt": {
            "prefix": model.prompt.prefix.tolist(),
            "separator": names.separator.tolist(),
            "suffix": model.prompt.suffix.tolist(),
            "start": model.backbone.start,
            "max_history": served.data.max_history,
        },
        "end": model.backbone.end if names.lengths.ragged else None,
        "search": search
        and {"beams": search.beams, "normalize": search.normalize, "length_penalty": search.length_penalty},
    }
