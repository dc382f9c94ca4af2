"""Recommenders from the folders that the operator names, and others that take their place later."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from genrec.decoding.vector_index import Kind
from genrec.errors import GenrecError, first_line
from genrec.io import manifest
from genrec.runs.building import find_run
from genrec.serving.served import load
from genrec.web.answers import Answers
from genrec.web.hosted import Hosted
from genrec.web.metrics import Metrics

logger = logging.getLogger("genrec.web")

EVERY = 1.0
"""Seconds between two looks at a folder that is watched."""


class Seen(NamedTuple):
    """What a folder looks like from outside: one that is written anew, or has been copied further, looks otherwise.

    Args:
        folder: that holds the recommender.
        files: in it.
        size: of them in bytes.
        newest: when one was written last.
    """

    folder: Path
    files: int
    size: int
    newest: int


@dataclass(frozen=True)
class Opening:
    """How folders are opened.

    Args:
        device: where recommenders rank.
        index: the kind of index that they search; None for none.
        data_root: see `genrec.load`.
        trust: see `genrec.load`.
        keep: where recommenders are saved when items are added to them; None for nowhere.
    """

    device: str = "cpu"
    index: Kind | None = None
    data_root: str | None = None
    trust: bool = False
    keep: Path | None = None

    def all(self, folders: Iterable[str]) -> dict[str, Answers]:
        """What the folders hold, under names of their own.

        Raises:
            GenrecError: as `genrec.load`.
        """
        found: dict[str, Answers] = {}
        for folder in map(Path, folders):
            name = first = _name(folder)
            while name in found:
                name = f"{first}-{len(found) + 1}"
            found[name] = self.one(name, folder)
        return found

    def one(self, name: str, folder: Path) -> Answers:
        """What a folder holds, under a name.

        Raises:
            GenrecError: as `genrec.load`.
        """
        newest = newest_saved(folder) or folder
        served = load(newest, self.data_root, self.trust, self.device)
        if self.index:
            served.build_index(self.index)
        whole = newest if manifest.is_saved(newest) else find_run(newest)
        return Answers(Hosted(name, served, whole, self.index), self.keep and self.keep / name)


def newest_saved(folder: Path) -> Path | None:
    """The folder itself, if a recommender was saved into it, or else the one right below it that was saved last."""
    if manifest.is_saved(folder):
        return folder
    found = sorted(folder.glob(f"[!.]*/{manifest.FILE}"), key=lambda path: path.stat().st_mtime_ns)
    return found[-1].parent if found else None


def _name(folder: Path) -> str:
    """What a recommender is called, after its folder; that of a run is called by the time."""
    path = folder.resolve()
    if manifest.is_saved(path) or newest_saved(path):
        return path.name
    return find_run(path).resolve().parent.name


class Swaps:
    """Takes over what is new in the folders of recommenders that are served.

    Args:
        opening: opens them.
        folders: the folders as the operator gave them, by the recommenders' names.
        answers: what is served; a recommender changes between two requests.
        metrics: count what was taken, and refused.
    """

    def __init__(
        self, opening: Opening, folders: Mapping[str, Path], answers: dict[str, Answers], metrics: Metrics
    ) -> None:
        self.opening, self.folders, self.answers, self.metrics = opening, folders, answers, metrics
        self._seen = {name: _look(folder) for name, folder in folders.items()}
        self._one_at_a_time = threading.Lock()
        self._ended = threading.Event()

    def watch(self) -> None:
        """Look again and again, until `end`, for another saved folder."""
        while not self._ended.wait(EVERY):
            for name, folder in self.folders.items():
                if (now := _look(folder)) not in (None, self._seen[name]):
                    self._seen[name] = now
                    self.swap(name)

    def all(self) -> None:
        """Open every folder again."""
        for name in self.folders:
            self.swap(name)

    def end(self) -> None:
        """Watch no longer."""
        self._ended.set()

    def swap(self, name: str) -> None:
        """Open what is in a folder now, beside what is served; if it can be used, it takes over."""
        with self._one_at_a_time:
            old = self.answers[name].hosted
            try:
                new = self.opening.one(name, self.folders[name])
            except Exception as error:  # whatever it holds: what is served goes on
                logger.error("`%s` is not taken over, what is served goes on: %s", name, first_line(error))
                self.metrics.swaps.labels(name, "refused").inc()
                if not isinstance(error, GenrecError):
                    logger.debug("", exc_info=error)
                return
            new.hosted.generation = old.generation + 1
            self.answers[name] = new
            self.metrics.swaps.labels(name, "taken").inc()
            logger.info("`%s` was taken over from %s: generation %d", name, new.hosted.folder, new.hosted.generation)


def _look(folder: Path) -> Seen | None:
    """What the newest saved folder looks like; None if there is none, or it is being moved."""
    try:
        if (newest := newest_saved(folder)) is None:
            return None
        files = [path.stat() for path in newest.rglob("*") if path.is_file()]
        return Seen(newest, len(files), sum(file.st_size for file in files), max(file.st_mtime_ns for file in files))
    except (OSError, ValueError):
        return None
