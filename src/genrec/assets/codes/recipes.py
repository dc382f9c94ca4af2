"""Recipes that name items by codes: TIGER's residual-quantised text embeddings, and LETTER's regularised ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genrec.assets.codes.diagnostics import diagnose, report
from genrec.assets.codes.fitted import FitItems, check_grid, fitted_rows, hash_fitted
from genrec.assets.codes.fitting import Objective, Training, fit
from genrec.assets.codes.letter import Alignment, Diversity, Projection
from genrec.assets.codes.repair import assign, settle, spread
from genrec.assets.codes.rqvae import RQVAE, Reduction
from genrec.assets.recipe import CF, TEXT, ItemCodes, hash_arrays
from genrec.data import Dataset
from genrec.errors import at_least
from genrec.seeds import number

CODES = "codes"
REFRESH = 50
"""LETTER's clusters are made anew after this many steps, or after an epoch if that is longer."""


@dataclass(frozen=True)
class RQVAECodes(ItemCodes):
    """Codes of a residual-quantised auto-encoder of text embeddings (TIGER, Section 3.1).

    Args:
        levels: L, codes of an item.
        size: codes to choose from at every level.
        dim: width of latents and codes.
        reduction: how squared errors are added up; "sum" is the paper's formula.
        residual_grad: let all levels' commitment terms reach the encoder; the public implementations do not.
        fit_items: "warm" trains on the items of the training split alone, and encodes the others as if they were new.
        epsilon: above 0, the last level is shared out evenly in training, by a transport of this softness, and so is
            it among items with the same codes; those that still share theirs move to free ones: every item's are its
            own (LC-Rec, Section III-B). With 0 items may share theirs.
        training: for how long.
    """

    levels: int = 3
    size: int = 256
    dim: int = 32
    reduction: Reduction = "sum"
    residual_grad: bool = False
    fit_items: FitItems = "all"
    epsilon: float = 0.0
    training: Training = field(default_factory=Training)

    def __post_init__(self) -> None:
        at_least(0, "RQVAECodes", epsilon=self.epsilon)
        # With one level there is nothing to make codes unique with.
        check_grid("RQVAECodes", self.levels, self.size, 2 if self.epsilon else 1)

    @property
    def name(self) -> str:
        """See `Asset.name`."""
        return "codes-rqvae"

    @property
    def length(self) -> int:
        """See `ItemCodes.length`."""
        return self.levels

    @property
    def unique(self) -> bool:
        """See `ItemCodes.unique`."""
        return self.epsilon > 0

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """See `FromEmbeddings.fingerprint`."""
        return {**asdict(self), **hash_fitted(self.fit_items, dataset)}

    def build(self, dataset: Dataset, folder: Path, embeddings: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `FromEmbeddings.build`."""
        text = torch.from_numpy(embeddings[TEXT])

        def objective() -> Objective:
            network = RQVAE(text.shape[1], self.levels, self.size, self.dim)
            gradient = self.training.gradient
            return Objective(network, self.reduction, self.residual_grad, self.epsilon, gradient=gradient)

        fitted = torch.from_numpy(embeddings[TEXT][self.training.sample(fitted_rows(self.fit_items, dataset))])
        network, trained = fit(objective, fitted, self.training, balanced=False)
        codes = network.codes(text)
        if self.unique:
            codes, repair = parted(network, text, codes, self.epsilon)
            trained.update(repair)
        report(f"{self.name} of {dataset.name}", folder, codes, self.size, trained)
        return {CODES: codes.numpy(), **network.arrays()}

    def encode(self, embeddings: Mapping[str, np.ndarray], built: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `ItemCodes.encode`: the nearest codes, or the nearest free ones where every item's are its own."""
        return settled(built, embeddings[TEXT]) if self.unique else encode(built, embeddings[TEXT])


@dataclass(frozen=True)
class LETTERCodes(ItemCodes):
    """Codes that are also aligned with behaviour and kept diverse (LETTER, Section 3.2). Every item's are its own.

    Args:
        levels: L, codes of an item.
        size: codes to choose from at every level.
        dim: width of latents and codes; None is that of the collaborative embeddings, or 32 with a projection.
        reduction: how squared errors are added up; "mean" is the authors' code.
        alpha: weight of the alignment with collaborative embeddings.
        beta: weight of the diversity of codes.
        epsilon: of the transport that balances the last level in training and when collisions are repaired; 0 is off.
        projection: how collaborative embeddings get the width of the latents, see `Alignment`.
        training: for how long.
    """

    sources = (TEXT, CF)

    levels: int = 4
    size: int = 256
    dim: int | None = None
    reduction: Reduction = "mean"
    alpha: float = 0.02
    beta: float = 1e-4
    epsilon: float = 0.003
    projection: Projection = "none"
    training: Training = field(default_factory=Training)

    def __post_init__(self) -> None:
        # With one level there is nothing to make codes unique with.
        check_grid("LETTERCodes", self.levels, self.size, 2)

    @property
    def name(self) -> str:
        """See `Asset.name`."""
        return "codes-letter"

    @property
    def length(self) -> int:
        """See `ItemCodes.length`."""
        return self.levels

    @property
    def unique(self) -> bool:
        """See `ItemCodes.unique`."""
        return True

    def fingerprint(self, dataset: Dataset) -> dict[str, object]:
        """See `FromEmbeddings.fingerprint`; cold items are left out of the alignment."""
        return {**asdict(self), "warm": hash_arrays(dataset.warm)}

    def build(self, dataset: Dataset, folder: Path, embeddings: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `FromEmbeddings.build`.

        Raises:
            GenrecError: if the widths of latents and collaborative embeddings do not fit, or there are too few codes.
        """
        text = torch.from_numpy(embeddings[TEXT])
        rows = self.training.sample(np.arange(len(text)))
        fitted, cf, warm = text[torch.from_numpy(rows)], embeddings[CF][rows], dataset.warm[rows]
        network, trained = fit(lambda: self._objective(fitted, cf, warm), fitted, self.training, balanced=True)
        codes, repair = parted(network, text, network.codes(text), self.epsilon)
        report(f"{self.name} of {dataset.name}", folder, codes, self.size, {**trained, **repair})
        return {CODES: codes.numpy(), **network.arrays()}

    def _objective(self, text: Tensor, cf: np.ndarray, warm: np.ndarray) -> Objective:
        dim = self.dim or (cf.shape[1] if self.projection == "none" else RQVAECodes.dim)
        epoch = -(-len(text) // self.training.batch_size)
        return Objective(
            RQVAE(text.shape[1], self.levels, self.size, dim),
            self.reduction,
            epsilon=self.epsilon,
            regularizers={
                "alignment": Alignment(cf, warm, dim, self.projection),
                "diversity": Diversity(max(REFRESH, epoch), number(self.training.seed)),
            },
            weights={"alignment": self.alpha, "diversity": self.beta},
            gradient=self.training.gradient,
        )

    def encode(self, embeddings: Mapping[str, np.ndarray], built: Mapping[str, np.ndarray]) -> np.ndarray:
        """See `ItemCodes.encode`: the nearest codes where they are free, the nearest free ones otherwise.

        They follow the text alone: nothing is known yet of who takes a new item.
        """
        return settled(built, embeddings[TEXT])


def encode(built: Mapping[str, np.ndarray], text: np.ndarray) -> np.ndarray:
    """Nearest codes, int64 [n, L], of text embeddings [n, d] in the arrays of either recipe."""
    return RQVAE.load(built).codes(torch.from_numpy(text)).numpy()


def parted(network: RQVAE, text: Tensor, nearest: Tensor, epsilon: float) -> tuple[Tensor, dict[str, object]]:
    """Codes [N, L] that no two items share, and what it took to make them of the nearest ones, as json.

    Args:
        network: a trained quantiser.
        text: [N, text_dim], embeddings as they come.
        nearest: [N, L] long, the nearest codes.
        epsilon: of the transport; with 0 items go to free codes at once.
    """
    latents, codebooks = network.latents(text), network.codebooks.detach()
    carried = spread(nearest, latents, codebooks, epsilon) if epsilon else nearest
    codes = assign(carried, latents, codebooks)
    return codes, {
        "nearest": diagnose(nearest, [codebooks.shape[1]] * len(codebooks)),
        "moved_by_transport": _moved(nearest, carried),
        "moved_to_free_codes": _moved(carried, codes),
        "moved_to_another_prefix": _moved(nearest[:, :-1], codes[:, :-1]),
    }


def settled(built: Mapping[str, np.ndarray], text: np.ndarray) -> np.ndarray:
    """Nearest codes that are free, int64 [n, L], of text embeddings [n, d] that come to what either recipe built."""
    network, new = RQVAE.load(built), torch.from_numpy(text)
    there = torch.from_numpy(built[CODES])
    return settle(network.codes(new), network.latents(new), network.codebooks.detach(), there).numpy()


def _moved(before: Tensor, after: Tensor) -> int:
    """How many rows differ."""
    return int((before != after).any(1).sum())
