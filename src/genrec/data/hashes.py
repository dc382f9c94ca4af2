"""What input files hold, told without reading large ones again and again."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from genrec.data.files import Part
from genrec.io.files import write_text
from genrec.io.folders import sha256

FILE = ".hashes.json"
LARGE = 2**26
"""Bytes of a file whose hash is kept."""


class Hashes:
    """The hashes of files; those of large ones are kept, and used again as long as size and time stay what they are.

    Args:
        folder: where they are kept.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / FILE

    def of(self, part: Part) -> list[str]:
        """The last name of a file, and a hash of its content; of one on another machine, of what is known there."""
        name = part.name.rsplit("/", 1)[-1]
        if part.path is None:
            return [name, part.tag]
        stat = part.path.stat()
        if stat.st_size < LARGE:
            return [name, sha256(part.path)]
        known, key, state = self._known(), str(part.path.resolve()), [stat.st_size, stat.st_mtime_ns]
        if known.get(key, [])[:2] != state:
            known[key] = [*state, sha256(part.path)]
            with suppress(OSError):  # where nobody may write, it is read every time
                write_text(self.file, json.dumps(known, indent=2) + "\n")
        return [name, str(known[key][2])]

    def fingerprint(self, source: object, files: list[Any], items: list[Part] | None) -> dict[str, Any]:
        """What decides what a source of interactions and items becomes, as json.

        Args:
            source: its attributes count, but for the names of its files.
            files: hashes of its interactions.
            items: the files of its items.
        """
        asked = {name: repr(value) for name, value in vars(source).items() if name not in ("interactions", "items")}
        of_items = None if items is None else [self.of(part) for part in items]
        return {"source": type(source).__name__, "asked": asked, "files": files, "items": of_items}

    def _known(self) -> dict[str, list[int | str]]:
        try:
            known = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        right = isinstance(known, dict) and all(isinstance(entry, list) and len(entry) == 3 for entry in known.values())
        return known if right else {}
