"""The first values of new embeddings."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from genrec.identifiers import NewRows, NewToken, TokenSequence, all_words, drawn_like
from genrec.identifiers.vocabulary import Vocabulary, first_rows
from genrec.testing import tiny_backbone
from genrec_baselines import CID, LETTER, TIGER, SemID


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


def test_rows_begin_like_the_words_anywhere_or_in_their_middle() -> None:
    torch.manual_seed(0)
    words = 5 + 10 * torch.randn(500, 3)
    rows = {kind: first_rows(kind, words.bfloat16(), 2000) for kind in get_args(NewRows)}
    assert {row.dtype for row in rows.values()} == {torch.float32}
    assert {tuple(row.shape) for row in rows.values()} == {(2000, 3)}
    torch.testing.assert_close(rows["matched"].std(0), words.std(0), rtol=0.1, atol=0)
    torch.testing.assert_close(rows["unit"].mean(0), torch.zeros(3), rtol=0, atol=0.1)
    torch.testing.assert_close(rows["unit"].std(0), torch.ones(3), rtol=0.1, atol=0)
    torch.testing.assert_close(rows["mean"], words.bfloat16().float().mean(0).expand(2000, 3))


@pytest.mark.parametrize("tied", [True, False])
def test_tables_that_are_read_and_written_begin_as_their_own_words_do(tied: bool) -> None:
    backbone = tiny_backbone("causal")
    if not tied:
        backbone.output = torch.nn.Linear(backbone.width, len(backbone.head()), bias=False)
    names = Vocabulary(new_rows="mean")
    names.setup(backbone, [NewToken("<a>"), NewToken("<b>", like="the"), NewToken("<c>")])
    (like,) = backbone.tokenizer("the", add_special_tokens=False)["input_ids"][:1]
    assert hasattr(names, "writes") is not tied
    for table, words in [(names.reads, all_words(backbone))] + ([] if tied else [(names.writes, backbone.head())]):
        torch.testing.assert_close(table[[0, 2]], words.mean(0).expand(2, -1))
        # What is like a text begins as it, whatever the others do.
        assert not torch.equal(table[1], table[0])
    assert like < names.words


@pytest.mark.parametrize("method", [TIGER, LETTER, CID, SemID])
def test_every_method_with_tokens_of_its_own_takes_the_key(method: type[TokenSequence]) -> None:
    assert method(new_rows="unit").names.new_rows == "unit"  # type: ignore[call-arg]
    assert method().names.new_rows == "matched"
