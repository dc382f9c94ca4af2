"""T5 through its own lens: what a stock Hugging Face T5 computes must come out where sets play no role."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from transformers import T5Config, T5ForConditionalGeneration, T5Model

from genrec.backbones import T5Backbone
from genrec.errors import GenrecError
from genrec.types import Tokens

from .tokens import grows_like_its_branches, random_tokens, with_padding

SIZES = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4}
WORDS = ["What would the user be likely to purchase next", "red train", "blue train"]


@pytest.fixture(scope="module")
def t5() -> T5Backbone:
    torch.manual_seed(0)
    backbone = T5Backbone(sizes=SIZES)
    backbone.setup(WORDS)
    # Biases of a new model are all alike; make positions matter.
    for stack in (backbone.t5.encoder, backbone.t5.decoder):
        torch.nn.init.normal_(stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight)
    return backbone.eval()


def test_ordered_tokens_give_what_a_stock_t5_gives(t5: T5Backbone) -> None:
    stock = T5Model(t5.t5.config).eval()
    stock.load_state_dict(t5.t5.state_dict())
    stock.set_attn_implementation("eager")
    context, query = random_tokens(2, 9), random_tokens(2, 5, seed=1)
    with torch.no_grad():
        expected = stock(inputs_embeds=context.embeds, decoder_inputs_embeds=query.embeds).last_hidden_state
        torch.testing.assert_close(t5(context, query), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("at", [0, 4, 9])
def test_padding_anywhere_is_inert(t5: T5Backbone, at: int) -> None:
    context, query = random_tokens(2, 9), random_tokens(2, 3, seed=1)
    with torch.no_grad():
        torch.testing.assert_close(t5(with_padding(context, 3, at), query), t5(context, query), atol=1e-5, rtol=1e-5)


def test_queries_of_a_set_are_blind_to_each_other(t5: T5Backbone) -> None:
    context, embeds = random_tokens(1, 9), random_tokens(1, 3, seed=1).embeds
    changed = embeds.clone()
    changed[:, 1] += 1
    with torch.no_grad():
        before, after = t5(context, Tokens.one_set(embeds)), t5(context, Tokens.one_set(changed))
    torch.testing.assert_close(after[:, [0, 2]], before[:, [0, 2]], atol=1e-6, rtol=0)
    assert (after[:, 1] - before[:, 1]).abs().max() > 1e-2


def test_a_tree_of_queries_equals_its_branches_one_by_one(t5: T5Backbone) -> None:
    context, embeds = random_tokens(1, 6), random_tokens(1, 4, seed=2).embeds
    parents = torch.tensor([[-1, 0, 0, 1]])
    with torch.no_grad():
        memory = t5.read(context)
        tree = t5.write(memory, Tokens.ordered(embeds), parents)[0]
        for branch in ([0, 1, 3], [0, 2]):
            alone = t5.write(memory, Tokens.ordered(embeds[:, branch]))[0]
            torch.testing.assert_close(tree[branch], alone, atol=1e-5, rtol=1e-5)


def test_one_row_of_queries_serves_all_users(t5: T5Backbone) -> None:
    context, query = random_tokens(3, 6), random_tokens(1, 2, seed=2)
    repeated = Tokens.ordered(query.embeds.expand(3, -1, -1))
    with torch.no_grad():
        torch.testing.assert_close(t5(context, query), t5(context, repeated))


def test_position_bias_learns(t5: T5Backbone) -> None:
    t5.zero_grad()
    t5(random_tokens(1, 5), random_tokens(1, 2)).sum().backward()
    for stack in (t5.t5.encoder, t5.t5.decoder):
        assert stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight.grad.abs().sum() > 0
    t5.zero_grad()


def test_the_same_words_make_the_same_tokenizer() -> None:
    first, second = T5Backbone(sizes=SIZES), T5Backbone(sizes=SIZES)
    for backbone in (first, second):
        backbone.setup(WORDS)
    assert first.tokenizer.get_vocab() == second.tokenizer.get_vocab()
    assert first.tokenizer.decode(first.tokenizer("red train")["input_ids"]) == "red train"


def test_a_tokenizer_from_a_folder(shared: Path) -> None:
    backbone = T5Backbone(sizes=SIZES, tokenizer=str(shared / "data/tokenizers/t5"))
    backbone.setup([])
    assert len(backbone.tokenizer) >= 32100
    assert backbone.words(torch.tensor([[3, 4]])).shape == (1, 2, 32)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: T5Backbone(), "either `pretrained`"),
        (lambda: T5Backbone(pretrained="x", sizes=SIZES), "either `pretrained`"),
        (lambda: T5Backbone(pretrained="/no/such/folder").setup([]), "cannot load the model `/no/such/folder`"),
        (lambda: T5Backbone(sizes=SIZES, tokenizer="/no/such/folder").setup([]), "cannot load a tokenizer"),
    ],
)
def test_bad_models_are_told_in_one_line(make: Callable[[], object], said: str) -> None:
    with pytest.raises(GenrecError, match=said) as error:
        make()
    assert "\n" not in str(error.value)


def test_a_saved_t5_loads_from_its_folder(t5: T5Backbone, tmp_path: Path) -> None:
    t5.t5.save_pretrained(tmp_path)
    t5.tokenizer.save_pretrained(tmp_path)
    loaded = T5Backbone(pretrained=str(tmp_path))
    loaded.setup([])
    context, query = random_tokens(1, 5), random_tokens(1, 2, seed=1)
    with torch.no_grad():
        torch.testing.assert_close(loaded.eval()(context, query), t5(context, query))


@torch.no_grad()
def test_a_tree_that_grows_equals_its_branches_one_by_one(t5: T5Backbone) -> None:
    grows_like_its_branches(t5)


@pytest.mark.parametrize("own_head", [False, True])
@torch.no_grad()
def test_logits_are_those_of_a_stock_t5(t5: T5Backbone, own_head: bool, tmp_path: Path) -> None:
    # Versions 1.1 say `tie_word_embeddings: false`, do not scale, and bring an output layer of their own.
    version = {"tie_word_embeddings": False, "feed_forward_proj": "gated-gelu"} if own_head else {}
    config = T5Config(vocab_size=300, decoder_start_token_id=0, **SIZES, **version)  # type: ignore[arg-type]
    made = T5ForConditionalGeneration(config)
    if own_head:
        made.lm_head.weight = torch.nn.Parameter(torch.randn(300, 32))
    made.save_pretrained(tmp_path)
    t5.tokenizer.save_pretrained(tmp_path)
    if own_head:
        about = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**about, "tie_word_embeddings": False}))
    stock = T5ForConditionalGeneration.from_pretrained(tmp_path, attn_implementation="eager").eval()
    backbone = T5Backbone(pretrained=str(tmp_path))
    backbone.setup([])
    context, query = random_tokens(2, 9), random_tokens(2, 5, seed=1)
    expected = stock(inputs_embeds=context.embeds, decoder_inputs_embeds=query.embeds).logits
    found = backbone.head_scale * backbone.eval()(context, query) @ backbone.head().T
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    assert (backbone.start, backbone.end) == (t5.tokenizer.pad_token_id, t5.tokenizer.eos_token_id)
    assert backbone.tied is not own_head
    assert backbone.head_scale == (1 if own_head else 32**-0.5)
    assert own_head or backbone.head() is backbone.t5.shared.weight
    assert not own_head or not backbone.head().requires_grad, "what nobody uses does not learn"
    backbone.writes_words()
    assert backbone.head().requires_grad


def test_a_t5_is_not_cast_to_short_numbers_because_it_learns() -> None:
    backbone = T5Backbone(sizes=SIZES)
    backbone.setup(WORDS)
    with pytest.raises(GenrecError, match=r"learns in full.*use `trainer.precision: bf16-mixed`"):
        backbone.to(torch.bfloat16)
    assert {p.dtype for p in backbone.double().parameters()} == {torch.float64}


def test_weights_that_were_saved_in_bfloat16_learn_in_float32(t5: T5Backbone, tmp_path: Path) -> None:
    deepcopy(t5.t5).bfloat16().save_pretrained(tmp_path)
    t5.tokenizer.save_pretrained(tmp_path)
    backbone = T5Backbone(pretrained=str(tmp_path))
    backbone.setup([])
    assert {parameter.dtype for parameter in backbone.parameters()} == {torch.float32}
