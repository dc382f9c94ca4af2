"""What the API pages need to know about the sources: docstrings are plain text, and a named tuple has a constructor."""

from __future__ import annotations

import re
from typing import Any

import griffe

TABLE = re.compile(r"^(=+(?: +=+)+\n(?:.*\n)*?.*\n=+(?: +=+)+)$(?!\n\S)", re.MULTILINE)
LITERAL = re.compile(r"::(?=\n\n +)")


class Sources(griffe.Extension):
    """Shows tables as they stand, ends a sentence before an example with one colon, and reads named tuples."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """See `griffe.Extension.on_object`."""
        if obj.docstring:
            obj.docstring.value = LITERAL.sub(":", TABLE.sub(r"```text\n\1\n```", obj.docstring.value))

    def on_class(self, *, cls: griffe.Class, **_: Any) -> None:
        """Give a named tuple the constructor that it has at run time."""
        if "NamedTuple" in map(str, cls.bases):
            fields = [member for member in cls.members.values() if member.is_attribute]
            kind = griffe.ParameterKind.positional_or_keyword
            made = [griffe.Parameter(f.name, annotation=f.annotation, default=f.value, kind=kind) for f in fields]
            cls.set_member("__init__", griffe.Function("__init__", parameters=griffe.Parameters(*made)))
