"""Items as sequences of tokens: which, how they are read in a history, and how they are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genrec import devices
from genrec.errors import GenrecError
from genrec.identifiers.tables import table
from genrec.identifiers.vocabulary import NewRows, Vocabulary
from genrec.types import PAD, Tokens


class _Lengths(NamedTuple):
    """How long identifiers are.

    Args:
        ragged: whether they differ in length, so that only a token of its own tells where one ends.
        mean: tokens of an identifier on average.
    """

    ragged: bool
    mean: float


class ItemNames(Vocabulary):
    """The token sequence of every item, and how it is read in a history.

    Args:
        separator: text between the items of a history.
        new_rows: see `Vocabulary`.

    Attributes:
        codes: [N, L] long, the items' token ids, `PAD` behind shorter ones. They are saved with the parameters: a model
            that has learned identifiers keeps them.
    """

    def __init__(self, separator: str = "", new_rows: NewRows = "matched") -> None:
        super().__init__(separator, new_rows)
        self._known: tuple[Tensor, _Lengths] | None = None
        self.codes = table(torch.empty(0, 0, dtype=torch.long), saved=True)

    def extend(self, count: int, name: Callable[[np.ndarray], np.ndarray]) -> None:
        """Let ``name`` name the items that have no identifier yet, until there are as many as ``count``.

        Args:
            count: N. Identifiers of items beyond it are dropped.
            name: gets the identifiers that there are, [n, L], and returns those of the items behind them.

        Raises:
            GenrecError: if what it returns is no table of theirs, or there are tokens in it that do not exist.
        """
        if count > len(self.codes):
            named = name(self.codes.cpu().numpy())
            _check(named, len(self.codes), count)
            more = torch.from_numpy(named).to(self.codes)
            width = max(more.shape[1], self.codes.shape[1])
            parts = (F.pad(part, (0, width - part.shape[1]), value=PAD) for part in (self.codes, more))
            self.codes = torch.cat(list(parts))
        elif count < len(self.codes):
            self.codes = self.codes[:count]
        if self.codes.numel() and not PAD <= self.codes.min() <= self.codes.max() < self.words + len(self.tokens):
            raise GenrecError("the identifiers have tokens that the language model does not have: they are another's")

    @property
    def lengths(self) -> _Lengths:
        """What there is to know of the identifiers' lengths; looked up once, for as long as they are the same."""
        if self._known is None or self._known[0] is not self.codes:
            lengths = (self.codes != PAD).sum(1).cpu().numpy()
            ragged = bool((lengths < self.codes.shape[1]).any())
            self._known = self.codes, _Lengths(ragged, float(lengths.mean()) if len(lengths) else 0.0)
        return self._known[1]

    def paths(self) -> Tensor:
        """What is decoded, [N, L]: the identifiers, each with the closing word if they differ in length."""
        if not self.lengths.ragged:
            return self.codes
        return self.closed(self.codes)

    def closed(self, codes: Tensor) -> Tensor:
        """[..., L] ids to [..., L + 1] with the closing word behind the last."""
        longer = F.pad(codes, (0, 1), value=PAD)
        length = (codes != PAD).sum(-1, keepdim=True)
        return longer.scatter(-1, length, self.backbone.end)

    def show(self, item: int) -> str:
        """An item's identifier for people to read, on one line."""
        ids, shown = self.codes[item][self.codes[item] != PAD].tolist(), []
        # Words side by side are one text, with the blanks that belong between them.
        for own, run in groupby(ids, lambda token: token < self.words):
            if own:
                shown.append(str(self.backbone.tokenizer.decode(list(run))))
            else:
                shown += [self.tokens[token - self.words].name for token in run]
        return " ".join("".join(shown).splitlines())

    def spelled(self, ids: Sequence[int]) -> list[str]:
        """Every token by its name: words as the tokenizer calls its pieces."""
        pieces = self.backbone.tokenizer.convert_ids_to_tokens([token for token in ids if token < self.words])
        words = iter(pieces)
        return [next(words) if token < self.words else self.tokens[token - self.words].name for token in ids]

    def embed(self, items: Tensor) -> Tokens:
        """The tokens of histories: [B, T] rows (`PAD` = -1) to [B, T*K, D]; separators stand between two items."""
        ids = self.cut(self.codes[items.clamp(min=0)])
        return self.join(self.look_up(ids.clamp(min=0)), (ids != PAD) & (items != PAD)[..., None])

    def cut(self, ids: Tensor) -> Tensor:
        """Identifiers [..., L] without the columns that are padding in all of them, if that may be looked at."""
        if not self.lengths.ragged or not ids.numel() or not devices.exact_sizes(ids.device):
            return ids
        return ids[..., : int((ids != PAD).sum(-1).max())]

    def join(self, embeds: Tensor, mask: Tensor) -> Tokens:
        """Histories out of the tokens of their items, with separators between two.

        Args:
            embeds: [B, T, K, D].
            mask: [B, T, K] bool, the real tokens; an item without any is padding.
        """
        if len(self.separator):
            real = mask.any(2)
            between = real & (real.long().cumsum(1) > 1)
            words = self.look_up(self.separator).expand(*embeds.shape[:2], -1, -1)
            embeds = torch.cat([words, embeds], 2)
            mask = torch.cat([between[..., None].expand(-1, -1, len(self.separator)), mask], 2)
        tokens = Tokens.ordered(embeds.flatten(1, 2))
        return Tokens(tokens.embeds, mask.flatten(1), tokens.sets)


def _check(named: Any, known: int, count: int) -> None:
    """Look at the identifiers that a class returns for the items from row `known` on, up to `count`."""
    table = isinstance(named, np.ndarray) and named.ndim == 2 and np.issubdtype(named.dtype, np.integer)
    if not table or len(named) != count - known:
        given = f"{named.dtype} {list(named.shape)}" if hasattr(named, "dtype") else "no array"
        raise GenrecError(
            f"`name_items` returns an array of token ids, int64 [{count - known}, L], a row for each item from row "
            f"{known} on, not {type(named).__name__} ({given})"
        )
    real = named != PAD
    wrong = ~real.any(1) | (real[:, :-1] < real[:, 1:]).any(1)
    if wrong.any():
        raise GenrecError(
            f"the identifier of item {known + int(wrong.argmax())} is empty, or has padding ({PAD}) before a token: "
            "padding stands behind"
        )
