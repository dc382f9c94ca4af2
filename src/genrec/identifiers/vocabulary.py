"""What identifiers are written in: words of the language model and, where a method has them, new tokens of its own.

Token ids run over both: ``0 .. V-1`` are the model's words, ``V ..`` the new tokens. Histories, targets and beams are
put together from ids, never from text that is tokenised again: what a tokenizer does at the seams would change them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from genrec.backbones import Backbone
from genrec.devices import widen
from genrec.errors import GenrecError
from genrec.identifiers.tables import Tables

NewRows = Literal["matched", "unit", "mean"]
"""What the embeddings of new tokens begin as."""


class NewToken(NamedTuple):
    """A token that the language model does not have.

    Args:
        name: what it is called where identifiers are shown.
        like: text whose words' mean embedding it starts from; ``""`` leaves it to `first_rows`.
    """

    name: str
    like: str = ""


def all_words(backbone: Backbone) -> Tensor:
    """The embeddings [V, D] that the language model reads its own words with."""
    return backbone.words(torch.arange(len(backbone.head()), device=backbone.head().device))


@torch.no_grad()
def drawn_like(words: Tensor, *shape: int) -> Tensor:
    """First values of new embeddings, of the scale that the language model knows.

    They are drawn from a normal with the mean and standard deviation of its own words, in every dimension. A table of
    codes [m, size, D] that are read: ``drawn_like(all_words(backbone), m, size)``.

    Args:
        words: [V, D] float, `all_words`; or `Backbone.head`, for what is compared with the states that it writes.
        shape: of the embeddings, without their width.

    Returns:
        [*shape, D] float32 or more.
    """
    words = widen(words)
    return words.mean(0) + words.std(0) * torch.randn(*shape, words.shape[1], device=words.device, dtype=words.dtype)


@torch.no_grad()
def first_rows(kind: NewRows, words: Tensor, count: int) -> Tensor:
    """First values [count, D] of the rows of new tokens, float32 or more.

    Args:
        kind: "matched" to the model's words in mean and scale (`drawn_like`); "unit", drawn from a standard normal, as
            a new table of PyTorch; or the "mean" of the words, the same for all.
        words: [V, D], as for `drawn_like`.
        count: of the new tokens.
    """
    if kind == "matched":
        return drawn_like(words, count)
    words = widen(words)
    if kind == "mean":
        return words.mean(0).repeat(count, 1)
    return torch.randn(count, words.shape[1], device=words.device, dtype=words.dtype)


class Vocabulary(Tables):
    """The language model's words and, behind them, new tokens.

    Args:
        separator: text between the items of a history.
        new_rows: what the embeddings of new tokens begin as that are like no text, see `first_rows`.

    Attributes:
        words: V, the size of the model's own vocabulary; the first new token has this id.
        tokens: the new tokens.
        separator: [n] long, the words of the separator.
    """

    separator: Tensor
    words: int

    def __init__(self, separator: str = "", new_rows: NewRows = "matched") -> None:
        super().__init__()
        self.separator_text = separator
        self.new_rows: NewRows = new_rows
        self.tokens: list[NewToken] = []

    def setup(self, backbone: Backbone, tokens: Sequence[NewToken] = ()) -> None:
        """Create the embeddings of new tokens: for reading, and for writing where the model does not tie the two."""
        self.tokens = list(tokens)
        # In a tuple: the language model is no part of the identifier.
        self._backbone = (backbone,)
        backbone.writes_words()
        self.words = len(backbone.head())
        separator = _tokens_of(backbone, self.separator_text)
        self.register_buffer("separator", torch.tensor(separator, dtype=torch.long), persistent=False)
        if tokens:
            self.reads = nn.Parameter(self._initial(backbone, all_words(backbone)))
            if not backbone.tied:
                self.writes = nn.Parameter(self._initial(backbone, backbone.head()))

    @torch.no_grad()
    def _initial(self, backbone: Backbone, table: Tensor) -> Tensor:
        rows = first_rows(self.new_rows, table, len(self.tokens))
        for row, token in zip(rows, self.tokens, strict=True):
            words = backbone.tokenizer(token.like, add_special_tokens=False)["input_ids"] if token.like else []
            if words:
                row[:] = table[words].float().mean(0)
        return rows

    @property
    def backbone(self) -> Backbone:
        """The language model."""
        return self._backbone[0]

    def look_up(self, ids: Tensor) -> Tensor:
        """Embeddings [..., D] of token ids [...]."""
        backbone = self._backbone[0]
        if not self.tokens:
            return backbone.words(ids)
        own = backbone.words(ids.clamp(max=self.words - 1))
        return torch.where((ids < self.words)[..., None], own, self.reads[(ids - self.words).clamp(min=0)])

    def rows(self) -> dict[str, Tensor]:
        """The embeddings [n, D] of the new tokens: ``reads``, and ``writes`` where the model does not tie the two."""
        return dict(self.named_parameters(recurse=False))

    def head(self, backbone: Backbone) -> Tensor:
        """Output embeddings of all tokens, [V + new, D]; see `Backbone.head`."""
        own = backbone.head()
        if not self.tokens:
            return own
        return torch.cat([own, (self.reads if backbone.tied else self.writes).to(own)])


def _tokens_of(backbone: Backbone, separator: str) -> list[int]:
    ids = backbone.tokenizer(separator, add_special_tokens=False)["input_ids"]
    if separator and not ids:
        # A sentencepiece tokenizer strips a blank that stands alone; the piece for it is there all the same.
        piece = backbone.tokenizer.get_vocab().get(separator.replace(" ", "\u2581"))
        if piece is None:
            raise GenrecError(f"the language model has no token for the separator {separator!r}: give another one")
        ids = [piece]
    return ids
