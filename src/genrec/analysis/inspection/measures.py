"""Numbers about the identifiers of a whole catalogue: token sequences, and tables of vectors."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.assets.codes.diagnostics import entropy
from genrec.errors import GenrecError
from genrec.types import PAD

EQUAL = 0.999
"""Two vectors with a larger cosine are near-duplicates."""
CHUNK = 256
"""Rows that are compared with all items at a time."""


def sequence_numbers(codes: Tensor, words: int, new_tokens: int) -> dict[str, Any]:
    """How token sequences use their tokens, and how fast they part.

    Args:
        codes: [N, L] long token ids, `PAD` behind shorter sequences.
        words: V; ids from here on are new tokens.
        new_tokens: how many of those there are.

    Returns:
        ``lengths``, items by the number of their tokens; ``new_tokens`` and ``words``, each with the number ``in_use``
        and ``all``; ``distinct`` sequences; and ``levels``, one for every place of a sequence: the ``items`` that are
        so long, the distinct ``tokens`` there, the ``entropy`` of their use in bits, the distinct ``prefixes`` that end
        there, the ``largest`` group of items that share one, and the share of all items that are ``alone`` with theirs.
    """
    real = codes != PAD
    used = codes[real].unique()
    lengths, counts = real.sum(1).unique(return_counts=True)
    return {
        "lengths": dict(zip(lengths.tolist(), counts.tolist(), strict=True)),
        "new_tokens": {"in_use": int((used >= words).sum()), "all": new_tokens},
        "words": {"in_use": int((used < words).sum()), "all": words},
        "distinct": len(codes.unique(dim=0)),
        "levels": [_level(codes[:, : depth + 1]) for depth in range(codes.shape[1])],
    }


def _level(prefixes: Tensor) -> dict[str, Any]:
    """The numbers of the last place of prefixes [N, l]."""
    last = prefixes[:, -1]
    tokens, places = last[last != PAD].unique(return_inverse=True)
    _, counts = prefixes.unique(dim=0, return_counts=True)
    return {
        "items": len(places),
        "tokens": len(tokens),
        "entropy": entropy(places, len(tokens)),
        "prefixes": len(counts),
        "largest": int(counts.max()),
        "alone": int((counts == 1).sum()) / len(prefixes),
    }


def effective_rank(table: Tensor) -> float:
    """How many dimensions the rows of a table [n, d] really fill, between 1 and min(n, d).

    The exponential of the entropy of its singular values, scaled to sum 1 (Roy and Vetterli, "The effective rank: A
    measure of effective dimensionality", EUSIPCO 2007). The mean row is taken off first: what all rows share tells
    nothing apart. A table of equal rows has none, 0.

    Raises:
        GenrecError: if there are numbers in it that are not finite.
    """
    if not table.isfinite().all():
        raise GenrecError("the recommender's vectors of items are not finite numbers: its training has diverged")
    values = torch.linalg.svdvals(table.double() - table.double().mean(0))
    # Singular values of rounding errors are no dimensions.
    values = values[values > 1e-6 * table.double().norm()]
    return torch.special.entr(values / values.sum()).sum().exp().item() if len(values) else 0.0


def vector_numbers(table: Tensor, rows: Tensor) -> dict[str, Any]:
    """How the vectors of the items are spread.

    Args:
        table: [N, d].
        rows: [n] long, a sample of the items.

    Returns:
        ``width``; and of the sample the ``effective_rank``, the mean ``cosine`` of two different items, and the share
        of ``duplicates``: those that have a cosine above `EQUAL` with another item of the catalogue.
    """
    unit = F.normalize(table.double(), dim=1)
    sample, count = unit[rows], len(rows)
    twins = [(part @ unit.T > EQUAL).sum(1) > 1 for part in sample.split(CHUNK)]
    together = float(sample.sum(0).square().sum() - sample.square().sum())
    return {
        "width": table.shape[1],
        "effective_rank": effective_rank(table[rows]),
        "cosine": together / max(1, count * (count - 1)),
        "duplicates": float(torch.cat(twins).double().mean()),
    }
