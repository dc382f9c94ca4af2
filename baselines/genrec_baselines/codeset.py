"""CodeSet: an item becomes an unordered SET of discrete codes, of behaviour and of meaning, all written at once.

Discrete set identifiers are what the authors of SETRec name as future work (Lin et al., SIGIR 2025, arXiv 2502.10833,
Section 6). This is that, and no paper's: SETRec's set of tokens under its sparse attention, with the codes of product
quantisation (Jegou et al., TPAMI 2011), which have no order, in place of its continuous tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec.assets import Frequency, ItemAssets, PQCodes
from genrec.backbones import Backbone, Context, Memory
from genrec.data import Catalog
from genrec.decoding import item_scores, top_codes
from genrec.decoding.grounding import items_at_once, top_k_of_each
from genrec.devices import widen
from genrec.errors import GenrecError
from genrec.identifiers import ItemIdentifier, all_words, drawn_like, table
from genrec.identifiers.tables import Tables
from genrec.losses import slot_log_probs, slot_loss
from genrec.types import PAD, Ranking, Tokens
from genrec_baselines.numbering import with_new

COLLABORATIVE, SEMANTIC = "collaborative", "semantic"


class Codebooks(Tables):
    """Codes of one kind: m slots, each with ``size`` codes of its own that are read and written with one embedding.

    An item may lack codes of this kind. Its code is then ``size``: it is read as the mean of a slot's codes, and its
    log-probability is that of a code of average probability.

    Args:
        recipe: how embeddings become codes.
        cold: whether cold items have such codes.
        residual: see `CodeSet`.
    """

    mean: Tensor
    axes: Tensor
    centres: Tensor

    def __init__(self, recipe: PQCodes, cold: bool, residual: bool) -> None:
        super().__init__()
        self.recipe = recipe
        self.cold = cold
        self.residual = residual

    def setup(self, assets: ItemAssets, backbone: Backbone) -> None:
        """Create the parameters."""
        words = all_words(backbone)
        self.embeddings = nn.Parameter(drawn_like(words, self.recipe.length, self.recipe.size))
        self.queries = nn.Parameter(drawn_like(words, self.recipe.length))
        self.temperature = 1 / backbone.head_scale
        if self.residual:
            # With the parameters, as the codes are: the rest is what these very centres leave.
            for name, array in assets.built(self.recipe).items():
                if name != "codes":
                    self.register_buffer(name, torch.tensor(array, device=words.device))
            slots, _, width = self.centres.shape
            self.projection = nn.Parameter(torch.zeros(slots, width, words.shape[1]))

    def name_items(self, assets: ItemAssets) -> Tensor:
        """Codes int32 [N, m]."""
        codes = assets.codes(self.recipe).int()
        if not self.cold:
            counts = torch.from_numpy(assets.built(Frequency())["counts"])
            codes[F.pad(counts == 0, (0, len(codes) - len(counts)), value=True)] = self.recipe.size
        return codes

    def index(self, assets: ItemAssets, codes: Tensor) -> None:
        """Keep what the codes [N, m] leave unsaid, [N, m, .]; nothing, of an item without codes."""
        if self.residual:
            points = (assets.source(self.recipe.source).to(self.mean) - self.mean) @ self.axes.T
            centres = self.centres[torch.arange(len(self.centres)), codes.long().clamp(max=self.recipe.size - 1)]
            rests = points.unflatten(1, (len(self.centres), -1)) - centres
            self.rests = table(rests * (codes < self.recipe.size)[..., None])

    def read(self, codes: Tensor, rows: Tensor) -> Tensor:
        """Embeddings [..., m, D] of the codes [..., m] of items [...]."""
        embeddings = torch.cat([self.embeddings, self.embeddings.mean(1, keepdim=True)], 1)
        slots = torch.arange(len(embeddings), device=codes.device) * embeddings.shape[1]
        read = F.embedding(codes.long() + slots, embeddings.flatten(0, 1))
        return read + torch.einsum("...md,mde->...me", self.rests[rows], self.projection) if self.residual else read

    def log_probs(self, states: Tensor) -> Tensor:
        """Of every code in its slot, [B, m, size + 1], from states [B, m, D]; the last is that of no code."""
        found = slot_log_probs(states, self.embeddings, self.temperature)
        return F.pad(found, (0, 1), value=-math.log(self.recipe.size))


class CodeSet(ItemIdentifier):
    """An item is a collaborative and a semantic code in each of some slots, in no order.

    Its score is (1 - beta) times the mean log-probability of the collaborative codes plus beta times that of the
    semantic ones. Of cold items it is not known who takes them, so they have no collaborative codes (`Codebooks`).

    Args:
        semantic: how text becomes codes; None is 8 of 256.
        collaborative: how collaborative embeddings become codes; None is 4 of 256, fitted to the items of training.
        use_semantic: whether an item has semantic codes.
        use_cf: whether an item has collaborative codes.
        betas: semantic strengths to try at ranking; the best on validation is kept. One value fixes it.
        blind: the codes of an item in a history do not see each other.
        residual: an item of a history is also read by what its codes leave unsaid of its embeddings: every code's
            embedding gets a linear map of its part of the rest.

    Raises:
        GenrecError: if an item would have no code at all, or a beta is outside 0..1.
    """

    beta: Tensor
    codes: Tensor

    def __init__(
        self,
        semantic: PQCodes | None = None,
        collaborative: PQCodes | None = None,
        use_semantic: bool = True,
        use_cf: bool = True,
        betas: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0),
        blind: bool = True,
        residual: bool = False,
    ) -> None:
        super().__init__()
        if not (use_semantic or use_cf):
            raise GenrecError("CodeSet needs a code per item, but `use_semantic` and `use_cf` are both false")
        if not betas or not all(0 <= beta <= 1 for beta in betas):
            raise GenrecError(f"CodeSet needs betas between 0 and 1, got {list(betas)}")
        self.kinds = nn.ModuleDict()
        self.reads_text = use_semantic
        if use_cf:
            recipe = collaborative or PQCodes(digits=4, source="cf", fit_items="warm")
            self.kinds[COLLABORATIVE] = Codebooks(recipe, cold=False, residual=residual)
        if use_semantic:
            self.kinds[SEMANTIC] = Codebooks(semantic or PQCodes(digits=8), cold=True, residual=residual)
        self.betas = tuple(betas) if len(self.kinds) == 2 else (float(use_semantic),)
        self.blind = blind
        # Saved: the embeddings learn what these codes mean, and k-means may find others on another machine.
        self.codes = table(torch.empty(0, sum(self.lengths), dtype=torch.int32), saved=True)

    @property
    def books(self) -> list[Codebooks]:
        """The kinds of codes, collaborative ones first."""
        return [book for book in self.kinds.values() if isinstance(book, Codebooks)]

    @property
    def lengths(self) -> list[int]:
        """How many codes of each kind an item has."""
        return [book.recipe.length for book in self.books]

    def setup(self, catalog: Catalog, assets: ItemAssets, backbone: Backbone) -> None:
        """See `ItemIdentifier.setup`."""
        for book in self.books:
            book.setup(assets, backbone)
        self.register_buffer("beta", torch.tensor(self.betas[len(self.betas) // 2]))
        self.index(catalog, assets)

    def index(self, catalog: Catalog, assets: ItemAssets) -> None:
        """Name the items that have no codes yet."""
        if len(self.betas) == 1:
            # One value fixes it, also where the checkpoint of a training brought the beta that its validation chose.
            self.choose(self.betas[0])
        named = with_new(
            self.codes, len(catalog), lambda: torch.cat([book.name_items(assets) for book in self.books], 1)
        )
        self.codes = named.to(self.beta.device)
        for book, codes in zip(self.books, self.codes.split(self.lengths, 1), strict=True):
            book.index(assets, codes)

    def embed(self, items: Tensor) -> Tokens:
        """The sets of the items' codes: [B, T] rows to [B, T*M, D]."""
        real, rows = items != PAD, items.clamp(min=0)
        kinds = zip(self.books, self.codes[rows].split(self.lengths, 2), strict=True)
        tokens = torch.cat([book.read(codes, rows) for book, codes in kinds], 2) * real[..., None, None]
        sets, count = torch.arange(items.shape[1], device=items.device).expand_as(items), sum(self.lengths)
        found = Tokens(tokens.flatten(1, 2), real.repeat_interleave(count, 1), sets.repeat_interleave(count, 1))
        return found if self.blind else found.seeing()

    def loss(self, backbone: Backbone, context: Context, history: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The mean over the codes that the target has of their cross-entropy."""
        log_probs, codes = _side_by_side(self._log_probs(backbone(context, self._query()))), self.codes[target].long()
        lacks = torch.tensor([book.recipe.size for book in self.books for _ in range(book.recipe.length)])
        return {"loss": slot_loss(log_probs, codes, codes < lacks.to(codes.device))}

    def rank(self, backbone: Backbone, memory: Memory, k: int, allowed: Tensor) -> Ranking:
        """With the beta that was chosen; items with the same codes in the order of their rows."""
        return top_codes(self.user_scores(backbone, memory), self.codes, allowed, k)

    def rank_each(self, backbone: Backbone, memory: Memory, k: int, allowed: Tensor) -> dict[float, Ranking]:
        """Every beta, from one forward pass and one pass over the items: the scores are linear in it."""
        if len(self.betas) == 1:
            return {self.betas[0]: self.rank(backbone, memory, k, allowed)}
        numbers = self._means(backbone, memory)

        def scores(start: int, stop: int) -> Iterator[Tensor]:
            codes = self.codes[start:stop].split(self.lengths, 1)
            cf, semantic = (item_scores(*pair) for pair in zip(numbers, codes, strict=True))
            return (torch.lerp(cf, semantic, beta) for beta in self.betas)

        size = items_at_once(numbers[0][:, 0], len(self.codes))
        return dict(zip(self.betas, top_k_of_each(scores, size, allowed, k), strict=True))

    def choose(self, value: float) -> None:
        """Keep a beta."""
        self.beta.fill_(value)

    def user_scores(self, backbone: Backbone, memory: Memory) -> Tensor:
        """What every code adds to the score of an item, [B, M, size] (`genrec.decoding.code_sums.CodeSums`)."""
        weights = [1 - self.beta, self.beta] if len(self.kinds) == 2 else [torch.ones_like(self.beta)]
        pairs = zip(weights, self._means(backbone, memory), strict=True)
        return _side_by_side([weight * numbers for weight, numbers in pairs])

    def item_codes(self) -> tuple[Tensor, Sequence[int]]:
        """See `ItemIdentifier.item_codes`; the last code of a collaborative slot is that of the items without one."""
        return self.codes, [
            book.recipe.size + (not book.cold) for book in self.books for _ in range(book.recipe.length)
        ]

    def describe(self, item: int) -> str:
        """The codes, of each kind."""
        found = []
        for (name, book), codes in zip(self.kinds.items(), self.codes[item].split(self.lengths), strict=True):
            assert isinstance(book, Codebooks)
            lacks = bool((codes == book.recipe.size).any())
            found.append(f"no {name} codes" if lacks else f"the {name} codes {' '.join(map(str, codes.tolist()))}")
        return f"a set of {' and '.join(found)}"

    def _query(self) -> Tokens:
        """The same queries for every user, [1, M, D]."""
        return Tokens.one_set(torch.cat([book.queries for book in self.books])[None])

    def _log_probs(self, states: Tensor) -> list[Tensor]:
        """Of every kind, [B, m, size + 1], from states [B, M, D]."""
        kinds = zip(self.books, states.split(self.lengths, 1), strict=True)
        return [book.log_probs(part) for book, part in kinds]

    def _means(self, backbone: Backbone, memory: Memory) -> list[Tensor]:
        """Of every kind what its codes add to the mean log-probability of an item, [B, m, size + 1]."""
        written = widen(backbone.write(memory, self._query()))
        return [numbers / numbers.shape[1] for numbers in self._log_probs(written)]


def _side_by_side(kinds: Sequence[Tensor]) -> Tensor:
    """Numbers [B, m, size] of kinds of slots as those of all slots [B, M, size], where size is that of the largest."""
    width = max(each.shape[2] for each in kinds)
    return torch.cat([F.pad(each, (0, width - each.shape[2])) for each in kinds], 1)
