"""The data card: what is in a data set, what was left out, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from genrec.data.catalog import BRAND, CATEGORIES, DESCRIPTION, PRICE, TITLE
from genrec.data.dataset import Dataset
from genrec.data.log import lists_of
from genrec.data.ragged import Ragged

FIRST_DATE = 1e8
"""Times from here on are seconds since 1970 (1973 and later); smaller ones are numbers of some other kind."""
LAST_DATE = 1e11
"""And so are larger ones: milliseconds, where seconds would be the year 5138."""


def card(dataset: Dataset) -> dict[str, Any]:
    """Counts and shares, as json.

    ``density`` is the share of (user, item) pairs that occur; ``repeated`` the share of interactions with an item that
    the user had taken before; ``text`` the share of items with each kind of text, and with a price; ``history`` the
    lengths of the training lists. What a source has noted (`Dataset.notes`) comes last.
    """
    parts = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    total, distinct = sum(len(lists.values) for lists in parts.values()), _distinct([*parts.values()])
    lengths, items = dataset.train.lengths, dataset.catalog.items
    warm_targets = int(dataset.warm[dataset.test.values].sum())
    return {
        "name": dataset.name,
        "users": len(dataset.users),
        "items": len(dataset.catalog),
        "warm": int(dataset.warm.sum()),
        "cold": int((~dataset.warm).sum()),
        "interactions": {**{name: len(lists.values) for name, lists in parts.items()}, "total": total},
        "users_with": {name: int((lists.lengths > 0).sum()) for name, lists in parts.items()},
        "test_targets": {"warm": warm_targets, "cold": len(dataset.test.values) - warm_targets},
        "density": distinct / (len(dataset.users) * len(dataset.catalog)),
        "repeated": 1 - distinct / total,
        "history": {
            "min": int(lengths.min()),
            "median": float(np.median(lengths)),
            "mean": round(float(lengths.mean()), 2),
            "max": int(lengths.max()),
        },
        "text": {
            name: round(1 - items[name].null_count() / len(items), 4)
            for name in (TITLE, BRAND, CATEGORIES, DESCRIPTION, PRICE)
        },
        **dataset.notes,
    }


def _distinct(parts: list[Ragged]) -> int:
    """How many (user, item) pairs occur, of some users at a time."""
    found = 0
    for users in lists_of(np.sum([lists.offsets for lists in parts], axis=0)):
        pairs = []
        for lists in parts:
            offsets = lists.offsets[users.start : users.stop + 1]
            items = lists.values[offsets[0] : offsets[-1]].astype(np.int64)
            pairs.append(np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)) << 32 | items)
        found += len(np.unique(np.concatenate(pairs)))
    return found


def print_card(card: Mapping[str, Any]) -> None:
    """Print a card as a table of two columns."""
    table = Table(title=f"data card of {card['name']}", show_header=False)
    table.add_column()
    table.add_column()
    for name, value in _lines(card):
        table.add_row(name, value)
    Console(width=100).print(table)


def _lines(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in card.items():
        if name == "name" or value == [] or value == {}:
            continue
        if name == "times":
            value = {part: " to ".join(_moment(time) for time in times) for part, times in value.items()}
        elif name in ("text", "density", "repeated"):
            value = {key: f"{share:.2%}" for key, share in value.items()} if name == "text" else f"{value:.4%}"
        elif name == "bad_lines":
            value = {
                lines["file"]: f"{lines['bad']:,} of {lines['of']:,}"
                + (f", the first: {', '.join(map(str, lines['first']))}" if lines["bad"] else "")
                for lines in value
            }
        elif name == "expected":
            found = {**card, **card["interactions"]}
            value = {
                key: f"{count:,} " + ("(so it is)" if found[key] == count else f"(NOT SO: {found[key]:,})")
                for key, count in value.items()
            }
        elif name == "raw_files":
            value = {file: f"sha256 {digest[:16]}" for file, digest in value.items()}
        yield name.replace("_", " "), _said(value)


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return "\n".join(f"{name}: {_said(each)}" for name, each in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def _moment(time: float) -> str:
    if not FIRST_DATE <= time < LAST_DATE:
        return f"{time:,.3f}".rstrip("0").rstrip(".")
    moment = datetime.fromtimestamp(time, UTC)
    return moment.strftime("%Y-%m-%d" if time % 86400 == 0 else "%Y-%m-%d %H:%M:%S")
