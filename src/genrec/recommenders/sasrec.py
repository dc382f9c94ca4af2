"""SASRec: causal self-attention over a user's items. A row of the result tables, and the source of CF embeddings.

Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018, arXiv 1808.09781; reference implementation
github.com/kang205/SASRec. Block structure as there; the loss is a softmax over all items by default.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import lightning as L
import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor, nn

from genrec.data import Dataset, InMemory, SequenceData
from genrec.data.samples import last_positions
from genrec.decoding import top_products
from genrec.devices import shortens
from genrec.errors import GenrecError, at_least
from genrec.evaluation.metrics import main
from genrec.identifiers.negatives import NegativeSampler
from genrec.losses import Negatives, linear_cross_entropy, sampled_cross_entropy
from genrec.recommenders.base import RankingModule
from genrec.recommenders.epoch_lines import EpochLines
from genrec.types import PAD, Batch, Ranking

EPS = 1e-8
INIT_STD = 0.02


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


class SASRecNetwork(nn.Module):
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
        """States [B, T, d] of histories [B, T], `PAD` on the left; zeros at padding."""
        length = history.shape[1]
        real = history != PAD
        # The most recent item is always in the last slot, however short the history.
        slots = torch.arange(-length, 0, device=history.device) + self.positions.num_embeddings
        x = self.items(history.clamp(min=0)) * self.items.embedding_dim**0.5 + self.positions(slots)
        x = self.dropout(x) * real[..., None]
        causal = torch.ones(length, length, dtype=torch.bool, device=history.device).tril()
        itself = torch.eye(length, dtype=torch.bool, device=history.device)
        # A padded slot sees itself, so that no softmax is taken over nothing; its state is erased after every block.
        seen = (causal & real[:, None, :]) | itself
        for block in self.blocks:
            x = block(x, seen[:, None]) * real[..., None]
        return self.norm(x) * real[..., None]


class SASRec(RankingModule):
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
        GenrecError: if there are negatives where the loss draws its own.
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
        super().__init__(ks)
        if negatives is not None and loss != "ce":
            raise GenrecError(f"SASRec's `loss: {loss}` draws its own negative: leave out `negatives`, or use `ce`")
        at_least(1, "SASRec", dim=dim, blocks=blocks, heads=heads, max_history=max_history)
        at_least(0, "SASRec", dropout=dropout, lr=lr)
        self.sizes = (dim, blocks, heads, dropout)
        self.max_history = max_history
        self.objective = {"ce": self._softmax_loss, "bce": self._binary_loss}[loss]
        self.lr = lr
        self.negatives = negatives
        self.sampler: NegativeSampler | None = None
        self.network: SASRecNetwork | None = None
        self._warm: Tensor | None = None

    def setup(self, stage: str) -> None:
        """Create the network for the catalogue.

        Raises:
            GenrecError: if the data have samples that it cannot be trained with.
        """
        super().setup(stage)
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if stage == "fit" and (data.samples is not last_positions or data.max_history > self.max_history):
            raise GenrecError(
                "SASRec learns from `data.samples: users` with a `data.max_history` that is no larger than its own "
                f"`max_history`, {self.max_history}"
            )
        if self.network is None:
            self.network = SASRecNetwork(len(self.dataset.catalog), *self.sizes, self.max_history)
        if self.negatives is not None:
            self.sampler = NegativeSampler(self.negatives, torch.from_numpy(self.dataset.frequency)).to(self.device)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SASRec:
        if shortens(fn):
            raise GenrecError(
                "SASRec learns in full, and cannot with weights of 16 bits: use `trainer.precision: 32-true`"
            )
        super()._apply(fn, recurse)
        return self

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Every position of the history predicts the item after it; the last one predicts the target."""
        loss = self.loss(batch)
        self.log("train/loss", loss.detach(), prog_bar=True)
        return self.share_of_step(batch) * loss

    def loss(self, batch: Batch) -> Tensor:
        """The mean over all positions that have a history."""
        following = torch.cat([batch.history[:, 1:], batch.target[:, None]], 1)
        # A slot before the first item would predict it from nothing.
        real = (batch.history != PAD).flatten()
        weight = real / real.sum().clamp(min=1)
        return self.objective(self._network(batch.history).flatten(0, 1), following.flatten().clamp(min=0), weight)

    @property
    def _network(self) -> SASRecNetwork:
        assert self.network is not None, "setup creates the network"
        return self.network

    def _softmax_loss(self, states: Tensor, following: Tensor, weight: Tensor) -> Tensor:
        items = self._network.items.weight
        if self.training and self.sampler is not None:
            drawn = self.sampler.draw(following, weight > 0)
            return sampled_cross_entropy(states, items, following, weight.to(states), drawn)
        return linear_cross_entropy(states, items, following, weight.to(states))

    def _binary_loss(self, states: Tensor, following: Tensor, weight: Tensor) -> Tensor:
        # A negative among the items of the training split, so that cold items keep their initial vectors. Unlike the
        # original, an item of the user's own may be drawn: rare in a real catalogue, and no user's list is searched.
        if self._warm is None or self._warm.device != states.device:
            self._warm = torch.from_numpy(np.flatnonzero(self.dataset.warm)).to(states.device)
        negative = self._warm[torch.randint(len(self._warm), following.shape, device=states.device)]
        scores = [(states * self._network.items(items)).sum(-1) for items in (following, negative)]
        return ((F.softplus(-scores[0]) + F.softplus(scores[1])) * weight).sum()

    def rank(self, history: Tensor, k: int, allowed: Tensor) -> Ranking:
        """See `RankingModule.rank`; a score is the inner product of the last state and an item's vector."""
        state = self._network(history[:, -self.max_history :])[:, -1]
        return top_products(state, self._network.items.weight, allowed, k)

    def configure_optimizers(self) -> Any:
        """Adam, betas as in the original."""
        return torch.optim.Adam(self.parameters(), lr=self.lr, betas=(0.9, 0.98))


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
