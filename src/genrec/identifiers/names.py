"""Items as sequences of tokens: words of the language model and, where a method has them, new tokens of its own.

Token ids run over both: ``0 .. V-1`` are the model's words, ``V ..`` the new tokens. Histories, targets and beams are
put together from ids, never from text that is tokenised again: what a tokenizer does at the seams would change them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec import devices
from genrec.backbones import Backbone, Context, Memory
from genrec.decoding.grounding import first_best, inner_products
from genrec.devices import widen
from genrec.errors import GenrecError
from genrec.identifiers.tables import Tables
from genrec.types import PAD, Tokens

Normalize = Literal["full", "level", "children"]

CACHED = 2**22
"""Logits that are held at once while decoding on a CPU: 16 MiB of float32, about what its cache holds."""
MANY = 2**27
"""The same on other devices, which want large products: 512 MiB."""


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
        """
        if count > len(self.codes):
            more = torch.from_numpy(name(self.codes.cpu().numpy())).to(self.codes)
            width = max(more.shape[1], self.codes.shape[1])
            parts = (F.pad(part, (0, width - part.shape[1]), value=PAD) for part in (self.codes, more))
            self.codes = torch.cat(list(parts))
        elif count < len(self.codes):
            self.codes = self.codes[:count]

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

    def losses(self, backbone: Backbone, context: Context, target: Tensor, temperature: float = 1.0) -> Tensor:
        """The cross-entropy of every token of the targets' identifiers and of the closing word, [n]; 0 for padding.

        Args:
            backbone: the language model.
            context: the prompts.
            target: [B] rows.
            temperature: logits are divided by it.
        """
        labels = self._cut(self._closed(self.codes[target]))
        start = torch.full_like(labels[:, :1], backbone.start)
        ids = torch.cat([start, labels[:, :-1]], 1)
        tokens = Tokens.ordered(self.look_up(ids.clamp(min=0)))
        real = labels != PAD
        states = backbone(context, Tokens(tokens.embeds, real, tokens.sets))
        # The states are divided, not the logits: those are as many as the vocabulary has words.
        if self.lengths.ragged and devices.exact_sizes(labels.device):
            states, labels = states[real], labels[real]
        head = self.head(backbone)
        logits = (backbone.head_scale / temperature * states).to(head.dtype) @ head.T
        return F.cross_entropy(widen(logits).flatten(0, -2), labels.flatten(), reduction="none", ignore_index=PAD)

    def mean_loss(self, backbone: Backbone, context: Context, target: Tensor, temperature: float = 1.0) -> Tensor:
        """The mean over the targets of their summed `losses`, in units of an average identifier.

        Where all identifiers have the same length it is the mean over tokens. Where they differ, a target counts as its
        identifier's probability says, in whatever company it is learned.
        """
        return self.losses(backbone, context, target, temperature).sum() / (self.mean_length * len(target))

    @property
    def mean_length(self) -> float:
        """Tokens of an item's identifier on average, the closing word included."""
        return self.lengths.mean + 1

    def head(self, backbone: Backbone) -> Tensor:
        """Output embeddings of all tokens, [V + new, D]; see `Backbone.head`."""
        own = backbone.head()
        if not self.tokens:
            return own
        return torch.cat([own, (self.reads if backbone.tied else self.writes).to(own)])

    def writer(self, backbone: Backbone, memory: Memory, normalize: Normalize) -> TokenWriter:
        """What writes identifiers after prompts that were read."""
        return TokenWriter(self, backbone, memory, normalize)


def _log_total(logits: Tensor) -> Tensor:
    """The logarithm of the sum of exponentials, [M, 1]. Overwrites the logits: another table of theirs takes longer."""
    most = logits.amax(1, keepdim=True)
    return logits.sub_(most).exp_().sum(1, keepdim=True).log_() + most


def _tokens_of(backbone: Backbone, separator: str) -> list[int]:
    ids = backbone.tokenizer(separator, add_special_tokens=False)["input_ids"]
    if separator and not ids:
        # A sentencepiece tokenizer strips a blank that stands alone; the piece for it is there all the same.
        piece = backbone.tokenizer.get_vocab().get(separator.replace(" ", "\u2581"))
        if piece is None:
            raise GenrecError(f"the language model has no token for the separator {separator!r}: give another one")
        ids = [piece]
    return ids


class TokenWriter:
    """A language model that writes item identifiers; see `genrec.decoding.beam.Writer` and `free.FreeWriter`.

    Args:
        names: the vocabulary.
        backbone: the language model.
        memory: the prompts that it read.
        normalize: the distribution of a token is over the ``full`` vocabulary, over those that can stand at its
            ``level``, or over the ``children`` that count.
    """

    def __init__(self, names: ItemNames, backbone: Backbone, memory: Memory, normalize: Normalize) -> None:
        self.names = names
        self.backbone = backbone
        self.memory = memory
        self.normalize = normalize
        self.independent = normalize != "children"
        head = names.head(backbone)
        # Of a level only a few rows count: they alone become float32, where the model's are not.
        self.head = widen(head) if normalize == "full" else head
        self.tree = backbone.tree(memory)
        self.users = self.tree.users

    def _start(self, *shape: int) -> Tensor:
        return torch.full(shape, self.backbone.start, device=self.names.codes.device)

    def begin(self) -> Tensor:
        """See `Writer.begin`."""
        return self.tree.write(self.names.look_up(self._start(self.users, 1)))

    def write(self, tokens: Tensor, parents: Tensor) -> Tensor:
        """See `Writer.write`."""
        return self.tree.write(self.names.look_up(tokens), parents)

    def write_paths(self, paths: Tensor) -> Tensor:
        """See `Writer.write_paths`: P chains of tokens that do not see each other."""
        users, count, depth = paths.shape
        tokens = torch.cat([self._start(users, count, 1), paths.clamp(min=0)], 2)
        before = torch.arange(count * (depth + 1), device=paths.device).view(count, -1) - 1
        before[:, 0] = PAD
        query = Tokens.ordered(self.names.look_up(tokens.flatten(1)))
        states = self.backbone.write(self.memory, query, before.flatten().expand(users, -1))
        last = (paths != PAD).sum(2)[..., None, None].expand(-1, -1, 1, states.shape[2])
        return states.unflatten(1, (count, -1)).gather(2, last).squeeze(2)

    def likeliest(self, states: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """See `FreeWriter.likeliest`; over the full vocabulary."""
        parts = []
        for part in states.split(self._rows(self.head)):
            logits = inner_products(self.backbone.head_scale * widen(part), self.head).float()
            top = first_best(logits, min(count, logits.shape[1]))
            parts.append((top.values - _log_total(logits), top.indices))
        values, tokens = zip(*parts, strict=True)
        return torch.cat(values), torch.cat(tokens)

    def log_probs(self, states: Tensor, tokens: Tensor, real: Tensor, level: Tensor) -> Tensor:
        """See `Writer.log_probs`."""
        head = self.head
        if self.normalize != "full":
            head = widen(head[level])
            tokens = torch.searchsorted(level, tokens.clamp(min=0)).clamp(max=len(level) - 1)
        rows = self._rows(head)
        parts = zip(states.split(rows), tokens.split(rows), real.split(rows), strict=True)
        return torch.cat([self._log_probs(head, *part) for part in parts])

    def _rows(self, head: Tensor) -> int:
        """States whose logits are computed together."""
        return max(1, (CACHED if head.device.type == "cpu" else MANY) // len(head))

    def _log_probs(self, head: Tensor, states: Tensor, tokens: Tensor, real: Tensor) -> Tensor:
        logits = inner_products(self.backbone.head_scale * widen(states), head).float()
        chosen = logits.gather(1, tokens.clamp(min=0))
        if self.independent:
            return chosen - _log_total(logits)
        return chosen - chosen.masked_fill(~real, torch.finfo(chosen.dtype).min).logsumexp(1, keepdim=True)
