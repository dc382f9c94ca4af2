"""DiffGRM: an item becomes a few codes in no order, filled in by a masked diffusion, the surest ones first.

DiffGRM, WWW 2026, arXiv 2510.21805. The paper's own encoder and decoder are a stock language model here: the codes that
are to be written are tokens that see each other, behind a prompt of one token per item.
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
from genrec.decoding.any_order import AnyOrder
from genrec.decoding.candidates import candidates
from genrec.decoding.code_sums import narrow
from genrec.decoding.unmasking import ranked, unmask
from genrec.errors import GenrecError, at_least
from genrec.identifiers import ItemIdentifier, all_words, drawn_like, table
from genrec.losses import slot_log_probs, slot_loss
from genrec.types import PAD, SEEING, Ranking, Tokens
from genrec_baselines.numbering import with_new

Noising = Literal["on_policy", "nested", "random", "fixed"]
MASKED = 0.5
"""Share of the codes that independent noise masks."""


class DiffGRM(ItemIdentifier):
    """m codes per item; those of the target that are masked are learned from the history and from those that are not.

    Args:
        codes: how embeddings become codes; None is 4 digits of 256 by rotated product quantisation of 256 principal
            components, fitted to the items of the training split.
        noising: which codes of a target are masked in its views. "on_policy": of a target that is masked whole, the
            codes that the model is least sure of, one more in every view (the paper's coherent noising); "nested": the
            same in a random order; "random": any code with probability 0.5; "fixed": from the first digit on.
        views: of a target in a step; None is one per digit, up to all masked.
        smoothing: of labels.
        beams: partial assignments that are kept while items are written.
        steps: looks at the model while all codes are written; None is one per digit, 1 fills all after a single look.

    Raises:
        GenrecError: if ``noising`` is something else, or a number is too small.
    """

    codes: Tensor

    def __init__(
        self,
        codes: ItemCodes | None = None,
        noising: Noising = "on_policy",
        views: int | None = None,
        smoothing: float = 0.1,
        beams: int = 64,
        steps: int | None = None,
    ) -> None:
        super().__init__()
        if noising not in get_args(Noising):
            raise GenrecError(f"DiffGRM: noising is {', '.join(get_args(Noising))}, not `{noising}`")
        self.recipe = codes or PQCodes(digits=4, dim=256, fit_items="warm")
        self.noising = noising
        self.views = views or self.recipe.length
        self.smoothing = smoothing
        self.beams = beams
        self.steps = steps or self.recipe.length
        at_least(0, "DiffGRM", smoothing=smoothing)
        at_least(1, "DiffGRM", views=self.views, beams=beams, steps=self.steps)
        for name, value in (("views", self.views), ("steps", self.steps)):
            if value > self.recipe.length and not (name == "views" and noising == "random"):
                raise GenrecError(f"DiffGRM has {self.recipe.length} digits, so at most as many {name}, not {value}")
        # Saved: `embeddings` learns what these codes mean, and k-means may find others on another machine.
        self.codes = table(torch.empty(0, self.recipe.length, dtype=torch.uint8), saved=True)

    def setup(self, catalog: Catalog, assets: ItemAssets, backbone: Backbone) -> None:
        """See `ItemIdentifier.setup`."""
        words, slots, width = all_words(backbone), self.recipe.length, backbone.width
        self.embeddings = nn.Parameter(drawn_like(words, slots, self.recipe.size))
        self.hidden = nn.Parameter(drawn_like(words, slots))
        self.item = nn.Sequential(nn.Linear(slots * width, width), nn.ReLU(), nn.Linear(width, width))
        self.temperature = 1 / backbone.head_scale
        self.index(catalog, assets)

    def index(self, catalog: Catalog, assets: ItemAssets) -> None:
        """Name the items that have no codes yet."""
        codes = with_new(self.codes, len(catalog), lambda: narrow(assets.codes(self.recipe), self.recipe.size))
        self.codes = codes.to(self.hidden.device)
        self.any_order = AnyOrder(self.codes, self.recipe.size)
        self.alike = int(self.codes.unique(dim=0, return_counts=True)[1].max())

    def embed(self, items: Tensor) -> Tokens:
        """One token per item, made of its codes' embeddings side by side: [B, T] rows to [B, T, D]."""
        real = items != PAD
        tokens = self.item(self._look_up(self.codes[items.clamp(min=0)].long()).flatten(2)) * real[..., None]
        return Tokens(tokens, real, Tokens.ordered(tokens).sets)

    def loss(self, backbone: Backbone, context: Context, history: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The mean over a target's views of the cross-entropy of the codes that are masked in it."""
        codes = self.codes[target].long()
        masked = self._masked(backbone, context, codes)
        partial, views = torch.where(masked, PAD, codes[:, None]), masked.shape[1]
        states = backbone(backbone.repeated(context, views), self._query(partial.flatten(0, 1)[:, None]))
        right = codes.repeat_interleave(views, 0)
        return {"loss": slot_loss(self._log_probs(states), right, masked.flatten(0, 1), self.smoothing)}

    @torch.no_grad()
    def _masked(self, backbone: Backbone, context: Context, codes: Tensor) -> Tensor:
        """Which codes [B, m] of the targets are masked in each of their views, bool [B, V, m]."""
        if self.noising == "random":
            masked = torch.rand(len(codes), self.views, codes.shape[1], device=codes.device) < MASKED
            # A view without any would teach nothing.
            masked[..., 0] |= ~masked.any(2)
            return masked
        if self.noising == "on_policy":
            was, _ = backbone.training, backbone.eval()
            states = backbone(context, self._query(torch.full_like(codes[:, None], PAD)))
            backbone.train(was)
            sure = self._log_probs(states).amax(2)
        else:
            sure = torch.rand(codes.shape, device=codes.device)
            if self.noising == "fixed":
                sure = torch.arange(codes.shape[1], device=codes.device).expand_as(codes)
        place = sure.argsort(dim=1, stable=True).argsort(dim=1)
        return place[:, None] <= torch.arange(self.views, device=codes.device)[:, None]

    def rank(self, backbone: Backbone, memory: Memory, k: int, allowed: Tensor) -> Ranking:
        """The items that are likeliest when the surest codes are written first (confidence-guided decoding)."""
        known = candidates(allowed)
        known.check(k)
        sets = [
            None if len(rows) == len(self.codes) else among for among, rows in zip(allowed, known.rows, strict=True)
        ]
        found = [self._search(backbone, memory, k, some, max(self.beams, k)) for some in sets]
        ranking = Ranking(*(torch.stack(parts) for parts in zip(*found, strict=True)))
        if (ranking.items == PAD).any():
            for place, some in enumerate(sets):
                self._again(backbone, memory, k, some, Ranking(*(part[place] for part in ranking)))
        return ranking

    def reach(self, k: int, more: int) -> int:
        """See `ItemIdentifier.reach`: as many as there are beams."""
        return min(k + more, max(k, self.beams))

    def _search(self, backbone: Backbone, memory: Memory, k: int, allowed: Tensor | None, beams: int) -> Ranking:
        """The k best of the items that count, as far as they are found, [B, k]."""

        def predict(partial: Tensor) -> Tensor:
            alone = torch.full((1, partial[0].numel()), -1, device=partial.device)
            states = backbone.write(memory, self._query(partial), alone)
            return self._log_probs(states.unflatten(1, partial.shape[1:]).flatten(0, 1)).unflatten(0, partial.shape[:2])

        found = unmask(predict, self.any_order, len(memory.mask), beams, self.steps, allowed)
        return ranked(*found, self.any_order, self.alike, k, allowed)

    def _again(self, backbone: Backbone, memory: Memory, k: int, allowed: Tensor | None, ranking: Ranking) -> None:
        """Who found too few looks once more, with twice the beams, until he has k: his lists are written over."""
        beams = max(self.beams, k)
        while len(short := (ranking.items[:, -1] == PAD).nonzero()[:, 0]):
            beams *= 2
            more = self._search(backbone, memory.select(short), k, allowed, beams)
            ranking.items[short], ranking.scores[short] = more

    def item_codes(self) -> tuple[Tensor, Sequence[int]]:
        """See `ItemIdentifier.item_codes`."""
        return self.codes, [self.recipe.size] * self.recipe.length

    def describe(self, item: int) -> str:
        """The codes."""
        return f"codes {' '.join(map(str, self.codes[item].tolist()))}, in no order, read as one token"

    def _look_up(self, codes: Tensor) -> Tensor:
        """Embeddings [..., m, D] of codes [..., m]."""
        slots = torch.arange(codes.shape[-1], device=codes.device) * self.recipe.size
        return F.embedding(codes + slots, self.embeddings.flatten(0, 1))

    def _query(self, partial: Tensor) -> Tokens:
        """Partial assignments [B, W, m] as sets of tokens [B, W*m, D] that see their own alone."""
        embeds = torch.where((partial == PAD)[..., None], self.hidden, self._look_up(partial.clamp(min=0)))
        tokens = Tokens.ordered(embeds.flatten(1, 2))
        number = torch.arange(partial.shape[1], device=partial.device).repeat_interleave(partial.shape[2])
        return Tokens(tokens.embeds, tokens.mask, (SEEING - number).expand_as(tokens.sets))

    def _log_probs(self, states: Tensor) -> Tensor:
        """Of every code in its digit, [B, m, size], from states [B, m, D]."""
        return slot_log_probs(states, self.embeddings, self.temperature)
