"""Which libraries a result was made with, and which commit of this one."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[3]


def versions(*libraries: str) -> dict[str, str]:
    """Their versions by name; of a checkout that is on the path but not installed, that it is not."""
    return {library: _version(library) for library in libraries}


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


def commit(root: Path = _ROOT) -> str | None:
    """The commit that is checked out, read without git; files that were changed since are not seen.

    Args:
        root: the folder that ``src/genrec`` is in; None is returned for one that is no checkout, as site-packages.
    """
    folder = root / ".git"
    try:
        if folder.is_file():  # a worktree, whose branches are those of another checkout
            folder = root / folder.read_text(encoding="utf-8").removeprefix("gitdir:").strip()
        common = folder / "commondir"
        shared = folder / common.read_text(encoding="utf-8").strip() if common.is_file() else folder
        head = (folder / "HEAD").read_text(encoding="utf-8").strip()
        if not head.startswith("ref:"):
            return head
        branch = head.removeprefix("ref:").strip()
        if (shared / branch).is_file():
            return (shared / branch).read_text(encoding="utf-8").strip()
        packed = (shared / "packed-refs").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((line.partition(" ")[0] for line in packed if line.endswith(f" {branch}")), None)
