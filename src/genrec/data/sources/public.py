"""What all public data sets share: their raw files are downloaded, read, cut and kept, in one call."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from genrec.data.dataset import Dataset, Source, check_name
from genrec.data.download import RemoteFile, checksums, fetch
from genrec.data.files import Findings
from genrec.data.folder import prepared
from genrec.data.interactions import SPLIT
from genrec.data.log import record
from genrec.data.preparing import Filters, Repeats, build
from genrec.data.raw import BadLines
from genrec.data.raw.present import pick
from genrec.data.sources.table import listed
from genrec.data.splits import GivenSplit, QuantileSplit, Split
from genrec.errors import GenrecError
from genrec.io.folders import sha256

Read = tuple[pl.DataFrame, pl.DataFrame | None, Sequence[BadLines]]
RAW = "raw"


class Public(Source):
    """A data set whose raw files lie on the net.

    They are downloaded into ``root/raw/<collection>/`` and the data set is made once, into ``root/prepared/``. Every
    (user, item) pair counts once, at its earliest; the order of what a user took in one moment is drawn.

    Args:
        k_core: the least number of interactions of a user and of an item.
        split: where the timelines are cut; `QuantileSplit` if None.
        mirror: the url of a folder that holds the same files, to be asked instead of the official place.
        files: a folder of files that are there already, packed or not; nothing is downloaded. Files of other names are
            known by what is in them.
        expected: published counts by the names of the data card (``users``, ``items``, ``train`` ...), for comparison.
        repeats: how often a (user, item) pair counts: "first", once, at its earliest, or "all".
    """

    name: str
    collection: str
    item_core: int | None = None
    min_rating: float | None = None
    """Interactions with a lower rating are left out."""

    def __init__(
        self,
        k_core: int = 5,
        split: Split | None = None,
        mirror: str | None = None,
        files: str | None = None,
        expected: dict[str, int] | None = None,
        repeats: Repeats = "first",
    ) -> None:
        self.repeats: Repeats = repeats
        self.k_core = k_core
        self.split = split or QuantileSplit()
        self.mirror = mirror
        self.files = files
        self.expected = expected

    @abstractmethod
    def remote_files(self) -> list[RemoteFile]:
        """What has to be downloaded."""

    def present(self, folder: Path) -> list[Path]:
        """The files in a folder of the user's.

        Raises:
            GenrecError: if one is missing.
        """
        found = [(file.name, pick(folder, [file.name], lambda path: False, file.name)) for file in self.remote_files()]
        return self._all(folder, found)

    def _all(self, folder: Path, found: list[tuple[str, Path | None]]) -> list[Path]:
        missing = [name for name, path in found if path is None]
        if missing:
            raise GenrecError(f"{self.name}: there is no {' and no '.join(missing)} in `{folder}` (`files`)")
        return [path for _, path in found if path is not None]

    @abstractmethod
    def read(self, files: list[Path], scratch: Path) -> Read:
        """Interactions, items, and the lines that could not be read, those of the items last.

        Interactions that come already cut have a column that says how (`SPLIT`).

        Args:
            files: what `remote_files` or `present` named, in that order.
            scratch: a folder for what is unpacked.
        """

    def load(self, root: str | Path) -> Dataset:
        """Fetch the raw files that are missing, and make the data set unless it was made before.

        Raises:
            GenrecError: if a file cannot be had or read, or a split is empty.
        """
        root = Path(root)
        check_name(self.name)
        files = self._raw_files(root)
        fingerprint = {
            "source": type(self).__name__,
            "files": {path.name: _identity(path, root / RAW / self.collection) for path in files},
            "core": [self.k_core, self.item_core],
            "split": [type(self.split).__name__, repr(self.split)],
            "repeats": self.repeats,
            "min_rating": self.min_rating,
        }

        def make(scratch: Path) -> Dataset:
            print(f"preparing {self.name} from {', '.join(path.name for path in files)} ...")
            interactions, items, bad = self.read(files, scratch)
            findings = Findings()
            logs = bad if items is None else bad[:-1]
            if self.min_rating is not None:
                below = sum(lines.total - lines.count for lines in logs) - len(interactions)
                findings.count(f"interactions rated below {self.min_rating:g}, left out", below)
            rule = GivenSplit() if SPLIT in interactions.columns else self.split
            log = record(interactions, scratch)
            if items is None:
                findings["metadata"] = "none among the files, so the items have no text"
            else:
                listed(log, items, "keep", files[-1].name, findings)
            notes = {"raw_files": fingerprint["files"], "bad_lines": [_said(lines) for lines in bad]}
            filters = Filters(self.k_core, self.item_core, self.repeats)
            return build(self.name, log, items, rule, filters, scratch, findings, notes=notes)

        dataset = prepared(root, self.name, fingerprint, make)
        return (
            dataset if self.expected is None else replace(dataset, notes={**dataset.notes, "expected": self.expected})
        )

    def _raw_files(self, root: Path) -> list[Path]:
        if self.files is not None:
            return self.present(Path(self.files).expanduser())
        return [fetch(file, root / RAW / self.collection, self.mirror) for file in self.remote_files()]


def _identity(path: Path, downloads: Path) -> str:
    """The hash of a raw file: from the record if it was downloaded, by reading it otherwise."""
    if path.parent == downloads:
        return checksums(downloads)[path.name]["sha256"]
    return sha256(path)


def _said(bad: BadLines) -> dict[str, Any]:
    return {"file": Path(bad.path).name, "bad": bad.count, "of": bad.total, "first": list(bad.first)}
