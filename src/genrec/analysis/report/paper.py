"""The numbers that were published, from ``paper.yaml``, which says where they stand and how they differ from ours."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml


@cache
def _tables() -> dict[str, Any]:
    return yaml.safe_load((Path(__file__).parent / "paper.yaml").read_text(encoding="utf-8"))


def published(dataset: str, method: str, backbone: str | None) -> dict[str, Any] | None:
    """What the paper reports for a method, in the form of a run's ``metrics.json``.

    Args:
        dataset: `toys`, `beauty`, `sports` or `steam`.
        method: the identifier's name.
        backbone: a description of the language model, whose family decides which numbers are meant.
    """
    tables = [table for table in _tables()["tables"] if table["like"] in (backbone or "").lower()]
    for table in sorted(tables, key=lambda table: -len(table["like"])):
        found = table["results"].get(dataset, {}).get(method)
        if found:
            return {
                "dataset": dataset,
                "method": method,
                "backbone": table["backbone"],
                "settings": {
                    setting: dict(zip(_tables()["columns"], values, strict=True))
                    for setting, values in found.items()
                    if setting != "seconds"
                },
                "seconds": {"rank": found["seconds"]},
            }
    return None


def note(found: bool) -> str:
    """What is to be said below a table that the paper's numbers were asked for."""
    if not found:
        return "the paper (SETRec, arXiv 2502.10833) has no numbers for these data sets, methods and language models"
    return (
        "published: SETRec, SIGIR 2025 (arXiv 2502.10833), Tables 1-3; its hardware, training and size of the language "
        "model may differ"
    )
