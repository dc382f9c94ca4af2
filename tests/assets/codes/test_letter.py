from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genrec.assets.codes.codebooks import initialize
from genrec.assets.codes.fitting import Objective
from genrec.assets.codes.letter import Alignment, Diversity, alignment_loss, diversity_loss, draw_positives
from genrec.assets.codes.rqvae import RQVAE, Quantized, quantize
from genrec.errors import GenrecError


def quantized(latents: torch.Tensor) -> Quantized:
    empty = torch.zeros(len(latents), 1, 1)
    return Quantized(torch.zeros(len(latents), 1, dtype=torch.long), latents, empty, empty)


def test_alignment_by_hand() -> None:
    latents, cf = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    # Scores: 1 against 0, and 2 against 0.
    expected = (np.log(np.e + 1) - 1 + np.log(np.e**2 + 1) - 2) / 2
    assert alignment_loss(latents, cf).item() == pytest.approx(expected)


def test_cold_items_are_neither_anchors_nor_negatives() -> None:
    rng = np.random.default_rng(0)
    cf, known = rng.standard_normal((6, 3)).astype(np.float32), np.array([True, False, True, True, False, True])
    latents, rows = torch.randn(4, 3).requires_grad_(), torch.tensor([1, 0, 4, 3])
    loss = Alignment(cf, known, 3, "none")(torch.empty(0), quantized(latents), rows)
    torch.testing.assert_close(loss, alignment_loss(latents[[1, 3]], torch.from_numpy(cf[[0, 3]])))
    loss.backward()
    assert latents.grad is not None
    assert latents.grad.abs().sum(1).bool().tolist() == [False, True, False, True]


def test_a_batch_of_cold_items_says_nothing() -> None:
    alignment = Alignment(np.ones((3, 2), np.float32), np.array([True, False, False]), 2, "none")
    latents = torch.randn(2, 2).requires_grad_()
    loss = alignment(torch.empty(0), quantized(latents), torch.tensor([1, 2]))
    loss.backward()
    assert loss == 0


@pytest.mark.slow
def test_alignment_alone_makes_codes_point_to_their_own_items() -> None:
    torch.manual_seed(0)
    text, rows = torch.randn(64, 16), torch.arange(64)
    cf = 4 * np.eye(64, dtype=np.float32)
    network = RQVAE(16, levels=2, size=64, dim=64)
    network.fit_scale(text)
    initialize(network, text, balanced=False, seed=0)
    alignment = {"alignment": Alignment(cf, np.ones(64, dtype=bool), 64, "none")}
    objective = Objective(network, "mean", regularizers=alignment, weights={"alignment": 1.0})
    optimizer = torch.optim.AdamW(objective.parameters(), 1e-3)
    for _ in range(600):
        parts, found = objective(text, rows)
        optimizer.zero_grad()
        # It reaches the encoder alone: the quantisation term lets the codes follow.
        (parts["alignment"] + parts["quantization"]).backward()
        optimizer.step()
    accuracy = (found.latents @ torch.from_numpy(cf).T).argmax(1) == rows
    assert accuracy.float().mean() > 0.9


@pytest.mark.parametrize("projection", ["pca", "linear"])
def test_embeddings_of_another_width_are_projected(projection: str) -> None:
    cf = np.random.default_rng(0).standard_normal((20, 6)).astype(np.float32)
    alignment = Alignment(cf, np.arange(20) < 15, 3, projection)  # type: ignore[arg-type]
    loss = alignment(torch.empty(0), quantized(torch.randn(20, 3)), torch.arange(20))
    assert torch.isfinite(loss)
    if projection == "linear":
        loss.backward()
        assert alignment.map.weight.grad.abs().sum() > 0
    else:
        # The components of the largest variance over the known items, largest first.
        variance = alignment.cf[:15].var(0, correction=0)
        values = np.linalg.eigvalsh(np.cov(cf[:15].T, bias=True))[::-1]
        np.testing.assert_allclose(variance, values[:3], rtol=1e-4)


def test_widths_that_do_not_fit_are_refused() -> None:
    cf, known = np.ones((4, 6), np.float32), np.ones(4, dtype=bool)
    with pytest.raises(GenrecError, match=r"latents of 8 numbers cannot be aligned .* of 6: .*projection"):
        Alignment(cf, known, 8, "none")
    with pytest.raises(GenrecError, match="no 5 principal components"):
        Alignment(cf, known, 5, "pca")


def test_diversity_by_hand() -> None:
    codebook = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    # From code 0: code 1 scores 1*2, code 2 scores 0; from code 2: both others score 0.
    expected = (np.log(np.e**2 + 1) - 2 + np.log(1 + 1)) / 2
    loss = diversity_loss(codebook, torch.tensor([0, 2]), torch.tensor([1, 0]))
    assert loss.item() == pytest.approx(expected)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.integers(0, 50))
def test_positives_are_other_codes_of_the_same_cluster(members: list[int], seed: int) -> None:
    labels = torch.tensor([*members, *members, 4, 4])
    torch.manual_seed(seed)
    codes = torch.randint(len(labels), (100,))
    positives = draw_positives(codes, labels)
    assert (positives != codes).all()
    assert torch.equal(labels[positives], labels[codes])


def test_every_other_code_of_the_cluster_can_be_drawn() -> None:
    labels = torch.tensor([0, 1, 0, 1, 0, 0])
    torch.manual_seed(0)
    counts = draw_positives(torch.full((3000,), 2), labels).bincount(minlength=6)
    assert counts[[1, 2, 3]].tolist() == [0, 0, 0]
    # A third each: 1000 with a deviation of about 26.
    assert counts[[0, 4, 5]].min() > 1000 - 130


def test_diversity_moves_codebooks_alone_and_clusters_them_now_and_then() -> None:
    torch.manual_seed(0)
    codebooks, latents = torch.randn(2, 40, 3).requires_grad_(), torch.randn(9, 3).requires_grad_()
    diversity = Diversity(refresh=3, seed=0)
    labels = []
    for _ in range(4):
        loss = diversity(codebooks, quantize(latents, codebooks), torch.arange(9))
        labels.append(diversity.labels)
        codebooks.data = torch.randn(2, 40, 3)
    loss.backward()
    assert codebooks.grad is not None
    assert codebooks.grad.abs().sum() > 0
    assert latents.grad is None
    assert labels[0] is labels[1] is labels[2]
    assert not torch.equal(labels[0][0], labels[3][0])
    assert all(of_level.bincount().tolist() == [4] * 10 for of_level in labels[0])
