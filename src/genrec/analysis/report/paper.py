"""The numbers that were published, from two files that say where they stand and how they differ from ours.

``paper.yaml`` holds those of SETRec's paper, ``leave_one_out.yaml`` those of the field's other protocol.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FILES = ("paper.yaml", "leave_one_out.yaml")
NOTE = "note"
"""In a row's results: where its numbers come from."""


@cache
def _tables() -> list[dict[str, Any]]:
    """The tables of all files, each with its file's columns and note."""
    contents = [yaml.safe_load((Path(__file__).parent / name).read_text(encoding="utf-8")) for name in FILES]
    return [{**table, "columns": each["columns"], NOTE: each[NOTE]} for each in contents for table in each["tables"]]


def published(dataset: str, method: str, backbone: str | None) -> dict[str, Any] | None:
    """What was published for a method, in the form of a run's ``metrics.json``, and where.

    Args:
        dataset: `toys`, `beauty`, `sports` or `steam`; `toys_loo` and its like where users' last items are the test.
        method: the identifier's name.
        backbone: a description of the language model, whose family decides which numbers are meant.
    """
    tables = [table for table in _tables() if table["like"] in (backbone or "").lower()]
    for table in sorted(tables, key=lambda table: -len(table["like"])):
        found = table["results"].get(dataset, {}).get(method)
        if found:
            return {
                "dataset": dataset,
                "method": method,
                "backbone": table["backbone"],
                "settings": {
                    setting: dict(zip(table["columns"], values, strict=True))
                    for setting, values in found.items()
                    if setting != "seconds"
                },
                "seconds": {"rank": found.get("seconds")},
                NOTE: table[NOTE],
            }
    return None


def note(found: Iterable[Mapping[str, Any]]) -> str:
    """What is to be said below tables that published numbers were asked for.

    Args:
        found: the published results that they have.
    """
    lines = dict.fromkeys(f"published: {each[NOTE]}" for each in found)
    return "\n".join(lines) or "there are no published numbers for these data sets, methods and language models"
