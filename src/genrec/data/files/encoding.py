"""What the first bytes of a text say about its encoding."""

from __future__ import annotations

import codecs

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""How files of an encoding may begin; the longer ones first."""


def marked(head: bytes) -> str | None:
    """The encoding of a text that begins so; None if it does not say."""
    return next((name for mark, name in MARKS if head.startswith(mark)), None)
