"""The first values of new embeddings."""

from __future__ import annotations

import pytest
import torch

from genrec.identifiers import all_words, drawn_like
from genrec.testing import tiny_backbone


@pytest.mark.parametrize("kind", ["t5", "causal"])
def test_all_words_are_what_the_model_reads(kind: str) -> None:
    backbone = tiny_backbone(kind)
    words = all_words(backbone)
    assert words.shape == (len(backbone.tokenizer), backbone.width)
    assert torch.equal(words[[3, 1]], backbone.words(torch.tensor([3, 1])))


def test_new_embeddings_have_the_mean_and_the_scale_of_the_words() -> None:
    torch.manual_seed(0)
    scales = torch.tensor([0.1, 1.0, 10.0])
    words = 5 * scales + scales * torch.randn(500, 3)
    found = drawn_like(words, 4, 1000)
    assert found.shape == (4, 1000, 3)
    assert not found.requires_grad
    torch.testing.assert_close(found.mean((0, 1)), words.mean(0), rtol=0.05, atol=0)
    torch.testing.assert_close(found.flatten(0, 1).std(0), words.std(0), rtol=0.05, atol=0)
    assert drawn_like(words.bfloat16(), 2).dtype == torch.float32
    assert drawn_like(words.requires_grad_(), 2).requires_grad is False
