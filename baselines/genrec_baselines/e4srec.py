"""E4SRec: an item becomes ONE token, its frozen collaborative vector; a linear head scores every item at once.

Li et al., "E4SRec: An Elegant Effective Efficient Extensible Solution of Large Language Models for Sequential
Recommendation", 2023, arXiv 2312.02443. Reference implementation: github.com/HestiaSky/E4SRec. Unlike it, the head has
no output for padding, padding takes no position, and items of the history stay rankable.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genrec.assets import Frequency, ItemAssets
from genrec.backbones import Backbone, Context, Memory
from genrec.data import Catalog
from genrec.decoding.grounding import inner_products, items_at_once, top_k_in_parts
from genrec.identifiers import ItemIdentifier
from genrec.identifiers.negatives import NegativeSampler, sampler_of_items
from genrec.identifiers.rows import joined_rows
from genrec.identifiers.tables import table
from genrec.losses import Negatives, linear_cross_entropy, sampled_cross_entropy
from genrec.types import PAD, Ranking, Tokens

HEAD_STD = 0.02


class E4SRec(ItemIdentifier):
    """One ordered token per item in, one softmax over the catalogue out; the prompt is read once, nothing is generated.

    The head has a row per item: it is the one parameter that grows with the catalogue, and a checkpoint holds the rows
    of the data set it was trained on. The row of a cold item is never right in training, so all it learns is to be
    pushed away together with the other cold ones; the order among them is that of their initialisation. An item that is
    added later gets such a row too, see `index`: it can be recommended, but nothing is known of it until the head is
    trained again.
    """

    reads_text = False
    seed: Tensor

    def __init__(self) -> None:
        super().__init__()
        self._negatives: Negatives | None = None
        self.sampler: NegativeSampler | None = None

    def learn_from(self, negatives: Negatives) -> None:
        """See `ItemIdentifier.learn_from`: they are items."""
        self._negatives = negatives

    def setup(self, catalog: Catalog, assets: ItemAssets, backbone: Backbone) -> None:
        """See `ItemIdentifier.setup`."""
        self.sampler = sampler_of_items(self._negatives, assets)
        self.projection = nn.Linear(assets.cf.shape[1], backbone.width)
        self.head = nn.Linear(backbone.width, len(catalog), bias=False)
        nn.init.normal_(self.head.weight, std=HEAD_STD)
        # Saved: a loaded model must draw the rows of added items as this one does.
        self.register_buffer("seed", torch.randint(2**31, ()))
        self.index(catalog, assets)

    def index(self, catalog: Catalog, assets: ItemAssets) -> None:
        """Keep the frozen vectors, and give items that were added after training the head row of an untrained item.

        That is what the rows of cold items are: an initialisation of its own, drawn at random (the seed of the run
        decides), moved as the cold rows were moved on average. Without cold items, as all rows were.
        """
        weight = self.head.weight.detach()
        self.cf = table(assets.cf.to(weight))
        generator = torch.Generator().manual_seed(int(self.seed))
        # Row by row: what an item gets does not depend on how many come after it.
        own = [torch.randn(weight.shape[1], generator=generator) for _ in range(len(catalog) - len(weight))]
        self.added = table(weight.new_empty(0, weight.shape[1]))
        if own:
            cold = torch.from_numpy(assets.built(Frequency())["counts"] == 0).to(weight.device)
            untrained = weight[cold] if cold.any() else weight
            self.added = untrained.mean(0) + HEAD_STD * torch.stack(own).to(weight)

    def embed(self, items: Tensor) -> Tokens:
        """One token per item: [B, T] rows to [B, T, D]."""
        real = items != PAD
        tokens = self.projection(self.cf[items.clamp(min=0)]) * real[..., None]
        return Tokens(tokens, real, Tokens.ordered(tokens).sets)

    def loss(self, backbone: Backbone, context: Context, history: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Cross-entropy of the next item over all items that the head knows, or over `learn_from`'s in training."""
        states = backbone(context, self._query(backbone))[:, 0]
        weight = states.new_full((len(target),), 1 / len(target))
        if self.training and self.sampler is not None:
            drawn = self.sampler.draw(target)
            return {"loss": sampled_cross_entropy(states, self.head.weight, target, weight, drawn)}
        return {"loss": linear_cross_entropy(states, self.head.weight, target, weight)}

    def rank(self, backbone: Backbone, memory: Memory, k: int, allowed: Tensor) -> Ranking:
        """The logits of all items, those that were added later behind the others."""
        users, tables = self.user_vectors(backbone, memory), (self.head.weight, self.added)

        def scores(start: int, stop: int) -> Tensor:
            return inner_products(users, joined_rows(*tables, slice(start, stop)))

        return top_k_in_parts(scores, items_at_once(users, sum(map(len, tables))), allowed, k)

    def item_vectors(self) -> Tensor:
        """The rows of the head, then those of items that were added, [N, D]."""
        return torch.cat([self.head.weight, self.added]) if len(self.added) else self.head.weight

    def user_vectors(self, backbone: Backbone, memory: Memory) -> Tensor:
        """The state that the head scores, [B, D]."""
        return backbone.write(memory, self._query(backbone))[:, 0]

    def describe(self, item: int) -> str:
        """What the token is made of, how long that vector is, and which row of the head scores the item."""
        source = f"frozen collaborative vector of {self.cf.shape[1]} numbers (length {float(self.cf[item].norm()):.3g})"
        row = f"row {item} of the head" if item < len(self.head.weight) else "a head row that was never trained"
        return f"1 token of width {len(self.projection.bias)}, a linear map of its {source}; scored by {row}"

    def _query(self, backbone: Backbone) -> Tokens:
        """The word that opens what is written, for every user, [1, 1, D]."""
        return Tokens.ordered(backbone.words(torch.full((1, 1), backbone.start, device=self.cf.device)))
