"""SASRec: causal self-attention over a user's items. A row of the result tables, and the source of CF embeddings.

Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018, arXiv 1808.09781; reference implementation
github.com/kang205/SASRec. Block structure as there; the loss is a softmax over all items by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor, nn

from genrec.data import Dataset, InMemory, SequenceData
from genrec.errors import GenrecError
from genrec.evaluation.metrics import main
from genrec.losses import Negatives
from genrec.recommenders.epoch_lines import EpochLines
from genrec.recommenders.sequences import INIT_STD, AttentiveSequences, ItemNetwork, next_items, placed
from genrec.types import PAD, Batch

EPS = 1e-8


class Block(nn.Module):
    """Attention with normalised queries only, then a pointwise feed-forward; each added to its normalised input."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.attention_norm = nn.LayerNorm(dim, EPS)
        self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))
        self.forward_norm = nn.LayerNorm(dim, EPS)
        self.feed_forward = nn.Sequential(
            nn.Linear(dim, dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(dim, dim), nn.Dropout(dropout)
        )

    def forward(self, x: Tensor, seen: Tensor) -> Tensor:
        """[B, T, d] to [B, T, d]; ``seen`` [B, 1, T, T] bool says who sees whom."""
        normed = self.attention_norm(x)
        query, key, value = (
            layer(part).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer, part in ((self.query, normed), (self.key, x), (self.value, x))
        )
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=seen, dropout_p=dropout)
        x = self.forward_norm(normed + attended.transpose(1, 2).flatten(2))
        return x + self.feed_forward(x)


class SASRecNetwork(ItemNetwork):
    """The network: an item table, positions counted back from the most recent item, and causal blocks.

    Args:
        n_items: N.
        dim: d.
        blocks: how many.
        heads: attention heads.
        dropout: everywhere.
        max_history: T at most.
    """

    def __init__(self, n_items: int, dim: int, blocks: int, heads: int, dropout: float, max_history: int) -> None:
        super().__init__()
        self.items = nn.Embedding(n_items, dim)
        self.positions = nn.Embedding(max_history, dim)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList([Block(dim, heads, dropout) for _ in range(blocks)])
        self.norm = nn.LayerNorm(dim, EPS)
        for table in (self.items, self.positions):
            nn.init.normal_(table.weight, std=INIT_STD)

    def forward(self, history: Tensor) -> Tensor:
        """See `ItemNetwork.forward`."""
        length = history.shape[1]
        real = history != PAD
        x = self.dropout(placed(self.items(history.clamp(min=0)), self.positions)) * real[..., None]
        causal = torch.ones(length, length, dtype=torch.bool, device=history.device).tril()
        itself = torch.eye(length, dtype=torch.bool, device=history.device)
        # A padded slot sees itself, so that no softmax is taken over nothing; its state is erased after every block.
        seen = (causal & real[:, None, :]) | itself
        for block in self.blocks:
            x = block(x, seen[:, None]) * real[..., None]
        return self.norm(x) * real[..., None]


class SASRec(AttentiveSequences):
    """SASRec as a recommender; train it with ``SequenceData(samples="users")``.

    Args:
        dim: d.
        blocks: attention blocks.
        heads: attention heads.
        dropout: 0.5 for sparse data, 0.2 for dense.
        loss: "ce", a softmax over all items, or "bce" with one random negative per position (the original).
        lr: learning rate of Adam.
        max_history: the longest history.
        ks: the cut-offs of the metrics.
        negatives: what an item is told from in training with "ce"; None is all items.

    Raises:
        GenrecError: if there are negatives where the loss draws its own, or a number makes no sense.
    """

    def __init__(
        self,
        dim: int = 64,
        blocks: int = 2,
        heads: int = 1,
        dropout: float = 0.5,
        loss: Literal["ce", "bce"] = "ce",
        lr: float = 1e-3,
        max_history: int = 50,
        ks: Sequence[int] = (5, 10),
        negatives: Negatives | None = None,
    ) -> None:
        super().__init__(dim, blocks, heads, dropout, max_history, lr, ks, negatives)
        if negatives is not None and loss != "ce":
            raise GenrecError(f"SASRec's `loss: {loss}` draws its own negative: leave out `negatives`, or use `ce`")
        self.loss = loss
        self.objective = {"ce": self.softmax, "bce": self._binary}[loss]
        self._warm: Tensor | None = None

    def make_network(self, items: int) -> SASRecNetwork:
        """See `ItemSequences.make_network`."""
        return SASRecNetwork(items, self.dim, self.blocks, self.heads, self.dropout, self.max_history)

    def loss_of(self, batch: Batch) -> Tensor:
        """The mean over all positions that have a history."""
        return self.objective(*next_items(self._network(batch.history), batch))

    def _binary(self, states: Tensor, following: Tensor, weight: Tensor) -> Tensor:
        # A negative among the items of the training split, so that cold items keep their initial vectors. Unlike the
        # original, an item of the user's own may be drawn: rare in a real catalogue, and no user's list is searched.
        if self._warm is None or self._warm.device != self.device:
            self._warm = torch.from_numpy(np.flatnonzero(self.dataset.warm)).to(self.device)
        negative = self._warm[torch.randint(len(self._warm), (len(following),), device=self.device)]
        scores = [(states * self._network.items(items)).sum(-1) for items in (following, negative)]
        return ((F.softplus(-scores[0]) + F.softplus(scores[1])) * weight).sum()


def train_embeddings(
    dataset: Dataset, folder: Path, network: dict[str, Any], max_epochs: int, patience: int, seed: int
) -> np.ndarray:
    """Train a SASRec on the training split and return its item table, float32 [N, d].

    Args:
        dataset: validation decides when to stop and which epoch is kept; test is not looked at.
        folder: scratch space.
        network: arguments of `SASRec`.
        max_epochs: at most.
        patience: epochs without a better NDCG@10 on validation before it stops.
        seed: of weights, order and dropout; the caller's random state is left alone.
    """
    warm = int(dataset.warm.sum())
    # Candidate sets that hold fewer than 10 items cannot be ranked deeper than their size.
    k = min(10, *(size for size in (warm, len(dataset.catalog) - warm) if size))
    best = ModelCheckpoint(folder, monitor=f"val/{main([k])}", mode="max", save_weights_only=True)
    stop = EarlyStopping(f"val/{main([k])}", mode="max", patience=patience)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = SASRec(**network, ks=(k,))
        trainer = L.Trainer(
            max_epochs=max_epochs,
            callbacks=[best, stop, EpochLines()],
            logger=False,
            enable_model_summary=False,
            default_root_dir=folder,
            num_sanity_val_steps=0,
            # The one that this process was given, where several work side by side.
            devices=[torch.cuda.current_device()] if torch.cuda.is_available() else 1,
        )
        trainer.fit(model, SequenceData(InMemory(dataset), samples="users", seed=seed))
    weights = torch.load(best.best_model_path, map_location="cpu", weights_only=True)["state_dict"]
    return weights["network.items.weight"].numpy()
