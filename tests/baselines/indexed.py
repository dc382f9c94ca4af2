"""An identifier of new tokens on a tiny language model, with what tests look at."""

from __future__ import annotations

from pathlib import Path

from genrec.data import Dataset
from genrec.decoding.trie import Trie
from genrec.identifiers import TokenSequence
from genrec.testing import HISTORY, TARGET
from genrec.types import PAD

from .textual import Textual


class Indexed(Textual):
    """An identifier that was set up on a data set, without any embeddings.

    Args:
        identifier: any token sequence that needs none.
        dataset: its items.
        folder: where assets are kept.
        kind: of the language model, "t5" or "causal".
    """

    def __init__(self, identifier: TokenSequence, dataset: Dataset, folder: Path, kind: str = "t5") -> None:
        super().__init__(identifier, dataset, folder, kind, text=None)

    @property
    def names(self) -> list[str]:
        """The identifiers of all items as people read them."""
        return [self.identifier.names.show(item) for item in range(len(self.catalog))]

    @property
    def codes(self) -> list[tuple[int, ...]]:
        """The identifiers of all items as numbers of new tokens."""
        names = self.identifier.names
        return [tuple(token - names.words for token in row if token != PAD) for row in names.codes.tolist()]

    def check(self) -> None:
        """Every identifier is of new tokens, belongs to one item, and can be told from those that begin as it does."""
        assert len(set(self.codes)) == len(self.catalog) == len(self.codes)
        assert {token for code in self.codes for token in code} <= set(range(len(self.identifier.names.tokens)))
        Trie(self.identifier.names.paths())

    def check_learns(self) -> None:
        """Every item is ranked, and after some steps what the users take next is first."""
        items = len(self.catalog)
        assert self.rank(HISTORY, items).items[0].sort(1).values.tolist() == [list(range(items))] * len(HISTORY)
        losses = self.learn(HISTORY, TARGET, 60)
        assert losses[-1] < 0.2 * losses[0]
        assert self.rank(HISTORY, 1).items[0, :, 0].tolist() == TARGET.tolist()


def common(first: tuple[int, ...], second: tuple[int, ...]) -> int:
    """How many elements two sequences begin with together."""
    shared = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        shared += 1
    return shared


def begins_another(codes: list[tuple[int, ...]]) -> bool:
    """Whether a code is the beginning of another."""
    known = set(codes)
    return any(code[:length] in known for code in codes for length in range(1, len(code)))
