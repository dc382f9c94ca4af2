"""Public data sets in their raw files: downloaded, read, cut and kept, in one call."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import polars as pl

from genrec.data import prepared
from genrec.data.build import build
from genrec.data.catalog import KEY
from genrec.data.dataset import Dataset, Source, check_name
from genrec.data.download import RemoteFile, checksums, extract, fetch
from genrec.data.interactions import ITEM
from genrec.data.raw import BadLines, amazon, movielens, steam
from genrec.data.splits import QuantileSplit, Split
from genrec.errors import GenrecError
from genrec.store import build_once, sha256

FORMAT = 2
"""Goes up when the same raw files would become another data set: what was prepared before is then made anew."""
RAW, PREPARED = "raw", "prepared"


class Public(Source):
    """A data set whose raw files lie on the net.

    They are downloaded into ``root/raw/<collection>/`` and the data set is made once, into ``root/prepared/``. Every
    (user, item) pair counts once, at its earliest; the order of what a user took in one moment is drawn.

    Args:
        k_core: the least number of interactions of a user and of an item.
        split: where the timelines are cut; `QuantileSplit` if None.
        mirror: the url of a folder that holds the same files, to be asked instead of the official place.
        files: a folder of files that are there already; nothing is downloaded.
        expected: published counts by the names of the data card (``users``, ``items``, ``train`` ...), for comparison.
    """

    name: str
    collection: str
    item_core: int | None = None

    def __init__(
        self,
        k_core: int = 5,
        split: Split | None = None,
        mirror: str | None = None,
        files: str | None = None,
        expected: dict[str, int] | None = None,
    ) -> None:
        self.k_core = k_core
        self.split = split or QuantileSplit()
        self.mirror = mirror
        self.files = files
        self.expected = expected

    @abstractmethod
    def remote_files(self) -> list[RemoteFile]:
        """What has to be downloaded."""

    @abstractmethod
    def read(self, files: list[Path], scratch: Path) -> tuple[pl.DataFrame, pl.DataFrame, Iterable[BadLines]]:
        """Interactions, items, and the lines that could not be read.

        Args:
            files: what `remote_files` named, in that order.
            scratch: a folder for what is unpacked.
        """

    def load(self, root: str | Path) -> Dataset:
        """Fetch the raw files that are missing, and make the data set unless it was made before.

        Raises:
            GenrecError: if a file cannot be had or read, or a split is empty.
        """
        check_name(self.name)
        root = Path(root)
        files = self._raw_files(root)
        fingerprint = {
            "format": FORMAT,
            "source": type(self).__name__,
            "name": self.name,
            "files": {path.name: _identity(path, root / RAW / self.collection) for path in files},
            "core": [self.k_core, self.item_core],
            "split": [type(self.split).__name__, repr(self.split)],
        }

        def make(folder: Path, scratch: Path) -> None:
            print(f"preparing {self.name} from {', '.join(path.name for path in files)} ...")
            interactions, items, bad = self.read(files, scratch)
            notes = {"raw_files": fingerprint["files"], "bad_lines": [_said(lines) for lines in bad]}
            prepared.save(build(self.name, interactions, items, self.k_core, self.split, self.item_core, notes), folder)

        dataset = prepared.load(build_once(root / PREPARED, self.name, fingerprint, make))
        return (
            dataset if self.expected is None else replace(dataset, notes={**dataset.notes, "expected": self.expected})
        )

    def _raw_files(self, root: Path) -> list[Path]:
        remote = self.remote_files()
        if self.files is None:
            return [fetch(file, root / RAW / self.collection, self.mirror) for file in remote]
        folder = Path(self.files)
        missing = [file.name for file in remote if not (folder / file.name).is_file()]
        if missing:
            raise GenrecError(f"{self.name}: there is no {' and no '.join(missing)} in `{folder}` (`files`)")
        return [folder / file.name for file in remote]


def _identity(path: Path, downloads: Path) -> str:
    """The hash of a raw file: from the record if it was downloaded, by reading it otherwise."""
    if path.parent == downloads:
        return checksums(downloads)[path.name]["sha256"]
    return sha256(path)


def _said(bad: BadLines) -> dict[str, Any]:
    return {"file": Path(bad.path).name, "bad": bad.count, "of": bad.total, "first": list(bad.first)}


class Amazon(Public):
    """A category of Amazon Reviews: 2014 (5-core), 2018 (5-core) or 2023.

    Args:
        category: as in the files' names, such as ``Toys_and_Games``.
        version: the year of the collection.
        name: what the data set is called; the category in lower case if None.
        k_core: see `Public`.
        split: see `Public`.
        mirror: see `Public`.
        files: see `Public`.
        expected: see `Public`.
    """

    def __init__(
        self,
        category: str,
        version: Literal[2014, 2018, 2023] = 2014,
        name: str | None = None,
        k_core: int = 5,
        split: Split | None = None,
        mirror: str | None = None,
        files: str | None = None,
        expected: dict[str, int] | None = None,
    ) -> None:
        super().__init__(k_core, split, mirror, files, expected)
        self.category = category
        self.version = version
        self.name = name or category.lower()
        self.collection = f"amazon-{version}"

    def remote_files(self) -> list[RemoteFile]:
        """The reviews and the metadata of the category."""
        category = self.category
        urls = {
            2014: [
                f"https://snap.stanford.edu/data/amazon/productGraph/categoryFiles/reviews_{category}_5.json.gz",
                f"https://snap.stanford.edu/data/amazon/productGraph/categoryFiles/meta_{category}.json.gz",
            ],
            2018: [
                f"https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2/categoryFilesSmall/{category}_5.json.gz",
                f"https://mcauleylab.ucsd.edu/public_datasets/data/amazon_v2/metaFiles2/meta_{category}.json.gz",
            ],
            2023: [
                f"https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023/raw/review_categories/{category}.jsonl.gz",
                f"https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023/raw/meta_categories/meta_{category}.jsonl.gz",
            ],
        }
        return [RemoteFile(url) for url in urls[self.version]]

    def read(self, files: list[Path], scratch: Path) -> tuple[pl.DataFrame, pl.DataFrame, Iterable[BadLines]]:
        """See `Public.read`."""
        interactions, bad_reviews = amazon.reviews(files[0], self.version)
        items, bad_items = amazon.metadata(files[1], self.version, interactions[ITEM].unique())
        return interactions, items, (bad_reviews, bad_items)


class Steam(Public):
    """Reviews of games, as published with SASRec (Kang and McAuley, 2018).

    The counts of SETRec's split say: users have at least 20 interactions, items any number; this is the default.

    Args:
        k_core: the least number of interactions of a user.
        item_core: the least number of interactions of an item.
        split: see `Public`.
        mirror: see `Public`.
        files: see `Public`.
        expected: see `Public`.
    """

    name = "steam"
    collection = "steam"

    def __init__(
        self,
        k_core: int = 20,
        item_core: int = 1,
        split: Split | None = None,
        mirror: str | None = None,
        files: str | None = None,
        expected: dict[str, int] | None = None,
    ) -> None:
        super().__init__(k_core, split, mirror, files, expected)
        self.item_core = item_core

    def remote_files(self) -> list[RemoteFile]:
        """The reviews and the games."""
        place = "https://cseweb.ucsd.edu/~wckang"
        return [RemoteFile(f"{place}/steam_reviews.json.gz"), RemoteFile(f"{place}/steam_games.json.gz")]

    def read(self, files: list[Path], scratch: Path) -> tuple[pl.DataFrame, pl.DataFrame, Iterable[BadLines]]:
        """See `Public.read`."""
        interactions, bad_reviews = steam.reviews(files[0])
        items, bad_games = steam.games(files[1], interactions[ITEM].unique())
        return interactions, items, (bad_reviews, bad_games)


MOVIELENS = {
    "100k": ("ml-100k.zip", "ml-100k/u.data", "ml-100k/u.item"),
    "1m": ("ml-1m.zip", "ml-1m/ratings.dat", "ml-1m/movies.dat"),
    **{
        size: (f"ml-{size}.zip", f"ml-{size}/ratings.csv", f"ml-{size}/movies.csv")
        for size in ("latest-small", "latest", "20m", "25m", "32m")
    },
}
"""The archive of every edition, and its members that are read."""


class MovieLens(Public):
    """Ratings of movies, by GroupLens: whoever rated a movie has seen it.

    Args:
        edition: one of `MOVIELENS`.
        k_core: see `Public`.
        split: see `Public`.
        mirror: see `Public`.
        files: see `Public`; the archive, or its members.
        expected: see `Public`.

    Raises:
        GenrecError: if there is no such edition.
    """

    collection = "movielens"

    def __init__(
        self,
        edition: str = "latest-small",
        k_core: int = 5,
        split: Split | None = None,
        mirror: str | None = None,
        files: str | None = None,
        expected: dict[str, int] | None = None,
    ) -> None:
        super().__init__(k_core, split, mirror, files, expected)
        if edition not in MOVIELENS:
            raise GenrecError(f"there is no MovieLens edition `{edition}`; there are: {', '.join(MOVIELENS)}")
        self.edition = edition
        self.name = f"movielens-{edition}"

    def remote_files(self) -> list[RemoteFile]:
        """The archive; in a folder of files that are there already, its members will do."""
        archive, *members = MOVIELENS[self.edition]
        if self.files is not None and not (Path(self.files) / archive).is_file():
            return [RemoteFile(Path(member).name) for member in members]
        return [RemoteFile(f"https://files.grouplens.org/datasets/movielens/{archive}")]

    def read(self, files: list[Path], scratch: Path) -> tuple[pl.DataFrame, pl.DataFrame, Iterable[BadLines]]:
        """See `Public.read`."""
        if len(files) == 1:
            files = [extract(files[0], member, scratch) for member in MOVIELENS[self.edition][1:]]
        interactions, bad_ratings = movielens.ratings(files[0])
        items, bad_movies = movielens.movies(files[1])
        return (
            interactions,
            items.filter(pl.col(KEY).is_in(interactions[ITEM].unique().implode())),
            (
                bad_ratings,
                bad_movies,
            ),
        )
