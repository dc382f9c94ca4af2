"""SETRec: an item becomes a SET of N+1 continuous tokens, one collaborative and N semantic, all written at once.

Lin et al., "Order-agnostic Identifier for Large Language Model-based Generative Recommendation", SIGIR 2025,
arXiv 2502.10833. Reference implementation: github.com/Linxyhaha/SETRec. Where the two differ, this is the paper.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from genrec import devices
from genrec.assets import ItemAssets
from genrec.backbones import Backbone, Context, Memory
from genrec.data import Catalog
from genrec.decoding.grounding import inner_products, items_at_once, top_k_of_each, top_products
from genrec.devices import full_precision
from genrec.errors import GenrecError, at_least
from genrec.identifiers.autoencoder import AutoEncoder
from genrec.identifiers.base import ItemIdentifier
from genrec.identifiers.linear_tokens import Items, LinearTokens, beside, item_vectors
from genrec.identifiers.negatives import NegativeSampler, sampler_of_items
from genrec.identifiers.rows import Encoded, distinct_rows, rising_rows, take_rows
from genrec.identifiers.tables import table
from genrec.losses import Negatives, linear_cross_entropy
from genrec.types import ORDERED, PAD, Ranking, Tokens


class SETRec(ItemIdentifier):
    """Order-agnostic sets of tokens; token 0 is the collaborative one, if there is one (Section 3).

    The paper's ablations are arguments: ``n_semantic=0`` (w/o Sem), ``use_cf=False`` (w/o CF),
    ``learned_queries=False`` (w/o Query), ``sparse_attention=False`` (w/o SA).

    Args:
        n_semantic: N, the semantic tokens of an item.
        use_cf: whether an item has a collaborative token.
        alpha: weight of the reconstruction loss (Eq. 8).
        betas: semantic strengths to try at grounding (Eq. 7); the best on validation is kept. One value fixes it.
        sparse_attention: the tokens of an item share a position and do not see each other; False makes them ordinary,
            ordered tokens.
        blind: the tokens of an item in a history do not see each other; False is the release, where they share a
            position and do.
        learned_queries: train the query vectors; False freezes them at random values.
        standardize_text: give every text feature zero mean and unit variance over the catalogue, so that the
            reconstruction loss has the scale of 1; False takes the embeddings as they come, as the release does.
        query_std: of the normal distribution queries are drawn from; the release's with Qwen is 1.

    Raises:
        GenrecError: if an item would have no token at all, or a beta is outside 0..1.
    """

    beta: Tensor
    text_mean: Tensor
    text_std: Tensor

    def __init__(
        self,
        n_semantic: int = 4,
        use_cf: bool = True,
        alpha: float = 0.7,
        betas: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
        sparse_attention: bool = True,
        blind: bool = True,
        learned_queries: bool = True,
        standardize_text: bool = False,
        query_std: float = 0.02,
    ) -> None:
        super().__init__()
        if n_semantic < 0 or n_semantic + use_cf < 1:
            raise GenrecError(f"SETRec needs at least one token per item, got n_semantic={n_semantic}, use_cf={use_cf}")
        if not betas or not all(0 <= beta <= 1 for beta in betas):
            raise GenrecError(f"SETRec needs betas between 0 and 1, got {list(betas)}")
        at_least(0, "SETRec", alpha=alpha, query_std=query_std)
        self.n_semantic = n_semantic
        self.reads_text = n_semantic > 0
        self.use_cf = use_cf
        self.alpha = alpha
        self.betas = tuple(betas) if use_cf and n_semantic else (0.5,)
        self.sparse_attention = sparse_attention
        self.blind = blind
        self.learned_queries, self.query_std = learned_queries, query_std
        self.standardize_text = standardize_text
        self._encoded: Encoded | None = None
        self._negatives: Negatives | None = None
        self.sampler: NegativeSampler | None = None

    @property
    def n_tokens(self) -> int:
        """K, the tokens of an item."""
        return self.use_cf + self.n_semantic

    def learn_from(self, negatives: Negatives) -> None:
        """See `ItemIdentifier.learn_from`: they are items."""
        self._negatives = negatives

    def setup(self, catalog: Catalog, assets: ItemAssets, backbone: Backbone) -> None:
        """See `ItemIdentifier.setup`."""
        self.sampler = sampler_of_items(self._negatives, assets)
        if self.use_cf:
            self.cf_projection = nn.Linear(assets.cf.shape[1], backbone.width)
        if self.n_semantic:
            self.autoencoder = AutoEncoder(assets.text.shape[1], self.n_semantic, backbone.width)
            # Saved: items added later must be scaled as those of the training were.
            mean, std = torch.zeros(assets.text.shape[1]), torch.ones(assets.text.shape[1])
            if self.standardize_text:
                mean, std = assets.text.mean(0), assets.text.std(0).clamp(min=1e-6)
            self.register_buffer("text_mean", mean)
            self.register_buffer("text_std", std)
        queries = torch.randn(self.n_tokens, backbone.width) * self.query_std
        self.queries = nn.Parameter(queries, requires_grad=self.learned_queries)
        self.register_buffer("beta", torch.tensor(self.betas[len(self.betas) // 2]))
        self.index(catalog, assets)

    def index(self, catalog: Catalog, assets: ItemAssets) -> None:
        """Keep the frozen embeddings [N, .], and the token corpus [N, K, D] or what stands for it (`item_vectors`)."""
        if len(self.betas) == 1:
            # One value fixes it, also where the checkpoint of a training brought the beta that its validation chose.
            self.choose(self.betas[0])
        if self.use_cf:
            self.cf = table(assets.cf.to(self.queries))
        if self.n_semantic:
            text = assets.text.to(self.queries)
            # Without a copy, where there is nothing to be scaled: it may be larger than all else.
            self.text = table((text - self.text_mean).div_(self.text_std) if self.standardize_text else text)
        # What was made of other parameters goes first: there is no room for two. Vectors are made when asked for.
        self.corpus = self.vectors = table(self.queries.new_empty(0))
        self._whole = len(catalog) * self.queries.numel() <= devices.WHOLE
        if self._whole:
            with torch.no_grad(), full_precision(self.queries.device):
                self.corpus = table(self.queries.new_empty(len(catalog), *self.queries.shape))
                for part in self._linear_tokens(kept=False)[-1].parts(self.queries.numel()):
                    self.corpus[part] = self._encode(part)

    def _encode(self, rows: Items | None = None) -> Tensor:
        """The tokens of items [n] from the current parameters, [n, K, D]; None encodes all."""
        parts = []
        if self.use_cf:
            parts.append(self.cf_projection(self.cf if rows is None else self.cf[rows]).unsqueeze(-2))
        if self.n_semantic:
            parts.append(self.autoencoder.encode(self.text if rows is None else self.text[rows]))
        return torch.cat(parts, -2)

    def _known(self, items: Tensor) -> Encoded:
        """The tokens of at least these items [...]; while evaluating, what `index` keeps as far as it keeps it."""
        if self._whole and not (self.training and self.sampler):
            return Encoded(None, self._encode() if self.training else self.corpus)
        if self.training:
            # What an evaluation made is of no use here, and large.
            self.vectors = self.queries.new_empty(0)
        rows = rising_rows(items)
        with full_precision(items.device):
            return Encoded(rows, self._encode(rows))

    def embed(self, items: Tensor) -> Tokens:
        """See `ItemIdentifier.embed`.

        A training step encodes the catalogue once, here, or the items of the histories where the loss does not need
        all tokens at once: the loss that follows takes them over.
        """
        real, rows = items != PAD, items.clamp(min=0)
        known = self._known(rows)
        if self.training:
            self._encoded = known if torch.is_grad_enabled() else None
        tokens = take_rows(known.tokens, known.places(rows)) * real[..., None, None]
        number = torch.arange(items.shape[1], device=items.device) if self.sparse_attention else ORDERED
        sets = torch.zeros_like(items) + number
        found = Tokens(
            tokens.flatten(1, 2), real.repeat_interleave(self.n_tokens, 1), sets.repeat_interleave(self.n_tokens, 1)
        )
        return found if self.blind else found.seeing()

    def loss(self, backbone: Backbone, context: Context, history: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Eq. 8: mean cross-entropy of the slots over the whole catalogue, plus alpha times the reconstruction.

        In training over `learn_from`'s negatives, where there are any.
        """
        known, self._encoded = self._encoded if self.training else None, None
        known = self._known(history.clamp(min=0)) if known is None else known
        written = backbone(context, self._query())
        if known.rows is None:
            weight = written.new_full((len(target),), 1 / (self.n_tokens * len(target)))
            slots = zip(written.unbind(1), known.tokens.unbind(1), strict=True)
            parts = [linear_cross_entropy(states, tokens, target, weight) for states, tokens in slots]
            generation = torch.stack(parts).sum()
        else:
            drawn = self.sampler.draw(target) if self.sampler and self.training else None
            kinds = self._linear_tokens(kept=not self.training)
            parts = [tokens.loss(own, target, drawn) for tokens, own in beside(kinds, written)]
            generation = torch.stack(parts).sum() / (self.n_tokens * len(target))
        losses = {"loss": generation, "generation": generation}
        if self.n_semantic:
            losses["reconstruction"] = self._reconstruction(history, known)
            losses["loss"] = generation + self.alpha * losses["reconstruction"]
        return losses

    def _linear_tokens(self, kept: bool) -> list[LinearTokens]:
        """The collaborative token and the semantic ones as linear maps: of `item_vectors`, or of vectors made anew."""
        found, items = [], len(self.cf if self.use_cf else self.text)
        if self.use_cf:
            map_ = self.cf_projection
            vectors = lambda part: self.cf[part]  # noqa: E731
            found.append(LinearTokens(map_.weight[None], map_.bias[None], vectors, items, self.cf.shape[1]))
        if self.n_semantic:
            weight, bias = self.autoencoder.last()
            width = weight.shape[2]
            of_kept = lambda part: self.item_vectors()[part, -width - 1 : -1]  # noqa: E731
            anew = lambda part: self.autoencoder.features(self.text[part])  # noqa: E731
            found.append(LinearTokens(weight, bias, of_kept if kept else anew, items, self.text.shape[1]))
        return found

    def _reconstruction(self, history: Tensor, known: Encoded) -> Tensor:
        """Eq. 4: of every target the mean error over the items of its history, 0 where that is empty; then their mean.

        Only the items of the histories are decoded, as far as that is known.
        """
        real, items = history != PAD, history.clamp(min=0)
        rows, place = distinct_rows(items, len(self.text)) if known.rows is None else (known.rows, known.places(items))
        text, tokens = self.text, known.tokens[:, self.n_tokens - self.n_semantic :]
        if rows is not None:
            text = text[rows]
            tokens = take_rows(tokens, rows) if known.rows is None else tokens
        errors = (self.autoencoder.decode(tokens) - text).square().mean(1)
        return ((errors[place] * real).sum(1) / real.sum(1).clamp(min=1)).mean()

    def _query(self) -> Tokens:
        """The same queries for every user, [1, K, D]."""
        return Tokens.one_set(self.queries[None])

    def choose(self, value: float) -> None:
        """Keep a beta."""
        self.beta.fill_(value)

    def rank(self, backbone: Backbone, memory: Memory, k: int, allowed: Tensor) -> Ranking:
        """Eq. 7 with the beta that was chosen, as one inner product in the concatenated space of all dimensions."""
        return top_products(self.user_vectors(backbone, memory), self.item_vectors(), allowed, k)

    def item_vectors(self) -> Tensor:
        """The token corpus as one vector per item, [N, K*D] (`genrec.decoding.vector_index.InnerProducts`).

        Where that would be too large (`genrec.devices.WHOLE`), what tokens are linear maps of, and a 1 for each map's
        constant: [N, d].
        """
        if self._whole:
            return self.corpus.flatten(1)
        if not len(self.vectors):
            with torch.no_grad(), full_precision(self.queries.device):
                self.vectors = item_vectors(self._linear_tokens(kept=False))
        return self.vectors

    def user_vectors(self, backbone: Backbone, memory: Memory) -> Tensor:
        """What was written, every token times its weight in Eq. 7, as one vector per user, [B, K*D] or [B, d]."""
        written = backbone.write(memory, self._query())
        return torch.cat(self._users(written * self._weights(self.beta)[:, None]), 1)

    def _users(self, written: Tensor) -> list[Tensor]:
        """The users' vectors, those of the collaborative and of the semantic tokens apart."""
        if self._whole:
            return [part.flatten(1) for part in written.tensor_split([int(self.use_cf)], 1) if part.shape[1]]
        return [tokens.user_vectors(own) for tokens, own in beside(self._linear_tokens(kept=True), written)]

    def rank_each(self, backbone: Backbone, memory: Memory, k: int, allowed: Tensor) -> dict[float, Ranking]:
        """Eq. 7 for every beta, from one forward pass and one pass over the items: the scores are linear in it."""
        if len(self.betas) == 1:
            return {self.betas[0]: self.rank(backbone, memory, k, allowed)}
        users, items = self._users(backbone.write(memory, self._query())), self.item_vectors()
        kinds = list(zip(users, items.split([part.shape[1] for part in users], 1), strict=True))

        def scores(start: int, stop: int) -> Iterator[Tensor]:
            cf, semantic = (inner_products(own, vectors[start:stop]) for own, vectors in kinds)
            return (torch.lerp(cf, semantic, beta) for beta in self.betas)

        rankings = top_k_of_each(scores, items_at_once(torch.cat(users, 1), len(items)), allowed, k)
        return dict(zip(self.betas, rankings, strict=True))

    def _weights(self, beta: Tensor) -> Tensor:
        """[K]: 1 - beta for the collaborative token, beta for each semantic one; 1 where there is no choice."""
        if not (self.use_cf and self.n_semantic):
            return torch.ones_like(beta).expand(self.n_tokens)
        semantic = torch.arange(self.n_tokens, device=beta.device) > 0
        return torch.where(semantic, beta, 1 - beta)

    def token_names(self) -> list[str]:
        """What the tokens of an item are called, in their order."""
        return ["collaborative"] * self.use_cf + [f"semantic {number}" for number in range(1, self.n_semantic + 1)]

    def token_scores(self, backbone: Backbone, memory: Memory, items: Tensor) -> Tensor:
        """What every token of items [B, k] adds to their scores, the summands of Eq. 7: [B, k, K]."""
        written = backbone.write(memory, self._query()) * self._weights(self.beta)[:, None]
        tokens = self.corpus[items] if self._whole else self._encode(items)
        return torch.einsum("bsd,bksd->bks", written.float(), tokens.float())

    def describe(self, item: int) -> str:
        """How many tokens of which kind; the values themselves tell people nothing."""
        kinds = {"collaborative": int(self.use_cf), "semantic": self.n_semantic}
        parts = " and ".join(f"{count} {kind}" for kind, count in kinds.items() if count)
        form = "set" if self.sparse_attention else "sequence"
        return f"a {form} of {parts} {'token' if self.n_tokens == 1 else 'tokens'} of width {self.queries.shape[1]}"
