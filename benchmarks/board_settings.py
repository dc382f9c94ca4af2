"""What the hashes of ``runs.csv`` stand for: ``settings.jsonl``, a line with all settings of a run for every hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from genrec.config.settings import changes, decisive, kept
from genrec.io.files import write_text

SEED = "seed_everything"


class Settings:
    """The settings that are known, by their hashes: of the first run, and what keys that came in since were set to.

    Args:
        path: the file; there may be none yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        self._known: dict[str, dict[str, Any]] = {each.pop("hash"): each for each in map(json.loads, lines)}

    def hash_of(self, config: Mapping[str, Any], overrides: Sequence[str]) -> str:
        """The hash of a run's settings: that of an earlier run, if nothing was set otherwise.

        A key that came in since, with the value that leaves everything as it was, is nothing else (`changes`).

        Args:
            config: the whole config.
            overrides: what the test was told by hand.
        """
        own = {key: value for key, value in config.items() if key != SEED}
        told, values = list(overrides), kept(own)
        for name, known in self._known.items():
            since = {key: value for key, value in known["since"].items() if key in values}
            if known["overrides"] == told and not changes({**known["settings"], **since}, own):
                # When a default changes later, what it was stands here.
                known["since"] |= {key: value for key, value in values.items() if key not in known["settings"]}
                return name
        deciding = json.dumps([decisive(own), told], sort_keys=True, default=str)
        made = hashlib.sha256(deciding.encode()).hexdigest()[:12]
        self._known[made] = {"overrides": told, "settings": values, "since": {}}
        return made

    def save(self, names: Container[str]) -> None:
        """Write those with these hashes."""
        lines = [{"hash": name, **each} for name, each in sorted(self._known.items()) if name in names]
        write_text(self.path, "".join(json.dumps(line, sort_keys=True, default=str) + "\n" for line in lines))
