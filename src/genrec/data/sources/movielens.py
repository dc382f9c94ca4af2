"""Ratings of movies."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl

from genrec.data.catalog import KEY
from genrec.data.download import RemoteFile, extract
from genrec.data.interactions import ITEM
from genrec.data.preparing import Repeats
from genrec.data.raw import movielens
from genrec.data.raw.present import first_line, holds, pick
from genrec.data.sources.public import Public, Read
from genrec.data.splits import Split
from genrec.errors import GenrecError

MOVIELENS = {
    "100k": ("ml-100k.zip", "ml-100k/u.data", "ml-100k/u.item"),
    "1m": ("ml-1m.zip", "ml-1m/ratings.dat", "ml-1m/movies.dat"),
    "10m": ("ml-10m.zip", "ml-10M100K/ratings.dat", "ml-10M100K/movies.dat"),
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
        repeats: see `Public`.
        min_rating: ratings below are left out; None: whoever rated a movie has seen it.

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
        repeats: Repeats = "first",
        min_rating: float | None = None,
    ) -> None:
        super().__init__(k_core, split, mirror, files, expected, repeats)
        if edition not in MOVIELENS:
            raise GenrecError(f"there is no MovieLens edition `{edition}`; there are: {', '.join(MOVIELENS)}")
        self.min_rating = min_rating
        self.edition = edition
        self.name = f"movielens-{edition}"

    def remote_files(self) -> list[RemoteFile]:
        """The archive."""
        return [RemoteFile(f"https://files.grouplens.org/datasets/movielens/{MOVIELENS[self.edition][0]}")]

    def present(self, folder: Path) -> list[Path]:
        """The archive, or its members, in the folder or in one of the archive's name; known by name or content."""
        archive, *members = MOVIELENS[self.edition]
        names = [Path(member).name for member in members]
        packed = pick(folder, [archive], lambda path: holds(path, names), "the archive")
        if packed is not None:
            return [packed]
        if (folder / members[0]).is_file():
            folder = folder / Path(members[0]).parent
        endings = [name.rpartition(".")[2] for name in names]
        kinds = [(ending, movielens.FIRST_LINES[ending, n]) for n, ending in enumerate(endings)]
        found = [
            pick(folder, [name], lambda path, kind=kind: _looks(path, *kind), name)  # type: ignore[misc]
            for name, kind in zip(names, kinds, strict=True)
        ]
        return self._all(folder, list(zip(names, found, strict=True)))

    def read(self, files: list[Path], scratch: Path) -> Read:
        """See `Public.read`."""
        if len(files) == 1:
            files = [extract(files[0], member, scratch) for member in MOVIELENS[self.edition][1:]]
        interactions, bad_ratings = movielens.ratings(files[0], self.min_rating)
        items, bad_movies = movielens.movies(files[1])
        return (
            interactions,
            items.filter(pl.col(KEY).is_in(interactions[ITEM].unique().implode())),
            (
                bad_ratings,
                bad_movies,
            ),
        )


def _looks(path: Path, ending: str, pattern: str) -> bool:
    """Whether a file has an ending, and a first line that a pattern fits."""
    return path.name.removesuffix(".gz").endswith(f".{ending}") and re.match(pattern, first_line(path)) is not None
