"""What must never import what, walked over the source files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "genrec"

FORBIDDEN = {
    "types.py": ["genrec"],
    "data": ["genrec.assets", "genrec.backbones", "genrec.identifiers", "transformers"],
    "assets": ["genrec.identifiers", "genrec.backbones", "genrec.decoding"],
    "backbones": ["genrec.identifiers", "genrec.assets", "genrec.data"],
    "identifiers": ["lightning", "genrec.evaluation"],
    "decoding": ["genrec.identifiers", "genrec.data"],
    "evaluation": ["genrec.identifiers", "genrec.backbones"],
    "": ["genrec_baselines"],
}
SHARED_BY_IDENTIFIERS = {
    f"genrec.identifiers.{name}" for name in ("base", "names", "tables", "token_sequence", "writer")
}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield from (f"{node.module}.{name.name}" for name in node.names)


@pytest.mark.parametrize("part", FORBIDDEN)
def test_no_forbidden_import(part: str) -> None:
    place = SOURCE / part
    files = [place] if place.is_file() else sorted(place.rglob("*.py"))
    assert files
    wrong = [
        f"{path.relative_to(SOURCE)} imports {name}"
        for path in files
        for name in imports(path)
        for forbidden in FORBIDDEN[part]
        if name == forbidden or name.startswith(forbidden + ".")
    ]
    assert not wrong


def test_identifiers_do_not_import_each_other() -> None:
    for path in (SOURCE / "identifiers").glob("*.py"):
        if path.name == "__init__.py":
            continue
        ours = {name.rpartition(".")[0] for name in imports(path) if name.startswith("genrec.identifiers.")}
        assert ours <= SHARED_BY_IDENTIFIERS, path.name
