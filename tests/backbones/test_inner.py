"""The inside of transformers: used in one file, which fits the versions that may be installed."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from genrec.backbones.inner import LOOKED_AT

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [*(ROOT / "src").rglob("*.py"), *(ROOT / "baselines").rglob("*.py")]
KNOWN = {"_can_stop_early", "_disable_dynamo", "_dynamo", "_rebuild_tensor_v2", "_should_accumulate", "_trial_id"}
KNOWN |= {"_asdict", "_utils"}
"""Of Lightning, optuna, torch, and every named tuple."""


def test_the_versions_that_may_be_installed_were_looked_at() -> None:
    """Another one wants `genrec.backbones.inner` compared with it, the tests run, and both lists extended."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    (allowed,) = (wanted.specifier for wanted in map(Requirement, declared) if wanted.name == "transformers")
    minors = [f"{major}.{minor}" for major in range(4, 8) for minor in range(100)]
    assert tuple(minor for minor in minors if f"{minor}.0" in allowed) == LOOKED_AT
    assert version("transformers").rpartition(".")[0] in LOOKED_AT


def private(tree: ast.AST) -> Iterator[str]:
    """Private names that are asked of something else than the object itself."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "super()"):
            yield from re.findall("^_(?!_).*", node.attr)


def own(tree: ast.AST) -> Iterator[str]:
    """Private names that a file makes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.id if isinstance(node, ast.Name) else node.attr


@pytest.mark.slow
def test_nobody_else_asks_for_private_names() -> None:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
    ours = {name for tree in trees.values() for name in own(tree)} | KNOWN
    asked = {path.name: set(private(tree)) - ours for path, tree in trees.items()}
    assert {name: names for name, names in asked.items() if names} == {"inner.py": {"_relative_position_bucket"}}
