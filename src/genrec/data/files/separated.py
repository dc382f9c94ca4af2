"""Tables of text: csv and its relatives, in whatever encoding, with whatever stands between the fields."""

from __future__ import annotations

import codecs
import csv
import io
import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from genrec.data.files.compressed import opened
from genrec.data.files.encoding import marked
from genrec.data.files.findings import Findings
from genrec.data.files.header import require
from genrec.data.files.places import Part
from genrec.errors import GenrecError

SEPARATORS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar", " ": "blank"}
"""What is tried, and what it is called."""
TYPED = re.compile(r":(token|token_seq|float|float_seq)$")
"""What RecBole adds to the names of columns."""
BLANK = " \t\r\x1a"
"""What a line without anything in it may hold; the last is how DOS ended files."""
HEAD = 2**16
LARGE = 2**26
"""Bytes of a file that is read in parts."""


def read_separated(
    part: Part,
    wanted: Sequence[str],
    separator: str | None,
    encoding: str | None,
    findings: Findings,
    rows: int | None = None,
    scratch: Path | None = None,
) -> Iterator[pl.DataFrame]:
    """Read a table of text whose first line names the columns. All columns are text, so that ``007`` stays what it is.

    Args:
        part: the file, compressed or not.
        wanted: names of columns; which separator makes them names of columns is how it is found out.
        separator: what stands between the fields; found out if None.
        encoding: of the text; UTF-8, or what the file's first bytes say, if None.
        findings: where it is said what was found out.
        rows: about so many of a large file at a time; None: all at once.
        scratch: where a large file is unpacked that polars cannot read as it is; None: in memory.

    Raises:
        GenrecError: if the file cannot be read as such a table.
    """
    text, source = _text(part, encoding, scratch)
    header = next((line.strip("\r\n") for line in text.split("\n") if line.strip()), None)
    if header is None:
        raise GenrecError(f"`{part.name}` is empty: it needs a line with the names of the columns")
    quote = None if TYPED.search(header) else '"'
    if separator is None:
        separator = _separator(header, wanted, quote)
        if separator != ",":
            findings[f"separator of {Path(part.name).name}"] = SEPARATORS[separator]
    separator = separator.replace("\\t", "\t")  # as shells and YAML hand it over
    if len(separator.encode()) != 1:
        raise GenrecError(f"a separator is one character, not `{separator}`")
    fields = _fields(header, separator, quote)
    names = _named(fields)
    require(names, wanted, part.name)
    for name, field in zip(names, fields, strict=True):
        if names.count(name) > 1:
            raise GenrecError(f"`{part.name}` has two columns `{name}`")
        if name in wanted and field.endswith("_seq"):
            raise GenrecError(f"`{part.name}` holds lists in column `{field}`: a row of a table has one value there")
    file = Path(part.name).name
    for frame in _frames(part, source, separator, quote, names, findings, rows):
        if len(frame.columns) != len(names):
            raise GenrecError(f"`{part.name}` does not begin with the names of its columns")
        frame.columns = names
        lines = _lines(frame, separator)
        findings.count(f"fields of {file} with whole lines in them, as if a quote were left open", lines)
        others = pl.all_horizontal(pl.lit(True), pl.col(names[1:]).is_null())
        blank = frame.select((pl.col(names[0]).fill_null("").str.strip_chars(BLANK) == "") & others).to_series()
        findings.count(f"blank lines of {file} left out", int(blank.sum()))
        yield frame.filter(~blank)


def _frames(
    part: Part,
    source: Path | io.BytesIO,
    separator: str,
    quote: str | None,
    names: list[str],
    findings: Findings,
    rows: int | None,
) -> Iterator[pl.DataFrame]:
    """The table as polars reads it, where that can be trusted, or else by the line."""
    options: dict[str, Any] = {"separator": separator, "quote_char": quote, "infer_schema": False, "glob": False}
    parted = rows is not None and isinstance(source, Path) and source.stat().st_size > LARGE

    def read() -> Iterator[pl.DataFrame]:
        if parted:
            return pl.scan_csv(source, **options).collect_batches(chunk_size=rows, maintain_order=True)
        return iter([pl.read_csv(source, **options)])

    frames: list[pl.DataFrame] = []
    try:
        for frame in read():
            if quote and any(column.str.contains("\\", literal=True).any() for column in frame):
                # Where quotes stand behind a backslash, polars takes both for something else, and says nothing.
                frames = [_by_line(part, source, separator, quote, names, findings)]
                break
            frames = [] if parted else [frame]
    except (pl.exceptions.PolarsError, OSError) as error:
        frames = [_by_line(part, source, separator, quote, names, findings, error)]
    yield from frames or read()


def _text(part: Part, encoding: str | None, scratch: Path | None) -> tuple[str, Path | io.BytesIO]:
    """The beginning of a file as text, and all of it as what polars reads: UTF-8."""
    try:
        with part.open() as file, opened(file, part.name) as content:
            head = content.read(HEAD)
            known = encoding or marked(head)
            plain = content is file and part.path is not None
            if known is None and b"\0" in head:
                raise GenrecError(f"`{part.name}` is no text, or in UTF-16: set `encoding` if it is text")
            if known is None and plain and (b"\n" in head or b"\r" not in head):
                assert part.path is not None
                return _whole_lines(head).decode("utf-8", "replace"), part.path
            everything = head + content.read(-1 if scratch is None else LARGE)
            large = scratch is not None and content.read(1)
        if large and scratch is not None:
            return _unpacked(part, known, scratch)
        text = everything.decode(known or "utf-8")
    except LookupError as error:
        raise GenrecError(f"there is no encoding `{encoding}`: give one such as latin-1 or utf-16") from error
    except UnicodeDecodeError as error:
        raise GenrecError(_not_utf8(part, everything, error, known)) from error
    except (OSError, EOFError, ValueError) as error:
        if isinstance(error, GenrecError):
            raise
        raise GenrecError(f"cannot read `{part.name}`: {' '.join(str(error).split())[:200]}") from error
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return text[:HEAD], io.BytesIO(text.encode())


def _unpacked(part: Part, encoding: str | None, scratch: Path) -> tuple[str, Path]:
    """The beginning of a large file as text, and where all of it is now: in UTF-8, with the line ends of Unix."""
    handle, name = tempfile.mkstemp(".text", dir=scratch)
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding or "utf-8")(), translate=True)
    lines = 0
    with open(handle, "w", encoding="utf-8", newline="") as plain, part.open() as file:
        content = opened(file, part.name)
        more = True
        while more:
            packed = content.read(HEAD)
            more = bool(packed)
            try:
                text = decoder.decode(packed, final=not more)
            except UnicodeDecodeError as error:
                raise GenrecError(_not_utf8(part, error.object, error, encoding, lines)) from error
            plain.write(text.removeprefix("\ufeff") if plain.tell() == 0 else text)
            lines += text.count("\n")
    with open(name, encoding="utf-8", newline="") as plain:
        return plain.read(HEAD), Path(name)


def _whole_lines(head: bytes) -> bytes:
    return head[: head.rfind(b"\n") + 1] or head


def _not_utf8(part: Part, content: bytes, error: UnicodeDecodeError, encoding: str | None, before: int = 0) -> str:
    line = before + content.count(b"\n", 0, error.start) + 1
    near = content[max(0, error.start - 10) : error.end + 10].decode("latin-1")
    remedy = "give its `encoding`, such as latin-1" if encoding in (None, "utf-8") else "give another `encoding`"
    return f"{part.name}, line {line}: no {encoding or 'UTF-8'} text (near {near!r}): {remedy}"


def _separator(header: str, wanted: Sequence[str], quote: str | None) -> str:
    """What makes columns of all names that are wanted; else of most; else what makes the most columns."""

    def worth(separator: str) -> tuple[int, int]:
        names = _named(_fields(header, separator, quote))
        return sum(name in names for name in wanted), 0 if separator == " " else len(names)

    return max(SEPARATORS, key=worth)  # of equals the first


def _fields(header: str, separator: str, quote: str | None) -> list[str]:
    try:
        fields = next(csv.reader([header], delimiter=separator), [header]) if quote else header.split(separator)
    except csv.Error:
        fields = header.split(separator)
    return [field.strip() for field in fields]


def _named(fields: list[str]) -> list[str]:
    """The names of columns; what has none is called after its place."""
    return [TYPED.sub("", field).strip() or f"column {place}" for place, field in enumerate(fields, 1)]


def _lines(frame: pl.DataFrame, separator: str) -> int:
    """How many fields hold as many separators as the lines that end in them would have."""
    found = 0
    for column in frame:
        long = column.filter(column.str.contains("\n", literal=True).fill_null(False))
        breaks = long.str.count_matches("\n", literal=True)
        found += int((long.str.count_matches(separator, literal=True) == breaks * (frame.width - 1)).sum())
    return found if frame.width > 1 else 0


def _by_line(
    part: Part,
    source: Path | io.BytesIO,
    separator: str,
    quote: str | None,
    names: list[str],
    findings: Findings,
    error: Exception | None = None,
) -> pl.DataFrame:
    """A table that polars cannot read: with quotes inside of fields, such as the inches of a title, or broken.

    Raises:
        GenrecError: what is wrong, and in which line.
    """
    content = source.read_bytes() if isinstance(source, Path) else source.getvalue()
    try:
        text = content.decode()
    except UnicodeDecodeError as wrong:
        raise GenrecError(_not_utf8(part, content, wrong, None)) from wrong
    try:
        return _records(part, text, separator, names, {"strict": True} if quote else {"quoting": csv.QUOTE_NONE})
    except GenrecError:
        if not quote or '\\"' not in text:
            raise
        escaped = {"strict": True, "escapechar": "\\", "doublequote": '""' in text}
        frame = _records(part, text, separator, names, escaped)
        findings[f"quotes of {Path(part.name).name} behind a backslash"] = "read as quotes"
        return frame


def _records(part: Part, text: str, separator: str, names: list[str], dialect: dict[str, Any]) -> pl.DataFrame:
    records: list[list[str | None]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, **dialect)
    try:
        for fields in reader:
            if len(fields) > len(names):
                where = f"{part.name}, line {reader.line_num}"
                raise GenrecError(f"{where}: {len(fields)} fields for {len(names)} columns")
            records.append([field or None for field in fields] + [None] * (len(names) - len(fields)))
    except csv.Error as wrong:
        raise GenrecError(f"{part.name}, line {reader.line_num}: {wrong}") from wrong
    first = next(row for row, record in enumerate(records) if any(record))
    return pl.DataFrame(records[first + 1 :], dict.fromkeys(names, pl.String), orient="row")
