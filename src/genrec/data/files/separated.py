"""Tables of text: csv and its relatives, in whatever encoding, with whatever stands between the fields."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from genrec.data.files.compressed import opened
from genrec.data.files.findings import Findings
from genrec.data.files.places import Part
from genrec.errors import GenrecError

SEPARATORS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "vertical bar", " ": "blank"}
"""What is tried, and what it is called."""
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""How files of an encoding may begin; the longer ones first."""
TYPED = re.compile(r":(token|token_seq|float|float_seq)$")
"""What RecBole adds to the names of columns."""
HEAD = 2**16


def read_separated(
    part: Part, wanted: Sequence[str], separator: str | None, encoding: str | None, findings: Findings
) -> pl.DataFrame:
    """Read a table of text whose first line names the columns. All columns are text, so that ``007`` stays what it is.

    Args:
        part: the file, compressed or not.
        wanted: names of columns; which separator makes them names of columns is how it is found out.
        separator: what stands between the fields; found out if None.
        encoding: of the text; UTF-8, or what the file's first bytes say, if None.
        findings: where it is said what was found out.

    Raises:
        GenrecError: if the file cannot be read as such a table.
    """
    text, source = _text(part, encoding)
    header = next((line.strip("\r\n") for line in text.split("\n") if line.strip()), None)
    if header is None:
        raise GenrecError(f"`{part.name}` is empty: it needs a line with the names of the columns")
    quote = None if TYPED.search(header) else '"'
    if separator is None:
        separator = _separator(header, wanted, quote)
        if separator != ",":
            findings[f"separator of {Path(part.name).name}"] = SEPARATORS[separator]
    elif len(separator.encode()) != 1:
        raise GenrecError(f"a separator is one character, not `{separator}`")
    names = _names(header, separator, quote)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise GenrecError(f"`{part.name}` has two columns `{twice}`")
    try:
        frame = pl.read_csv(source, has_header=True, separator=separator, quote_char=quote, infer_schema=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise GenrecError(_explained(part, source, separator, quote, len(names), error)) from error
    if len(frame.columns) != len(names):
        raise GenrecError(f"`{part.name}` does not begin with the names of its columns")
    frame.columns = names
    blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series()
    findings.count(f"blank lines of {Path(part.name).name} left out", int(blank.sum()))
    return frame.filter(~blank)


def _text(part: Part, encoding: str | None) -> tuple[str, Path | io.BytesIO]:
    """The beginning of a file as text, and all of it as what polars reads: UTF-8."""
    try:
        with part.open() as file, opened(file, part.name) as content:
            head = content.read(HEAD)
            known = encoding or next((name for mark, name in MARKS if head.startswith(mark)), None)
            plain = content is file and part.path is not None
            if known is None and b"\0" in head:
                raise GenrecError(f"`{part.name}` is no text, or in UTF-16: set `encoding` if it is text")
            if known is None and plain and (b"\n" in head or b"\r" not in head):
                assert part.path is not None
                return _whole_lines(head).decode("utf-8", "replace"), part.path
            everything = head + content.read()
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


def _whole_lines(head: bytes) -> bytes:
    return head[: head.rfind(b"\n") + 1] or head


def _not_utf8(part: Part, content: bytes, error: UnicodeDecodeError, encoding: str | None) -> str:
    line = content.count(b"\n", 0, error.start) + 1
    near = content[max(0, error.start - 10) : error.end + 10].decode("latin-1")
    remedy = "give its `encoding`, such as latin-1" if encoding in (None, "utf-8") else "give another `encoding`"
    return f"{part.name}, line {line}: no {encoding or 'UTF-8'} text (near {near!r}): {remedy}"


def _separator(header: str, wanted: Sequence[str], quote: str | None) -> str:
    """What makes columns of all names that are wanted; else of most; else what makes the most columns."""

    def worth(separator: str) -> tuple[int, int]:
        names = _names(header, separator, quote)
        return sum(name in names for name in wanted), 0 if separator == " " else len(names)

    return max(SEPARATORS, key=worth)  # of equals the first


def _names(header: str, separator: str, quote: str | None) -> list[str]:
    try:
        fields = next(csv.reader([header], delimiter=separator), [header]) if quote else header.split(separator)
    except csv.Error:
        fields = header.split(separator)
    return [TYPED.sub("", field.strip()).strip() for field in fields]


def _explained(
    part: Part, source: Path | io.BytesIO, separator: str, quote: str | None, columns: int, error: Exception
) -> str:
    """What is wrong with a table that polars cannot read, and in which line."""
    content = source.read_bytes() if isinstance(source, Path) else source.getvalue()
    try:
        text = content.decode()
    except UnicodeDecodeError as wrong:
        return _not_utf8(part, content, wrong, None)
    lines = io.StringIO(text, newline="")
    reader = (
        csv.reader(lines, delimiter=separator, strict=True)
        if quote
        else csv.reader(lines, delimiter=separator, quoting=csv.QUOTE_NONE)
    )
    try:
        for fields in reader:
            if len(fields) > columns:
                return f"{part.name}, line {reader.line_num}: {len(fields)} fields for {columns} columns"
    except csv.Error as wrong:
        return f"{part.name}, line {reader.line_num}: {wrong}"
    return f"cannot read `{part.name}`: {' '.join(str(error).split())[:200]}"
