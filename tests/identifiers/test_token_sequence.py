"""The family of token-sequence identifiers: reading, learning, adding items, saving."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import Qwen2Config, Qwen2ForCausalLM

from genrec.backbones import Backbone
from genrec.errors import GenrecError
from genrec.identifiers import NewToken, Search
from genrec.identifiers.names import ItemNames
from genrec.identifiers.targets import mean_loss
from genrec.testing import tiny_backbone
from genrec.testing.tiny import QWEN
from genrec.types import PAD, Batch

from ..windows import all_prefixes
from .sequences import Given, Model

PATHS = [(0, 2), (0, 3), (1, 2), (1,), (4, 4, 4), (0,)]
HISTORY = torch.tensor([[PAD, PAD, 4], [0, 5, 2], [PAD, PAD, PAD]])
TARGET = torch.tensor([1, 4, 3])


@pytest.fixture(params=["t5", "causal"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return tiny_backbone(request.param)


def test_a_history_is_the_identifiers_with_separators_between_two(backbone: Backbone) -> None:
    model = Model(Given(PATHS, separator=" ; "), backbone, 6)
    names = model.identifier.names
    tokens, _ = model.identifier.embed(HISTORY).compact()
    between = backbone.tokenizer(" ; ", add_special_tokens=False)["input_ids"]
    first = names.words
    ids = [first, first + 2, *between, first, *between, first + 1, first + 2]
    assert tokens.mask.sum(1).tolist() == [3, len(ids), 0]
    torch.testing.assert_close(tokens.embeds[1], names.look_up(torch.tensor(ids)))
    torch.testing.assert_close(tokens.embeds[0, -3:], names.look_up(torch.full((3,), first + 4)))


def test_a_blank_is_a_separator_for_the_real_t5_too(shared: Path) -> None:
    backbone = tiny_backbone("t5", tokenizer=str(shared / "data/tokenizers/t5"))
    model = Model(Given(PATHS, separator=" "), backbone, 6)
    assert backbone.tokenizer.convert_ids_to_tokens(model.identifier.names.separator.tolist()) == ["\u2581"]


def test_the_loss_is_the_mean_over_targets_in_units_of_an_average_identifier(backbone: Backbone) -> None:
    model = Model(Given(PATHS), backbone, 6)
    context = model.prompt(backbone, model.identifier.embed(HISTORY))
    with torch.no_grad():
        found = model.identifier.loss(backbone, context, HISTORY, TARGET)["loss"]
    scores = model.scores(HISTORY, closed=True)
    tokens = sum(len(path) + 1 for path in PATHS) / len(PATHS)
    expected = -sum(float(scores[user, item]) for user, item in enumerate(TARGET.tolist())) / tokens / len(TARGET)
    assert float(found) == pytest.approx(expected, abs=1e-4)


def test_the_temperature_divides_the_logits_of_training_alone() -> None:
    backbone = tiny_backbone("t5")
    plain, sharp = (Model(Given(PATHS, temperature=tau), backbone, 6) for tau in (1.0, 0.5))
    context = plain.prompt(backbone, plain.identifier.embed(HISTORY))
    with torch.no_grad():
        halved = mean_loss(plain.identifier.names, backbone, context, TARGET, 0.5)
        sharp.identifier.train()
        found = sharp.identifier.loss(backbone, context, HISTORY, TARGET)["loss"]
        assert float(found) == pytest.approx(float(halved), abs=1e-6)
        assert float(found) != pytest.approx(float(plain.identifier.loss(backbone, context, HISTORY, TARGET)["loss"]))
        sharp.identifier.eval()
        assert torch.equal(
            sharp.identifier.loss(backbone, context, HISTORY, TARGET)["loss"],
            plain.identifier.loss(backbone, context, HISTORY, TARGET)["loss"],
        )
    allowed = torch.ones(1, 6, dtype=torch.bool)
    assert torch.equal(plain.rank(HISTORY, 4, allowed).scores, sharp.rank(HISTORY, 4, allowed).scores)


def test_packed_prefixes_give_the_loss_and_gradients_of_separate_ones() -> None:
    backbone = tiny_backbone("causal")
    model = Model(Given(PATHS, separator=" ; "), backbone, 6)
    batch = Batch(torch.arange(2), torch.tensor([[PAD, 4, 0], [0, 5, 2]]), torch.tensor([3, 4]), torch.empty(2, 0))
    users, stops, history, target = all_prefixes(batch)
    tokens = model.identifier.embed(batch.history)
    per_item = tokens.mask.shape[1] // 3
    packed = model.prompt.packed(backbone, tokens, users, stops * per_item, most=4)
    together = model.identifier.loss(backbone, packed, history, target)["loss"]
    context = model.prompt(backbone, model.identifier.embed(history))
    apart = model.identifier.loss(backbone, context, history, target)["loss"]
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)
    reads = model.identifier.names.reads
    gradients = [torch.autograd.grad(loss, reads)[0] for loss in (together, apart)]
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=0)


def test_new_tokens_learn_under_lora_and_come_back(tmp_path: Any) -> None:
    pretrained = tiny_backbone("causal")
    pretrained.model.save_pretrained(tmp_path)  # type: ignore[union-attr, operator]
    pretrained.tokenizer.save_pretrained(tmp_path)

    def make() -> Model:
        backbone = tiny_backbone("causal", sizes=None, pretrained=str(tmp_path), tuning="lora")
        return Model(Given(PATHS), backbone, 6)

    model = make()
    context = model.prompt(model.backbone, model.identifier.embed(HISTORY))
    model.identifier.loss(model.backbone, context, HISTORY, TARGET)["loss"].backward()
    names = model.identifier.names
    assert names.reads.grad is not None
    assert (names.reads.grad.abs().sum(1) > 0).all()
    learned = [p for p in (*model.backbone.parameters(), *model.identifier.parameters()) if p.requires_grad]
    with torch.no_grad():
        for parameter in learned:
            parameter.add_(torch.randn_like(parameter) * 0.1)
    kept = {name: v for name, v in model.backbone.state_dict().items() if name not in model.backbone.kept_elsewhere()}
    assert kept
    assert all("lora" in name for name in kept)
    loaded = make()
    loaded.backbone.load_state_dict(kept, strict=False)
    loaded.identifier.load_state_dict(model.identifier.state_dict())
    torch.testing.assert_close(loaded.scores(HISTORY, True), model.scores(HISTORY, True), atol=1e-5, rtol=0)


def test_new_tokens_look_like_words_of_the_model() -> None:
    backbone = tiny_backbone("t5")
    with torch.no_grad():
        backbone.head().mul_(torch.linspace(1, 20, 32)).add_(3)
    names = ItemNames()
    names.setup(backbone, [NewToken(f"<{n}>") for n in range(2000)] + [NewToken("<red>", like="red train")])
    words = backbone.head().detach()
    torch.testing.assert_close(names.reads[:2000].mean(0), words.mean(0), atol=1.5, rtol=0)
    torch.testing.assert_close(names.reads[:2000].std(0), words.std(0), atol=0, rtol=0.1)
    ids = backbone.tokenizer("red train", add_special_tokens=False)["input_ids"]
    torch.testing.assert_close(names.reads[2000], words[ids].mean(0))


def test_a_model_with_two_tables_learns_new_rows_of_both(tmp_path: Any) -> None:
    tokenizer = tiny_backbone("causal").tokenizer
    config = Qwen2Config(vocab_size=len(tokenizer), tie_word_embeddings=False, **QWEN)  # type: ignore[arg-type]
    Qwen2ForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = Model(Given(PATHS), tiny_backbone("causal", sizes=None, pretrained=str(tmp_path)), 6)
    context = model.prompt(model.backbone, model.identifier.embed(HISTORY))
    model.identifier.loss(model.backbone, context, HISTORY, TARGET)["loss"].backward()
    names = model.identifier.names
    assert names.reads.grad is not None
    assert names.writes.grad is not None
    assert (names.writes.grad.abs().sum(1) > 0).all()


def test_items_that_are_added_keep_the_old_names_and_are_found() -> None:
    backbone = tiny_backbone("t5")
    model = Model(Given(PATHS), backbone, 6)
    before = model.identifier.names.codes.clone()
    model.identifier.paths = [*PATHS, (4, 0, 1, 2, 3), (2,)]
    catalog: Any = range(8)
    model.identifier.index(catalog, None)  # type: ignore[arg-type]
    assert torch.equal(model.identifier.names.codes[:6, :3], before)
    found = model.rank(HISTORY, 8, torch.ones(1, 8, dtype=torch.bool))
    assert found.items[0].sort(1).values.tolist() == [list(range(8))] * 3


def test_saved_identifiers_win_over_new_ones() -> None:
    backbone = tiny_backbone("t5")
    model, other = (
        Model(Given(PATHS), backbone, 6),
        Model(Given([(4, 4, 4, i % 5, i // 5) for i in range(6)]), backbone, 6),
    )
    other.identifier.load_state_dict(model.identifier.state_dict(), strict=True)
    allowed = torch.ones(1, 6, dtype=torch.bool)
    assert torch.equal(other.rank(HISTORY, 4, allowed).items, model.rank(HISTORY, 4, allowed).items)


def test_an_identifier_is_shown_in_words() -> None:
    model = Model(Given(PATHS), tiny_backbone("t5"), 6)
    assert model.identifier.names.show(4) == "<4><4><4>"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"beams": 0}, "at least one beam"),
        ({"length_penalty": -1.0}, "length penalty from 0"),
        ({"exact": True, "length_penalty": 1.0}, "an exact search needs"),
        ({"exact": True, "normalize": "children"}, "an exact search needs"),
    ],
)
def test_bad_searches(options: dict[str, Any], said: str) -> None:
    with pytest.raises(GenrecError, match=said):
        Search(**options)


def test_cross_entropy_is_that_of_torch() -> None:
    backbone = tiny_backbone("t5")
    model = Model(Given([(0, 1), (1, 0)]), backbone, 2)
    context = model.prompt(backbone, model.identifier.embed(HISTORY[2:]))
    names = model.identifier.names
    ids = torch.tensor([[backbone.start, names.words, names.words + 1]])
    query = type(context).ordered(names.look_up(ids))
    logits = backbone.head_scale * backbone(context, query)[0] @ torch.cat([backbone.head(), names.reads]).T
    labels = torch.tensor([names.words, names.words + 1, backbone.end])
    found = mean_loss(names, backbone, context, torch.tensor([0]))
    torch.testing.assert_close(found, F.cross_entropy(logits, labels), atol=1e-5, rtol=0)


@pytest.mark.parametrize("paths", [[(0, 2), (1, 2), (0, 3)], [(0, 2), (1,), (0, 3, 1)]])
def test_a_token_is_told_from_those_of_its_level(paths: list[tuple[int, ...]]) -> None:
    backbone = tiny_backbone("t5")
    model = Model(Given(paths, search=Search(normalize="level")), backbone, 3)
    names, levels = model.identifier.names, model.identifier.trie.levels
    context = model.prompt(backbone, model.identifier.embed(HISTORY[2:]))
    head = names.head(backbone)
    table = [[token for token in path if token != PAD] for path in names.paths().tolist()]
    ids = torch.tensor([[backbone.start, *table[2][:-1]]])
    states = backbone.head_scale * backbone(context, type(context).ordered(names.look_up(ids)))[0]
    surprise = 0.0
    for state, level, token in zip(states, levels, table[2], strict=False):
        surprise -= float((head[level] @ state).detach().softmax(0)[level == token].log())
    found = model.identifier.loss(backbone, context, HISTORY[2:], torch.tensor([2]))["loss"]
    assert float(found) == pytest.approx(surprise / (sum(map(len, table)) / len(table)), rel=1e-4)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        (torch.zeros(2, 1, dtype=torch.long), r"int64 \[2, L\], .* from row 4 on, not Tensor \(torch.int64 \[2, 1\]\)"),
        (np.zeros((6, 1), np.int64), r"not ndarray \(int64 \[6, 1\]\)"),
        (np.zeros((2, 1)), r"not ndarray \(float64 \[2, 1\]\)"),
        (np.zeros(2, np.int64), r"not ndarray \(int64 \[2\]\)"),
        ([[0], [1]], r"not list \(no array\)"),
        (np.array([[0, 1], [PAD, PAD]]), "the identifier of item 5 is empty, or has padding"),
        (np.array([[PAD, 1], [0, PAD]]), "the identifier of item 4 is empty, or has padding"),
        (np.zeros((2, 0), np.int64), "the identifier of item 4 is empty, or has padding"),
        (np.array([[10**6], [0]]), "tokens that the language model does not have"),
    ],
)
def test_names_that_a_class_cannot_mean(named: Any, said: str) -> None:
    model = Model(Given(PATHS[:4]), tiny_backbone("t5"), 4)
    model.identifier.name_items = lambda catalog, assets, known: named  # type: ignore[method-assign]
    with pytest.raises(GenrecError, match=said):
        model.identifier.index(range(6), None)  # type: ignore[arg-type]
