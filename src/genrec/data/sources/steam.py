"""Reviews of games."""

from __future__ import annotations

from pathlib import Path

from genrec.data.download import RemoteFile
from genrec.data.interactions import ITEM
from genrec.data.preparing import Repeats
from genrec.data.raw import steam
from genrec.data.sources.public import Public, Read
from genrec.data.splits import Split


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
        repeats: see `Public`.
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
        repeats: Repeats = "first",
    ) -> None:
        super().__init__(k_core, split, mirror, files, expected, repeats)
        self.item_core = item_core

    def remote_files(self) -> list[RemoteFile]:
        """The reviews and the games."""
        place = "https://cseweb.ucsd.edu/~wckang"
        return [RemoteFile(f"{place}/steam_reviews.json.gz"), RemoteFile(f"{place}/steam_games.json.gz")]

    def read(self, files: list[Path], scratch: Path) -> Read:
        """See `Public.read`."""
        interactions, bad_reviews = steam.reviews(files[0])
        items, bad_games = steam.games(files[1], interactions[ITEM].unique())
        return interactions, items, (bad_reviews, bad_games)
