"""RPG: an item becomes many codes in no order, read as ONE token or as a set, and written all at once.

Hou et al., "Generating Long Semantic IDs in Parallel for Recommendation", KDD 2025, arXiv 2506.05781. Reference
implementation: github.com/facebookresearch/RPG_KDD2025. As with every method here the language model is a stock one
with a prompt of words; the authors train a two-layer GPT-2 from nothing, with a dropout of a half.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec.assets import ItemAssets, ItemCodes, PQCodes
from genrec.backbones import Backbone, Context, Memory
from genrec.data import Catalog
from genrec.decoding import top_codes
from genrec.decoding.code_sums import narrow
from genrec.decoding.graph import GraphSearch, ItemGraph
from genrec.devices import full_precision, widen
from genrec.errors import GenrecError
from genrec.identifiers import ItemIdentifier, all_words, drawn_like, table
from genrec.losses import slot_log_probs, slot_loss
from genrec.types import PAD, Ranking, Tokens
from genrec_baselines.numbering import with_new

History = Literal["mean", "set"]
Heads = Literal["blocks", "queries"]


class RPG(ItemIdentifier):
    """m codes per item, predicted independently of each other; an item's score is the mean of their log-probabilities.

    Args:
        codes: how embeddings become codes; None is 32 digits of 256 by rotated product quantisation, fitted to the
            items of the training split, as in the authors' code.
        history: "mean" reads an item as the mean of its codes' embeddings (Section 3.2); "set" as a set of all of them,
            which makes prompts m times as long.
        heads: "blocks" maps ONE state to every digit's, by a residual block each (as the authors do); "queries" writes
            m learned queries, one set.
        temperature: of the softmax over a digit's codes, whose logits are cosines.
        search: walk a graph of similar items (Section 3.3) instead of scoring them all; for large catalogues.

    Raises:
        GenrecError: if ``history`` or ``heads`` is something else, or the temperature is not above 0.
    """

    codes: Tensor

    def __init__(
        self,
        codes: ItemCodes | None = None,
        history: History = "mean",
        heads: Heads = "blocks",
        temperature: float = 0.07,
        search: GraphSearch | None = None,
    ) -> None:
        super().__init__()
        for name, value, values in (("history", history, get_args(History)), ("heads", heads, get_args(Heads))):
            if value not in values:
                raise GenrecError(f"RPG: {name} is {' or '.join(values)}, not `{value}`")
        if not temperature > 0:
            raise GenrecError(f"RPG needs a temperature above 0, got {temperature}")
        self.recipe = codes or PQCodes(fit_items="warm")
        self.history = history
        self.heads = heads
        self.temperature = temperature
        self.search = search
        # Saved: `embeddings` learns what these codes mean, and k-means may find others on another machine.
        self.codes = table(torch.empty(0, self.recipe.length, dtype=torch.uint8), saved=True)
        self._graph: ItemGraph | None = None

    def setup(self, catalog: Catalog, assets: ItemAssets, backbone: Backbone) -> None:
        """See `ItemIdentifier.setup`."""
        words, slots = all_words(backbone), self.recipe.length
        self.embeddings = nn.Parameter(drawn_like(words, slots, self.recipe.size))
        if self.heads == "queries":
            self.queries = nn.Parameter(drawn_like(words, slots))
        else:
            # The identity, at first.
            self.blocks = nn.Parameter(torch.zeros(slots, backbone.width, backbone.width))
            self.biases = nn.Parameter(torch.zeros(slots, 1, backbone.width))
        self.index(catalog, assets)

    def index(self, catalog: Catalog, assets: ItemAssets) -> None:
        """Name the items that have no codes yet; the graph is made anew when it is first asked for."""
        codes = with_new(self.codes, len(catalog), lambda: narrow(assets.codes(self.recipe), self.recipe.size))
        self.codes = codes.to(self.embeddings.device)
        self._graph = None

    def embed(self, items: Tensor) -> Tokens:
        """One token per item, or the set of its codes: [B, T] rows to [B, T, D] or [B, T*m, D]."""
        real, slots = items != PAD, torch.arange(self.recipe.length, device=items.device)
        rows = self.codes[items.clamp(min=0)].long() + slots * self.recipe.size
        tokens = F.embedding(rows, self.embeddings.flatten(0, 1)) * real[..., None, None]
        if self.history == "mean":
            tokens = tokens.mean(2)
            return Tokens(tokens, real, Tokens.ordered(tokens).sets)
        sets = torch.arange(items.shape[1], device=items.device).expand_as(items)
        count = self.recipe.length
        return Tokens(tokens.flatten(1, 2), real.repeat_interleave(count, 1), sets.repeat_interleave(count, 1))

    def loss(self, backbone: Backbone, context: Context, history: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The mean over digits of the cross-entropy of the right code (Section 3.2)."""
        log_probs = self._log_probs(backbone(context, self._query(backbone)))
        return {"loss": slot_loss(log_probs, self.codes[target].long())}

    def rank(self, backbone: Backbone, memory: Memory, k: int, allowed: Tensor) -> Ranking:
        """All items compared, or those that a walk comes by; items with the same codes in the order of their rows."""
        numbers = self.user_scores(backbone, memory)
        if self.search is None:
            return top_codes(numbers, self.codes, allowed, k)
        if self._graph is None:
            self._graph = ItemGraph(self.codes, F.normalize(self.embeddings.detach(), dim=2), self.search)
        return self._graph.top_k(numbers, allowed, k)

    def user_scores(self, backbone: Backbone, memory: Memory) -> Tensor:
        """What every code adds to the score of an item, [B, m, size] (`genrec.decoding.code_sums.CodeSums`)."""
        return self._log_probs(backbone.write(memory, self._query(backbone))) / self.recipe.length

    def item_codes(self) -> tuple[Tensor, Sequence[int]]:
        """See `ItemIdentifier.item_codes`."""
        return self.codes, [self.recipe.size] * self.recipe.length

    def describe(self, item: int) -> str:
        """The codes."""
        read = "one token, their mean" if self.history == "mean" else "a set of tokens"
        return f"codes {' '.join(map(str, self.codes[item].tolist()))}, in no order, read as {read}"

    def _query(self, backbone: Backbone) -> Tokens:
        """A slot per digit, or the word that opens what is written: one row for all users."""
        if self.heads == "queries":
            return Tokens.one_set(self.queries[None])
        return Tokens.ordered(backbone.words(torch.full((1, 1), backbone.start, device=self.embeddings.device)))

    def _log_probs(self, states: Tensor) -> Tensor:
        """Of every code in its digit, [B, m, size], of states [B, m or 1, D]."""
        states = widen(states)
        if self.heads == "blocks":
            with full_precision(states.device):
                mapped = torch.matmul(states.transpose(0, 1), widen(self.blocks)) + widen(self.biases)
            states = states + F.silu(mapped).transpose(0, 1)
        states, codes = F.normalize(states, dim=2), F.normalize(widen(self.embeddings), dim=2)
        return slot_log_probs(states, codes, self.temperature)
