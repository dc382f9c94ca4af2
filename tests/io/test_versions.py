"""Versions are told, also of what is not installed, and the commit of a checkout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from genrec.io.versions import commit, versions

HASH = "0123456789abcdef0123456789abcdef01234567"
BRANCH = {".git/HEAD": "ref: refs/heads/a/b\n"}
WORKTREE = {
    ".git": "gitdir: ../other/.git/worktrees/checkout\n",
    "../other/.git/worktrees/checkout/commondir": "../..\n",
}


def test_what_is_not_installed_is_said_to_be() -> None:
    assert versions("numpy", "no-such-library") == {
        "numpy": np.__version__,
        "no-such-library": "not installed",
    }


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({".git/HEAD": f"{HASH}\n"}, HASH),
        ({**BRANCH, ".git/refs/heads/a/b": f"{HASH}\n"}, HASH),
        ({**BRANCH, ".git/packed-refs": f"# pack-refs\n{'f' * 40} refs/heads/c/a/b\n{HASH} refs/heads/a/b\n"}, HASH),
        (
            {
                **WORKTREE,
                "../other/.git/worktrees/checkout/HEAD": BRANCH[".git/HEAD"],
                "../other/.git/refs/heads/a/b": HASH,
            },
            HASH,
        ),
        (BRANCH, None),
        ({"lib/genrec/__init__.py": ""}, None),
    ],
    ids=["detached", "branch", "packed", "worktree", "no commit yet", "no checkout"],
)
def test_the_commit_of_a_checkout(tmp_path: Path, files: dict[str, str], expected: str | None) -> None:
    root = tmp_path / "checkout"
    root.mkdir()
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert commit(root) == expected
