"""BERT4Rec: attention in both directions over a user's items, of which some are hidden and to be found again.

Sun et al., "BERT4Rec: Sequential Recommendation with Bidirectional Encoder Representations from Transformer", CIKM
2019, arXiv 1904.06690; reference implementation github.com/FeiSun/BERT4Rec. There is no bias per item. A hidden item is
always replaced by the mask, as the paper says; which are hidden is drawn anew in every epoch. Layers are PyTorch's own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec.errors import GenrecError
from genrec.losses import Negatives
from genrec.recommenders.sequences import INIT_STD, AttentiveSequences, ItemNetwork, placed
from genrec.types import PAD, Batch


class BERT4RecNetwork(ItemNetwork):
    """The network: an item table, the mask, positions counted back from the end, and a transformer's encoder.

    Args:
        n_items: N.
        dim: d.
        blocks: how many.
        heads: attention heads.
        dropout: everywhere.
        max_history: the longest history, not counting the mask behind it.
    """

    def __init__(self, n_items: int, dim: int, blocks: int, heads: int, dropout: float, max_history: int) -> None:
        super().__init__()
        self.items = nn.Embedding(n_items, dim)
        self.positions = nn.Embedding(max_history + 1, dim)
        self.mask = nn.Parameter(torch.empty(dim))
        self.norm, self.dropout = nn.LayerNorm(dim), nn.Dropout(dropout)
        block = nn.TransformerEncoderLayer(dim, heads, 4 * dim, dropout, "gelu", batch_first=True)
        self.blocks = nn.TransformerEncoder(block, blocks, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.LayerNorm(dim))
        for weight in (self.items.weight, self.positions.weight, self.mask):
            nn.init.normal_(weight, std=INIT_STD)

    def forward(self, history: Tensor, hidden: Tensor | None = None) -> Tensor:
        """See `ItemNetwork.forward`.

        Args:
            history: [B, T].
            hidden: [B, T] bool, where the mask stands for the item; None is nowhere.
        """
        real = history != PAD
        x = self.items(history.clamp(min=0))
        if hidden is not None:
            x = torch.where(hidden[..., None], self.mask, x)
        x = self.dropout(self.norm(placed(x, self.positions)))
        return self.head(self.blocks(x, src_key_padding_mask=~real)) * real[..., None]

    def last(self, history: Tensor) -> Tensor:
        """What is found for a mask behind the history, [B, d]."""
        behind = F.pad(history, (0, 1))
        hidden = torch.zeros_like(behind, dtype=torch.bool)
        hidden[:, -1] = True
        return self(behind, hidden)[:, -1]


class Hidden(NamedTuple):
    """Which items of sequences are to be found.

    Args:
        places: [B, M] long, their columns.
        counts: [B, M] bool, False for a column that only makes the rows equally long.
    """

    places: Tensor
    counts: Tensor


def hide(real: Tensor, share: float, last: float) -> Hidden:
    """Choose items to be hidden, at random: the share of every sequence, rounded, at least one.

    Args:
        real: [B, S] bool, where there are items; there is one in the last column.
        share: of a sequence's items.
        last: of so many sequences in a hundred, from 0 to 1, only the last item is hidden, as in a ranking.
    """
    order = torch.rand(real.shape, device=real.device).masked_fill(~real, -1)
    wanted = (share * real.sum(1)).round().clamp(min=1)
    alone = torch.rand(len(real), device=real.device) < last
    order[:, -1] = torch.where(alone, 2, order[:, -1])
    wanted = torch.where(alone, 1, wanted)
    # How many columns there are is known without asking the device.
    most = max(1, math.ceil(share * real.shape[1]))
    places = order.topk(most, 1).indices
    return Hidden(places, torch.arange(most, device=real.device) < wanted[:, None])


class BERT4Rec(AttentiveSequences):
    """BERT4Rec as a recommender; train it with ``SequenceData(samples="users")``.

    Args:
        dim: d.
        blocks: of attention.
        heads: attention heads.
        dropout: everywhere.
        hidden: the share of a sequence's items that are hidden.
        last: the share of the sequences of which only the last item is hidden, as in a ranking.
        lr: learning rate of Adam.
        max_history: the longest history.
        ks: the cut-offs of the metrics.
        negatives: what a hidden item is told from in training; None is all items.

    Raises:
        GenrecError: if a number makes no sense.
    """

    def __init__(
        self,
        dim: int = 64,
        blocks: int = 2,
        heads: int = 2,
        dropout: float = 0.2,
        hidden: float = 0.2,
        last: float = 0.1,
        lr: float = 1e-3,
        max_history: int = 50,
        ks: Sequence[int] = (5, 10),
        negatives: Negatives | None = None,
    ) -> None:
        super().__init__(dim, blocks, heads, dropout, max_history, lr, ks, negatives)
        if not 0 < hidden < 1 or not 0 <= last <= 1:
            raise GenrecError(f"BERT4Rec's `hidden` and `last` are shares, above 0 and from 0 on, got {hidden}, {last}")
        self.hidden, self.last = hidden, last

    def make_network(self, items: int) -> BERT4RecNetwork:
        """See `ItemSequences.make_network`."""
        return BERT4RecNetwork(items, self.dim, self.blocks, self.heads, self.dropout, self.max_history)

    def loss_of(self, batch: Batch) -> Tensor:
        """The mean over all items that are hidden, the target among the items of its history."""
        items = torch.cat([batch.history, batch.target[:, None]], 1)
        places, counts = hide(items != PAD, self.hidden, self.last)
        hidden = torch.zeros_like(items, dtype=torch.bool).scatter(1, places, counts)
        states = self._network(items, hidden)
        found = states.gather(1, places[..., None].expand(-1, -1, states.shape[2]))
        wanted = items.gather(1, places).clamp(min=0).flatten()
        return self.softmax(found.flatten(0, 1), wanted, counts.flatten() / counts.sum())
