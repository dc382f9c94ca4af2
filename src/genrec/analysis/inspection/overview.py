"""The identifiers of a trained recommender, measured and looked at."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from genrec.analysis.inspection import WHOSE
from genrec.analysis.inspection.measures import sequence_numbers, vector_numbers
from genrec.analysis.inspection.neighbours import ByCosine, ByPrefix, Likeness, nearest, overlap
from genrec.assets import Assets, FileEmbeddings, MiniLMText, TextAsset, TfidfText
from genrec.assets.codes.diagnostics import diagnose
from genrec.decoding.vector_index import InnerProducts
from genrec.errors import GenrecError
from genrec.serving.served import Served

SAMPLE = 1000
"""At most so many warm items, and so many cold ones, are compared with the whole catalogue."""
TEXTS: dict[str, TextAsset | None] = dict(zip(WHOSE, (None, MiniLMText(), TfidfText()), strict=True))
IDENTIFIER, TEXT = "identifier", "text"


@runtime_checkable
class NamedTokens(Protocol):
    """An identifier whose tokens mean something each; those of others are numbered."""

    def token_names(self) -> list[str]:
        """What the tokens of an item are called, K of them, in the order of `ItemIdentifier.embed`."""


class Inspection:
    """What the items of a recommender are called, and which are near each other by that and by their text.

    Args:
        served: the recommender.
        k: neighbours of an item.
        seed: draws the items that are compared, and decides between equally near neighbours.
        text: a key of `TEXTS`; None takes the run's own embeddings if they are in the store, and TF-IDF's if not.

    Attributes:
        likenesses: by "identifier": the longest common prefix of token sequences, or else the cosine of all tokens that
            the language model reads, one after the other. By each of these, if they are several, under the names that
            `NamedTokens` gives or else "token 1", "token 2" ... By "text": the cosine of text embeddings, if they can
            be had.
        text: who made the text embeddings; None without any.

    Raises:
        GenrecError: if the recommender has no identifier, a number makes no sense, or the text embeddings that were
            asked for cannot be had.
    """

    def __init__(self, served: Served, k: int = 5, seed: int = 0, text: str | None = None) -> None:
        model = served.model
        if model.identifier is None or model.backbone is None or model.assets is None or model.item_assets is None:
            raise GenrecError(f"{model.method} has no identifier to inspect: it names no items")
        self.served, self.model, self.catalog = served, model, served.catalog
        self.identifier, self.backbone = model.identifier, model.backbone
        self.assets, self.item_assets = model.assets, model.item_assets
        if not 1 <= k < len(self.catalog):
            raise GenrecError(f"an item has 1 to {len(self.catalog) - 1} neighbours to look at, not {k}")
        if seed < 0:
            raise GenrecError(f"the seed is a number from 0 on, not {seed}")
        if text not in (None, *TEXTS):
            raise GenrecError(f"the text embeddings are those of {', '.join(TEXTS)}, not `{text}`")
        self.k, self.seed = k, seed
        self.keys, self.titles = self.catalog.keys, self.catalog.titles
        warm = torch.from_numpy(served.dataset.warm)
        self.warm = torch.cat([warm, warm.new_zeros(len(self.catalog) - len(warm))])
        self.names = self.identifier.token_sequences()
        self.likenesses: dict[str, Likeness] = {}
        if self.names is not None:
            self.likenesses[IDENTIFIER] = ByPrefix(self.names.codes.cpu())
        else:
            tokens = self._tokens()
            self.likenesses[IDENTIFIER] = ByCosine(tokens.flatten(1))
            identifier = self.identifier
            numbered = [f"token {number}" for number in range(1, tokens.shape[1] + 1)]
            names = identifier.token_names() if isinstance(identifier, NamedTokens) else numbered
            self.tables = dict(zip(names, tokens.unbind(1), strict=True))
            if len(self.tables) > 1:
                self.likenesses |= {name: ByCosine(table) for name, table in self.tables.items()}
        encoder = self._encoder(text)
        self.text = encoder.name if encoder else None
        try:
            self.likenesses[TEXT] = ByCosine(self._text(encoder))
        except GenrecError:
            # Items may have no text, and all else can be told without.
            if text is not None:
                raise
            self.text = None

    @torch.no_grad()
    def _tokens(self) -> Tensor:
        """What the language model reads for every item, float [N, K, D]."""
        rows = torch.arange(len(self.catalog), device=self.model.device)[:, None]
        parts = (self.identifier.embed(part) for part in rows.split(SAMPLE))
        return torch.cat([part.embeds * part.mask[..., None] for part in parts]).float().cpu()

    def _encoder(self, text: str | None) -> TextAsset | FileEmbeddings | None:
        """Who makes the text embeddings."""
        own = self.assets.text
        if text is not None:
            return TEXTS[text] or own
        return own if own and self.assets.store.has(own, self.served.dataset) else TEXTS["tfidf"]

    def _text(self, encoder: TextAsset | FileEmbeddings | None) -> Tensor:
        """Text embeddings [N, d]."""
        if encoder is self.assets.text:
            # A saved recommender has them, and not what its store is made of.
            with redirect_stdout(sys.stderr):
                return self.item_assets.text
        store = self.assets.store
        assets = Assets(encoder, root=str(store.root), seed=store.seed).bind(self.served.dataset)
        # What has to be built says so where results are not.
        with redirect_stdout(sys.stderr):
            return assets.extend(self.catalog).text

    def sample(self, warm: bool, count: int) -> Tensor:
        """At most ``count`` warm or cold items, drawn at random: rows [n], rising."""
        rows = (self.warm == warm).nonzero().squeeze(1)
        drawn = torch.randperm(len(rows), generator=torch.Generator().manual_seed(self.seed))[:count]
        return rows[drawn].sort().values

    def overview(self) -> dict[str, Any]:
        """All numbers, as json.

        Returns:
            ``method``, ``backbone``, ``dataset``; the number of ``items``, all, warm and cold; ``parameters``, trained
            and all; ``codes``, if items have such, their ``sizes`` and what `genrec.assets.codes.diagnostics.diagnose`
            finds; ``sequences`` (`sequence_numbers`) or ``vectors`` (`vector_numbers`), of every token and of the
            ``score``, what users' vectors are multiplied with, if there is such a thing; ``assets``, what the recipes
            of the items' codes told when they were built; and ``neighbours``, see `agreement`.
        """
        parts = {"identifier": self.identifier, "language model": self.backbone}
        count = {"all": len(self.warm), "warm": int(self.warm.sum()), "cold": int((~self.warm).sum())}
        return {
            "method": self.model.method,
            "backbone": self.model.language_model,
            "dataset": self.served.dataset.name,
            "items": count,
            "parameters": {name: _parameters(part) for name, part in parts.items()},
            **self._codes(),
            **self._form(),
            "assets": self.item_assets.diagnostics(),
            "neighbours": self.agreement(),
        }

    def _codes(self) -> dict[str, Any]:
        found = self.identifier.item_codes()
        if found is None:
            return {}
        codes, sizes = found
        return {"codes": {"sizes": list(sizes), **diagnose(codes.cpu(), sizes)}}

    def _form(self) -> dict[str, Any]:
        if self.names is not None:
            return {"sequences": sequence_numbers(self.names.codes.cpu(), self.names.words, len(self.names.tokens))}
        rows = torch.cat([self.sample(warm, SAMPLE) for warm in (True, False)])
        tables, identifier = dict(self.tables), self.identifier
        if isinstance(identifier, InnerProducts):
            tables["score"] = identifier.item_vectors().detach().float().cpu()
        return {"vectors": {name: vector_numbers(table, rows) for name, table in tables.items()}}

    def agreement(self) -> dict[str, Any]:
        """Whether items that are near by identifier are near by text, too.

        Returns:
            ``k``; the ``text`` encoder, None without one; ``chance``, the overlap of items at random; and for ``warm``
            and ``cold`` items the number of ``items`` that were drawn, how ``alike`` an item and its k neighbours by
            identifier are (in ``unit``), the share of those neighbours that are ``cold``, and the ``overlap`` with the
            k neighbours by text. Neighbours are searched among all items.
        """
        groups = {"warm": self.sample(True, SAMPLE), "cold": self.sample(False, SAMPLE)}
        return {
            "k": self.k,
            "unit": self.likenesses[IDENTIFIER].unit,
            "text": self.text,
            "chance": self.k / (len(self.catalog) - 1),
            **{name: self._group(rows) for name, rows in groups.items() if len(rows)},
        }

    def _group(self, rows: Tensor) -> dict[str, Any]:
        items, alike = nearest(self.likenesses[IDENTIFIER], rows, self.k, self.seed)
        means = {"alike": alike.double().mean().item(), "cold": (~self.warm[items]).double().mean().item()}
        if TEXT in self.likenesses:
            by_text, _ = nearest(self.likenesses[TEXT], rows, self.k, self.seed)
            means["overlap"] = overlap(items, by_text)
        return {"items": len(rows), **means}

    def look(self, rows: Tensor) -> list[dict[str, Any]]:
        """Some items one by one, as json.

        Args:
            rows: [n] long.

        Returns:
            for each its key (``item``), ``title``, whether it is ``warm``, its ``identifier`` in words, and its
            ``neighbours`` by each of the `likenesses`: key, title, whether warm, and how ``alike``.
        """
        found = {name: nearest(likeness, rows, self.k, self.seed) for name, likeness in self.likenesses.items()}
        return [
            {
                **self._item(row),
                "identifier": self.identifier.describe(row),
                "neighbours": {
                    name: [
                        {**self._item(other), "alike": score}
                        for other, score in zip(items[place].tolist(), alike[place].tolist(), strict=True)
                    ]
                    for name, (items, alike) in found.items()
                },
            }
            for place, row in enumerate(rows.tolist())
        ]

    def _item(self, row: int) -> dict[str, Any]:
        return {"item": self.keys[row], "title": self.titles[row], "warm": bool(self.warm[row])}


def _parameters(module: nn.Module) -> dict[str, int]:
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in module.parameters()]
    return {"trained": sum(size for size, trained in sizes if trained), "all": sum(size for size, _ in sizes)}
