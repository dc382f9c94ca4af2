"""An inspection on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from math import log2
from typing import Any

from rich.console import Console
from rich.table import Table

from genrec.analysis.inspection.overview import IDENTIFIER, TEXT
from genrec.io.console import cell

LEVELS = 8
"""Places of a sequence that are shown."""


def print_overview(console: Console, found: Mapping[str, Any]) -> None:
    """Show `Inspection.overview`."""
    items = found["items"]
    _say(console, f"{found['method']} on {found['dataset']}, {found['backbone']}")
    _say(console, f"{items['all']:,} items, {items['warm']:,} warm and {items['cold']:,} cold")
    for name, sizes in found["parameters"].items():
        _say(console, f"{name}: {sizes['all']:,} parameters, {sizes['trained']:,} of them trained")
    if "codes" in found:
        _print_codes(console, found["codes"])
    if "sequences" in found:
        _print_sequences(console, found["sequences"])
    else:
        _print_vectors(console, found["vectors"])
    for name, numbers in found["assets"].items():
        if "collision_rate" in numbers:
            _say(console, f"{name}: {_lost(numbers)}{_collisions(numbers.get('nearest', numbers))}")
    _print_neighbours(console, found["neighbours"])


def _print_codes(console: Console, found: Mapping[str, Any]) -> None:
    alike = f"up to {found['largest_group']:,} the same" if found["alike"] else "every one has its own"
    _say(console, f"{found['alike']:,} of {found['items']:,} items share all of their codes with another; {alike}")
    table = _table(["code", "of", "in use", "entropy", "at most", "prefixes"])
    rows = zip(found["sizes"], found["used"], found["entropy"], found["prefixes"], strict=True)
    for place, (size, used, bits, prefixes) in list(enumerate(rows, 1))[:LEVELS]:
        table.add_row(f"{place:,}", f"{size:,}", f"{used:.1%}", f"{bits:.2f}", f"{log2(size):.2f}", f"{prefixes:,}")
    console.print(table)
    more = len(found["sizes"]) - LEVELS
    _say(console, "entropy of their use in bits" + (f"; {more} more codes in --output" if more > 0 else ""))


def _print_sequences(console: Console, found: Mapping[str, Any]) -> None:
    for name in ("new_tokens", "words"):
        _say(console, f"{name.replace('_', ' ')}: {found[name]['in_use']:,} of {found[name]['all']:,} in use")
    lengths = found["lengths"]
    mean = sum(length * count for length, count in lengths.items()) / sum(lengths.values())
    _say(
        console,
        f"{found['distinct']:,} distinct sequences of {min(lengths)} to {max(lengths)} tokens, {mean:.1f} on average",
    )
    table = _table(["place", "items", "tokens", "entropy", "at most", "prefixes", "largest", "alone"])
    for place, level in enumerate(found["levels"][:LEVELS], 1):
        table.add_row(
            *(f"{value:,}" for value in (place, level["items"], level["tokens"])),
            *(f"{value:.2f}" for value in (level["entropy"], log2(level["tokens"]))),
            *(f"{value:,}" for value in (level["prefixes"], level["largest"])),
            f"{level['alone']:.1%}",
        )
    console.print(table)
    more = len(found["levels"]) - LEVELS
    notes = "entropy in bits; largest: items that share a prefix; alone: items that share theirs with none"
    _say(console, notes + (f"; {more} more places in --output" if more > 0 else ""))


def _print_vectors(console: Console, found: Mapping[str, Mapping[str, Any]]) -> None:
    table = _table(["vectors of", "width", "effective rank", "mean cosine", "near-duplicates"])
    for name, numbers in found.items():
        spread = f"{numbers['effective_rank']:.1f}", f"{numbers['cosine']:.3f}", f"{numbers['duplicates']:.1%}"
        table.add_row(name, str(numbers["width"]), *spread)
    console.print(table)


def _lost(numbers: Mapping[str, Any]) -> str:
    return f"{numbers['reconstruction']:.1%} of the variance lost; " if "reconstruction" in numbers else ""


def _collisions(numbers: Mapping[str, Any]) -> str:
    used = ", ".join(f"{share:.0%}" for share in numbers["used"])
    bits = ", ".join(f"{entropy:.2f}" for entropy in numbers["entropy"])
    return (
        f"{numbers['collision_rate']:.2%} of the items shared another's codes before they were told apart, at most "
        f"{numbers['largest_group']} the same; of the codes of each level {used} in use, with an entropy of {bits} bits"
    )


def _print_neighbours(console: Console, found: Mapping[str, Any]) -> None:
    k = found["k"]
    table = _table(["items", "compared", f"alike ({found['unit']})", "cold neighbours", f"overlap@{k} with text"])
    for name in ("warm", "cold"):
        if group := found.get(name):
            shared = f"{group['overlap']:.4f}" if found["text"] else "-"
            table.add_row(name, f"{group['items']:,}", f"{group['alike']:.3f}", f"{group['cold']:.1%}", shared)
    console.print(table)
    by_text = f"of {k} neighbours by identifier among {k} by {found['text']}; by chance {found['chance']:.4f}"
    _say(console, f"overlap: the share {by_text}" if found["text"] else "the items have no text to compare with")


def print_example(console: Console, item: Mapping[str, Any]) -> None:
    """Show an item of `Inspection.look` with its neighbours by identifier and by text side by side."""
    _print_name(console, item)
    names = [name for name in (IDENTIFIER, TEXT) if name in item["neighbours"]]
    table = _table([f"nearest by {name}" for name in names], "left")
    for others in zip_longest(*(item["neighbours"][name] for name in names)):
        table.add_row(*(cell(f"{_likeness(other)}  {_title(other)}") for other in others))
    console.print(table)


def print_item(console: Console, item: Mapping[str, Any]) -> None:
    """Show an item of `Inspection.look` with its neighbours by everything, one below the other."""
    _print_name(console, item)
    table = _table(["nearest by", "alike", "item", "title"], "left")
    for name, others in item["neighbours"].items():
        for other in others:
            table.add_row(name, _likeness(other), cell(other["item"]), cell(_title(other)))
        table.add_section()
    console.print(table)


def _print_name(console: Console, item: Mapping[str, Any]) -> None:
    _say(console, f"\n{item['item']}, {'warm' if item['warm'] else 'cold'}: {item['title']}\n{item['identifier']}")


def _title(item: Mapping[str, Any]) -> str:
    return item["title"] or item["item"]


def _likeness(item: Mapping[str, Any]) -> str:
    # Tokens are counted, cosines are not.
    return str(item["alike"]) if isinstance(item["alike"], int) else f"{item['alike']:.3f}"


def _table(columns: Sequence[str], justify: Any = "right") -> Table:
    table = Table()
    for name in columns:
        table.add_column(name, justify=justify)
    return table


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False)
