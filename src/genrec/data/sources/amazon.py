"""Amazon Reviews of 2014, 2018 and 2023."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import polars as pl

from genrec.data.download import RemoteFile
from genrec.data.interactions import ITEM, ROW, SPLIT
from genrec.data.preparing import Repeats
from genrec.data.raw import amazon
from genrec.data.raw.present import pick
from genrec.data.sources.public import Public, Read
from genrec.data.splits import WORDS, GivenSplit, Split
from genrec.errors import GenrecError

PARTS = ("train", "valid", "test")
"""What the files of ratings that come already cut are called, behind the category."""


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
        repeats: see `Public`.
        min_rating: reviews with a lower rating are left out.
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
        repeats: Repeats = "first",
        min_rating: float | None = None,
    ) -> None:
        super().__init__(k_core, split, mirror, files, expected, repeats)
        self.min_rating = min_rating
        self.cut = split is None or isinstance(split, GivenSplit)
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

    def present(self, folder: Path) -> list[Path]:
        """Reviews, or ratings alone, and the metadata if they are there too; known by their names or their content.

        Raises:
            GenrecError: if one is missing, or ratings that come already cut are to be cut.
        """
        reviews, products = (file.name for file in self.remote_files())
        table = f"ratings_{self.category}.csv" if self.version == 2014 else f"{self.category}.csv"
        parts = [(name, self._named(folder, name)) for name in (f"{self.category}.{part}.csv" for part in PARTS)]
        if any(path for _, path in parts) and self._named(folder, reviews, table) is None:
            cut = self._all(folder, parts)
            if not self.cut:
                raise GenrecError(f"{self.name}: {cut[0].name} and its like come already cut: leave `split` out")
            known = pick(folder, [products], lambda path: amazon.are_products(path, self.version), "the metadata")
            return cut if known is None else [*cut, known]
        found = pick(folder, [reviews, table], lambda path: amazon.are_reviews(path, self.version), "the reviews")
        known = pick(folder, [products], lambda path: amazon.are_products(path, self.version), "the metadata")
        if found is not None and known is None and found.name.removesuffix(".gz").endswith(".csv"):
            return [found]
        return self._all(folder, [(reviews, found), (products, known)])

    def _named(self, folder: Path, *names: str) -> Path | None:
        return pick(folder, names, lambda path: False, names[0])

    def read(self, files: list[Path], scratch: Path) -> Read:
        """See `Public.read`."""
        logs = files[:3] if len(files) > 2 else files[:1]
        read = [amazon.reviews(log, self.version, self.min_rating) for log in logs]
        interactions, bad = read[0][0], [lines for _, lines in read]
        if len(logs) > 1:
            parts = zip(PARTS, read, strict=True)
            interactions = pl.concat(frame.with_columns(pl.lit(WORDS[part]).alias(SPLIT)) for part, (frame, _) in parts)
            interactions = interactions.drop(ROW).with_row_index(ROW)
        if len(files) == len(logs):
            return interactions, None, bad
        items, bad_items = amazon.metadata(files[-1], self.version, interactions[ITEM].unique())
        return interactions, items, [*bad, bad_items]
