"""Items as sequences of tokens: words of the language model and, where a method has them, new tokens of its own.

Token ids run over both: ``0 .. V-1`` are the model's words, ``V ..`` the new tokens. Histories, targets and beams are
put together from ids, never from text that is tokenised again: what a tokenizer does at the seams would change them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec import devices
from genrec.backbones import Backbone, Context
from genrec.errors import GenrecError
from genrec.identifiers.tables import Tables
from genrec.layers import take_rows
from genrec.losses import linear_cross_entropy
from genrec.types import PAD, Tokens


class NewToken(NamedTuple):
    """A token that the language model does not have.

    Args:
        name: what it is called where identifiers are shown.
        like: text whose words' mean embedding it starts from; ``""`` draws it at random.
    """

    name: str
    like: str = ""


class _Lengths(NamedTuple):
    """How long identifiers are.

    Args:
        ragged: whether they differ in length, so that only a token of its own tells where one ends.
        mean: tokens of an identifier on average.
    """

    ragged: bool
    mean: float


class ItemNames(Tables):
    """The token sequence of every item, how it is read in a history, and how it is learned as a target.

    Args:
        separator: text between the items of a history.

    Attributes:
        codes: [N, L] long, the items' token ids, `PAD` behind shorter ones. They are saved with the parameters: a model
            that has learned identifiers keeps them.
        words: V, the size of the model's own vocabulary; the first new token has this id.
        tokens: the new tokens.
    """

    tables = saved_tables = ("codes",)
    codes: Tensor
    separator: Tensor
    words: int

    def __init__(self, separator: str = "") -> None:
        super().__init__()
        self.separator_text = separator
        self.tokens: list[NewToken] = []
        self._known: tuple[Tensor, _Lengths] | None = None
        self.codes = torch.empty(0, 0, dtype=torch.long)

    def setup(self, backbone: Backbone, tokens: Sequence[NewToken] = ()) -> None:
        """Create the embeddings of new tokens: for reading, and for writing where the model does not tie the two.

        They are drawn from a normal with the mean and standard deviation of the model's own, in every dimension.
        """
        self.tokens = list(tokens)
        # In a tuple: the language model is no part of the identifier.
        self._backbone = (backbone,)
        backbone.writes_words()
        self.words = len(backbone.head())
        separator = _tokens_of(backbone, self.separator_text)
        self.register_buffer("separator", torch.tensor(separator, dtype=torch.long), persistent=False)
        if tokens:
            words = torch.arange(self.words, device=backbone.head().device)
            self.reads = nn.Parameter(self._initial(backbone, backbone.words(words)))
            if not backbone.tied:
                self.writes = nn.Parameter(self._initial(backbone, backbone.head()))

    @torch.no_grad()
    def _initial(self, backbone: Backbone, table: Tensor) -> Tensor:
        table = table.float()
        rows = table.mean(0) + table.std(0) * torch.randn(len(self.tokens), table.shape[1], device=table.device)
        for row, token in zip(rows, self.tokens, strict=True):
            words = backbone.tokenizer(token.like, add_special_tokens=False)["input_ids"] if token.like else []
            if words:
                row[:] = table[words].mean(0)
        return rows

    def extend(self, count: int, name: Callable[[np.ndarray], np.ndarray]) -> None:
        """Let ``name`` name the items that have no identifier yet, until there are as many as ``count``.

        Args:
            count: N. Identifiers of items beyond it are dropped.
            name: gets the identifiers that there are, [n, L], and returns those of the items behind them.

        Raises:
            GenrecError: if there are tokens among them that do not exist.
        """
        if count > len(self.codes):
            more = torch.from_numpy(name(self.codes.cpu().numpy())).to(self.codes)
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
        return self._closed(self.codes)

    def _closed(self, codes: Tensor) -> Tensor:
        """[..., L] ids to [..., L + 1] with the closing word behind the last."""
        longer = F.pad(codes, (0, 1), value=PAD)
        length = (codes != PAD).sum(-1, keepdim=True)
        return longer.scatter(-1, length, self._backbone[0].end)

    def show(self, item: int) -> str:
        """An item's identifier for people to read, on one line."""
        ids, shown = self.codes[item][self.codes[item] != PAD].tolist(), []
        # Words side by side are one text, with the blanks that belong between them.
        for own, run in groupby(ids, lambda token: token < self.words):
            if own:
                shown.append(str(self._backbone[0].tokenizer.decode(list(run))))
            else:
                shown += [self.tokens[token - self.words].name for token in run]
        return " ".join("".join(shown).splitlines())

    def look_up(self, ids: Tensor) -> Tensor:
        """Embeddings [..., D] of token ids [...]."""
        backbone = self._backbone[0]
        if not self.tokens:
            return backbone.words(ids)
        own = backbone.words(ids.clamp(max=self.words - 1))
        return torch.where((ids < self.words)[..., None], own, self.reads[(ids - self.words).clamp(min=0)])

    def embed(self, items: Tensor) -> Tokens:
        """The tokens of histories: [B, T] rows (`PAD` = -1) to [B, T*K, D]; separators stand between two items."""
        ids = self._cut(self.codes[items.clamp(min=0)])
        return self.join(self.look_up(ids.clamp(min=0)), (ids != PAD) & (items != PAD)[..., None])

    def _cut(self, ids: Tensor) -> Tensor:
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

    def mean_loss(
        self,
        backbone: Backbone,
        context: Context,
        target: Tensor,
        temperature: float = 1.0,
        levels: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """The mean over the targets of the cross-entropies of their tokens, in units of an average identifier.

        Where all identifiers have the same length it is the mean over tokens. Where they differ, a target counts as its
        identifier's probability says, in whatever company it is learned.

        Args:
            backbone: the language model.
            context: the prompts.
            target: [B] rows.
            temperature: logits are divided by it.
            levels: the tokens that can stand at every place of `paths`, rising; a token is then told from those of its
                place. None tells it from the whole vocabulary, and the closing word is learned behind all identifiers.
        """
        closed = levels is None or self.lengths.ragged
        labels = self._cut(self._closed(self.codes[target]) if closed else self.codes[target])
        start = torch.full_like(labels[:, :1], backbone.start)
        ids = torch.cat([start, labels[:, :-1]], 1)
        tokens = Tokens.ordered(self.look_up(ids.clamp(min=0)))
        real = labels != PAD
        states = backbone(context, Tokens(tokens.embeds, real, tokens.sets))
        # The states are divided, not the logits: those are as many as the vocabulary has words.
        states = backbone.head_scale / temperature * states
        weight = real / ((self.lengths.mean + closed) * len(target))
        head = self.head(backbone)
        if levels is None:
            if self.lengths.ragged and devices.exact_sizes(labels.device):
                states, labels, weight = states[real], labels[real], weight[real]
            return linear_cross_entropy(
                states.flatten(0, -2), head, labels.flatten().clamp(min=0), weight.to(states).flatten()
            )
        parts = []
        for place, level in enumerate(levels[: labels.shape[1]]):
            right = torch.searchsorted(level, labels[:, place].contiguous()).clamp(max=len(level) - 1)
            part = take_rows(head, level)
            parts.append(linear_cross_entropy(states[:, place], part, right, weight[:, place].to(states)))
        return torch.stack(parts).sum()

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
