"""What a user of ``genrec recommend`` gives by hand: histories, new items, and the items that may be recommended."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections import Counter
from pathlib import Path

import polars as pl

from genrec.data.catalog import CATEGORIES, KEY, PRICE, SCHEMA
from genrec.data.files import json_lines
from genrec.data.files.records import parse
from genrec.errors import GenrecError

KINDS = {CATEGORIES: "a list of texts", PRICE: "a number"}
"""What the fields of an item are; the others are texts."""


LIST = re.compile(r'\s*\[\s*["\]]')
"""How a list of JSON texts begins; a key may begin with a bracket, too."""


def read_history(text: str) -> list[str]:
    """Item keys between commas, one that has commas itself in quotes, as in a csv file; or a list of JSON.

    Raises:
        GenrecError: if a quote is not closed, or what begins as a list of JSON texts is none.
    """
    if LIST.match(text):
        keys = parse(text, f"--history {text!r:.80}")
        if not all(isinstance(key, str) for key in keys):
            raise GenrecError(f"--history {text!r:.80} is no list of texts")
        return list(keys)
    try:
        cells = next(csv.reader([text], skipinitialspace=True, strict=True), [])
    except csv.Error as error:
        raise GenrecError(f"--history {text!r:.80} is no list of keys between commas ({error})") from error
    return [cell.strip() for cell in cells if cell.strip()]


def read_items(path: Path, option: str) -> pl.DataFrame:
    """New items from a file of one JSON object a line, with the fields of `genrec.data.Catalog`.

    Other fields are dropped, which is said on standard error.

    Args:
        path: the file.
        option: that names it, for errors.

    Raises:
        GenrecError: if the file is missing or empty; naming line and field of what cannot be used.
    """
    if not path.is_file():
        raise GenrecError(f"there is no file `{path}` ({option})")
    records = []
    unknown: Counter[str] = Counter()
    for number, record in json_lines(path):
        unknown.update(record.keys() - SCHEMA.keys())
        if not _encodes(record):
            raise GenrecError(f"{path}, line {number}: a text has half of a character (such as \\ud800)")
        wrong = next((name for name in SCHEMA if not _fits(name, record.get(name))), None)
        if wrong is not None:
            kind = KINDS.get(wrong, "a text")
            raise GenrecError(f"{path}, line {number}: `{wrong}` is {kind}, not {record.get(wrong)!r}")
        records.append({name: record.get(name) for name in SCHEMA})
    if not records:
        raise GenrecError(f"`{path}` holds no items ({option})")
    if unknown:
        names = ", ".join(f"`{name}` ({count})" for name, count in sorted(unknown.items()))
        print(f"{path}: {names} are no fields of an item, and are left out: {', '.join(SCHEMA)} are", file=sys.stderr)
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


def read_keys(path: Path) -> list[str]:
    """Item keys, one a line.

    Raises:
        GenrecError: if there is no such file, or no key in it.
    """
    try:
        keys = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except OSError as error:
        raise GenrecError(f"cannot read `{path}` (--allow): {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise GenrecError(f"`{path}` (--allow) is a text in UTF-8, which this is not (byte {error.start})") from error
    if not keys:
        raise GenrecError(f"`{path}` holds no item keys (--allow)")
    return keys
