"""BIGRec: an item becomes its title; a free text is written and grounded to the items whose titles mean the same.

Bao et al., "A Bi-Step Grounding Paradigm for Large Language Models in Recommendation Systems", 2023, arXiv 2308.08434.
Reference implementation: github.com/SAI990323/BIGRec. Unlike it, the loss does not count the prompt, and of items that
share a title each has a rank of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.assets import Frequency, ItemAssets
from genrec.assets.recipe import EMBEDDINGS, WithoutUsers, hash_texts
from genrec.backbones import Backbone, Context, Memory
from genrec.backbones.encoder import TextEncoder
from genrec.data import Catalog, Dataset, Ragged
from genrec.data.catalog import KEY, called
from genrec.decoding.free import free_search
from genrec.decoding.grounding import items_at_once, top_k_of_each
from genrec.errors import GenrecError
from genrec.identifiers import ItemIdentifier
from genrec.identifiers.names import ItemNames
from genrec.identifiers.negatives import NegativeSampler, sampler_of_tokens
from genrec.identifiers.tables import table
from genrec.identifiers.targets import mean_loss
from genrec.identifiers.writer import TokenWriter
from genrec.losses import Negatives
from genrec.types import PAD, Packed, Ranking, Tokens

MOST_BEAMS = 1_000
"""More than anybody takes."""
NEAREST = 1e-32
"""The least distance after scaling: no popularity brings another item closer."""
SPAN = 1e-12
"""Distances that differ by no more are not pulled apart."""


class BIGRec(ItemIdentifier):
    """Histories and targets are titles in double quotes: ``"Rory's Story Cubes", "Webkinz Pug"``; no new tokens.

    Ranking writes one title per user, which need not be that of any item, and sorts all items by the distance between
    its embedding and those of their titles. An item without a title has brand and categories in its
    place, or else its key. Titles are embedded as the language model's tokenizer writes them, so that a title that is
    written word by word is at distance 0.

    Args:
        history: the most recent items that are read. Packed prompts are read whole: they need ``data.max_history`` to
            be no larger.
        title_tokens: longer titles are cut.
        beams: of the search for the text; one is greedy.
        length_penalty: of that search; 1 is the authors' code.
        grounding: who embeds titles and texts: ``sentence``, the shared text encoder (`Assets.text`), or ``backbone``,
            the language model before it was trained (the paper). A new language model knows nothing then.
        gammas: distances are divided by ``(1 + popularity) ** gamma``; the best on validation is kept,
            and one value fixes it.

    Raises:
        GenrecError: if an argument makes no sense.
    """

    gamma: Tensor

    def __init__(
        self,
        history: int | None = 10,
        title_tokens: int = 32,
        beams: int = 4,
        length_penalty: float = 1.0,
        grounding: Literal["sentence", "backbone"] = "sentence",
        gammas: Sequence[float] = (0.0,),
    ) -> None:
        super().__init__()
        if min(1 if history is None else history, title_tokens, beams) < 1 or beams > MOST_BEAMS or length_penalty < 0:
            raise GenrecError(
                f"BIGRec needs a history, titles and 1 to {MOST_BEAMS:,} beams and a length penalty from 0 on, got "
                f"history={history}, title_tokens={title_tokens}, beams={beams}, length_penalty={length_penalty}"
            )
        if not gammas or min(gammas) < 0:
            raise GenrecError(f"BIGRec needs gammas from 0 on, got {list(gammas)}")
        self.history = history
        self.title_tokens = title_tokens
        self.beams = beams
        self.length_penalty = length_penalty
        self.grounding = grounding
        self.gammas = tuple(gammas)
        self.names = ItemNames(", ")
        self._negatives: Negatives | None = None
        self.sampler: NegativeSampler | None = None

    def learn_from(self, negatives: Negatives) -> None:
        """See `ItemIdentifier.learn_from`: they are words."""
        self._negatives = negatives

    def setup(self, catalog: Catalog, assets: ItemAssets, backbone: Backbone) -> None:
        """See `ItemIdentifier.setup`.

        Raises:
            GenrecError: if no item has a title, a brand or a category.
        """
        self.names.setup(backbone)
        self._tokenizer = backbone.tokenizer
        if self.grounding == "backbone":
            self.encoder = backbone.encoder()
        self.register_buffer("gamma", torch.tensor(float(self.gammas[0])))
        self._known: dict[str, Tensor] = {}
        self.index(catalog, assets)

    def index(self, catalog: Catalog, assets: ItemAssets) -> None:
        """Name the items that have no name yet, and embed the titles that have not been embedded yet."""
        self.names.extend(len(catalog), lambda known: self._codes(catalog)[len(known) :])
        self.sampler = sampler_of_tokens(self._negatives, self.names, assets)
        device = self.gamma.device
        # Nearly all titles are no longer.
        self.longest = int(np.ceil(np.percentile((self.names.codes != PAD).sum(1).cpu(), 99.9))) + 2
        texts = self._texts(self.names.codes)
        distinct = list(dict.fromkeys(texts))
        self._assets = assets
        # What was written in the last evaluation is forgotten.
        self._known = {text: self._known[text] for text in distinct if text in self._known}
        self.titles = table(self._embed(distinct, keep=not self._known).to(device))
        rows = {text: row for row, text in enumerate(distinct)}
        self.title_of = table(torch.tensor([rows[text] for text in texts], device=device))
        self.shared = table((self.title_of.bincount() > 1)[self.title_of])
        # Items that were added later have not been taken yet.
        trained = torch.from_numpy(assets.built(Frequency())["counts"]).float()
        counts = F.pad(trained, (0, len(catalog) - len(trained)))
        spread = (counts.max() - counts.min()).clamp(min=1)
        self.popularity = table(((counts - counts.min()) / spread).to(device))

    def _codes(self, catalog: Catalog) -> np.ndarray:
        """The token ids of every item's title in quotes, int64 [N, L], `PAD` behind shorter ones."""
        rows = [self._tokenizer(f'"{title}"', add_special_tokens=False)["input_ids"] for title in titles(catalog)]
        longest = self.title_tokens + 2
        # The closing quote stays.
        cut = (row if len(row) <= longest else [*row[: longest - 1], row[-1]] for row in rows)
        return Ragged.from_lists(cut).padded(np.arange(len(rows)))

    def _texts(self, ids: Tensor) -> list[str]:
        """What token ids [n, L] say, without quotes and blanks around it."""
        rows = [[token for token in row if token != PAD] for row in ids.tolist()]
        return [text.strip('" \n') for text in self._tokenizer.batch_decode(rows, skip_special_tokens=True)]

    def _embed(self, texts: list[str], keep: bool = False) -> Tensor:
        """Embeddings [n, d] of texts, each made once; those of the titles are kept for other runs."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, self._encode(new, keep).cpu(), strict=True))
        return torch.stack([self._known[text] for text in texts])

    def _encode(self, texts: list[str], keep: bool) -> Tensor:
        if self.grounding == "sentence":
            return self._assets.encode(texts, keep)
        if not keep:
            return self.encoder(texts)
        return torch.from_numpy(self._assets.built(Understood(self.encoder, tuple(texts)))[EMBEDDINGS])

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # The encoder may be another one now.
        self._known = {}
        super()._load_from_state_dict(state_dict, prefix, *args)

    def embed(self, items: Tensor) -> Tokens:
        """See `ItemIdentifier.embed`; items before the most recent ones are left out."""
        return self.names.embed(items if self.history is None else items[:, -self.history :])

    def loss(self, backbone: Backbone, context: Context, history: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The cross-entropy of the words of the target's title and of the one that closes it (`targets.mean_loss`).

        Raises:
            GenrecError: if packed prompts are longer than what is read.
        """
        if isinstance(context, Packed) and self.history is not None and history.shape[1] > self.history:
            raise GenrecError(
                f"BIGRec reads the last {self.history} items, but packed prompts are read whole: set "
                f"`data.max_history` to {self.history}, or `history` of BIGRec to null"
            )
        sampler = self.sampler if self.training else None
        return {"loss": mean_loss(self.names, backbone, context, target, sampler=sampler)}

    def choose(self, value: float) -> None:
        """Keep a gamma."""
        self.gamma.fill_(value)

    def rank(self, backbone: Backbone, memory: Memory, k: int, allowed: Tensor) -> Ranking:
        """Write a title per user, and sort the items by their distance to it."""
        return self._nearest(self._written(backbone, memory), k, allowed, [float(self.gamma)])[0]

    def rank_each(self, backbone: Backbone, memory: Memory, k: int, allowed: Tensor) -> dict[float, Ranking]:
        """`rank` for every gamma, from the same texts."""
        rankings = self._nearest(self._written(backbone, memory), k, allowed, self.gammas)
        return dict(zip(self.gammas, rankings, strict=True))

    def _written(self, backbone: Backbone, memory: Memory) -> Tensor:
        """Embeddings of what is written, float64 [B, d]."""
        writer = TokenWriter(self.names, backbone, memory, "full")
        found = free_search(writer, backbone.end, self.beams, self.longest, self.length_penalty)
        return self._embed(self._texts(found)).to(self.titles).double()

    def _nearest(self, written: Tensor, k: int, allowed: Tensor, gammas: Sequence[float]) -> list[Ranking]:
        """The best items for what was written, [B, d], with every gamma."""
        count = len(self.title_of)
        size = items_at_once(written, count)
        least = most = torch.zeros_like(written[:, :1])
        if any(gammas):
            parts = (self._distances(written, start, start + size) for start in range(0, count, size))
            ends = [distances.aminmax(dim=1) for distances in parts]
            least = torch.stack([each.min for each in ends], 1).amin(1, keepdim=True)
            most = torch.stack([each.max for each in ends], 1).amax(1, keepdim=True)

        def scores(start: int, stop: int) -> Iterator[Tensor]:
            distances, popularity = self._distances(written, start, stop), self.popularity[start:stop]
            scaled = (distances - least) / (most - least).clamp(min=SPAN)
            return (weighted(scaled, popularity, gamma) if gamma else -distances for gamma in gammas)

        return top_k_of_each(scores, size, allowed, k)

    def _distances(self, written: Tensor, start: int, stop: int) -> Tensor:
        """How far the items ``start .. stop - 1`` are from what was written, [B, d], float64 [B, stop - start]."""
        titles = self.titles[self.title_of[start:stop]].double()
        found = torch.cdist(written, titles)
        # Items with the same title are at exactly the same distance: products differ in the last bit by where they are
        # made, differences do not.
        shared = self.shared[start:stop].nonzero()[:, 0]
        found[:, shared] = torch.cdist(written, titles[shared], compute_mode="donot_use_mm_for_euclid_dist")
        return found

    def token_sequences(self) -> ItemNames:
        """See `ItemIdentifier.token_sequences`: the words of the titles; items may share them."""
        return self.names

    def describe(self, item: int) -> str:
        """What is written for the item: its title in quotes."""
        return self.names.show(item)


@dataclass(frozen=True)
class Understood(WithoutUsers):
    """Texts as a language model understands them: ``embeddings`` float32 [n, d].

    Args:
        encoder: the language model.
        texts: n of them.
    """

    encoder: TextEncoder
    texts: tuple[str, ...]

    @property
    def name(self) -> str:
        """See `Asset.name`."""
        return f"text-by-language-model-{hash_texts(self.texts)[:16]}"

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """See `Asset.fingerprint`."""
        return {**self.encoder.fingerprint(self.texts)}

    def build(self, dataset: Dataset, folder: Path) -> dict[str, np.ndarray]:
        """See `Asset.build`."""
        return {EMBEDDINGS: self.encoder(self.texts).cpu().numpy()}


def weighted(distances: Tensor, popularity: Tensor, gamma: float) -> Tensor:
    """Scores [B, N] of distances [B, N] from 0 to 1: closer is better, and popular [N] is, too."""
    # As logarithms: powers as large as the authors try would make all popular items the same.
    return gamma * popularity.double().log1p() - distances.clamp(min=NEAREST).log()


def titles(catalog: Catalog) -> list[str]:
    """What the items are called: their titles, or else brand and categories, or else their keys.

    Raises:
        GenrecError: if no item has anything but its key.
    """
    named = called(catalog.items)
    if named.null_count() == len(named):
        raise GenrecError(
            f"none of the {len(named)} items has a title, a brand or a category, and BIGRec writes titles: give a data "
            "set with item text, or choose a method that does without, such as CID, E4SRec or DreamRec"
        )
    return named.zip_with(named.is_not_null(), catalog.items[KEY]).to_list()
