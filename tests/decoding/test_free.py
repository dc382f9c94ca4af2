"""Free beam search against trying every text, against a slow beam, and against transformers."""

from __future__ import annotations

from copy import deepcopy
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import T5ForConditionalGeneration

from genrec.backbones import T5Backbone
from genrec.backbones.attention import tree as trees
from genrec.decoding.free import free_search
from genrec.identifiers.writer import TokenWriter
from genrec.testing import tiny_backbone
from genrec.types import PAD, Tokens

from ..identifiers.sequences import Given, Model

END = 0
HISTORY = torch.tensor([[PAD, PAD, 1], [0, 1, 2], [PAD, PAD, PAD]])


class Table:
    """A language model whose next token depends on all before it, drawn at random once for every text."""

    def __init__(self, users: int, words: int, seed: int, sharp: float = 2.0) -> None:
        self.users, self.words, self.seed, self.sharp = users, words, seed, sharp

    def log_probs(self, user: int, text: tuple[int, ...]) -> Tensor:
        generator = torch.Generator().manual_seed(hash((self.seed, user, text)) % 2**31)
        return (self.sharp * torch.randn(self.words, generator=generator)).log_softmax(0)

    def begin(self) -> Tensor:
        self.texts: list[tuple[int, tuple[int, ...]]] = [(user, ()) for user in range(self.users)]
        return torch.arange(self.users, dtype=torch.float32).view(-1, 1, 1)

    def write(self, tokens: Tensor, parents: Tensor) -> Tensor:
        before = len(self.texts) // self.users
        self.texts = [
            (user, (*self.texts[user * before + parent][1], token))
            for user in range(self.users)
            for token, parent in zip(tokens[user].tolist(), parents[user].tolist(), strict=True)
        ]
        return torch.arange(len(self.texts), dtype=torch.float32).view(*tokens.shape, 1)

    def likeliest(self, states: Tensor, count: int) -> tuple[Tensor, Tensor]:
        rows = torch.stack([self.log_probs(*self.texts[int(state)]) for state in states[:, 0]])
        top = rows.topk(min(count, self.words))
        return top.values, top.indices

    def score(self, user: int, text: tuple[int, ...], longest: int, penalty: float) -> float:
        """Of a text, closed unless it is as long as can be."""
        path = text if len(text) == longest else (*text, END)
        total = sum(float(self.log_probs(user, path[:place])[token]) for place, token in enumerate(path))
        return total / len(path) ** penalty


def texts_of(found: Tensor) -> list[tuple[int, ...]]:
    return [tuple(token for token in row if token != PAD) for row in found.tolist()]


@settings(max_examples=40)
@given(st.integers(2, 4), st.integers(1, 4), st.sampled_from([0.0, 0.5, 1.0, 2.0]), st.integers(0, 1000))
def test_a_wide_beam_finds_the_best_of_all_texts(words: int, longest: int, penalty: float, seed: int) -> None:
    model = Table(3, words, seed)
    every = [text for length in range(longest + 1) for text in product(range(1, words), repeat=length)]
    found = texts_of(free_search(model, END, words**longest, longest, penalty))
    for user, text in enumerate(found):
        scores = {text: model.score(user, text, longest, penalty) for text in every}
        assert scores[text] == pytest.approx(max(scores.values()), abs=1e-5)


def slow_beam(model: Table, user: int, beams: int, longest: int, penalty: float) -> tuple[int, ...]:
    """One user, lists of texts, until the longest: no early stop."""
    live: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    finished: list[tuple[float, tuple[int, ...]]] = []
    for length in range(1, longest + 1):
        following = [
            (score + float(added), (*text, token))
            for score, text in live
            for token, added in enumerate(model.log_probs(user, text))
        ]
        best = sorted(following, reverse=True)[: 2 * beams if beams > 1 else 1]
        finished += [(s / length**penalty, text[:-1]) for s, text in best[:beams] if text[-1] == END]
        live = [(s, text) for s, text in best if text[-1] != END][:beams]
    finished += [(score / longest**penalty, text) for score, text in live]
    return max(finished)[1]


@settings(max_examples=60)
@given(st.integers(3, 6), st.integers(1, 7), st.integers(1, 5), st.sampled_from([0.0, 1.0]), st.integers(0, 1000))
def test_a_narrow_beam_is_the_slow_one(words: int, longest: int, beams: int, penalty: float, seed: int) -> None:
    model = Table(3, words, seed, sharp=1.0)
    found = texts_of(free_search(model, END, beams, longest, penalty))
    assert found == [slow_beam(model, user, beams, longest, penalty) for user in range(3)]


def test_it_stops_when_nothing_can_become_better() -> None:
    class Certain(Table):
        def log_probs(self, user: int, text: tuple[int, ...]) -> Tensor:
            likely = END if len(text) == 2 else 1
            return torch.where(torch.arange(self.words) == likely, -0.01, -9.0)

    model = Certain(2, 5, 0)
    steps = []
    write = model.write
    model.write = lambda *args: steps.append(1) or write(*args)  # type: ignore[method-assign, func-returns-value]
    assert texts_of(free_search(model, END, 4, 50)) == [(1, 1), (1, 1)]
    assert len(steps) == 2


def open_model(kind: str) -> Model:
    """Words as they are, of a language model that closes a text now and then."""
    backbone = tiny_backbone(kind)
    model = Model(Given([(0,), (1,), (2,)]), backbone, 3)
    with torch.no_grad():
        backbone.head()[backbone.end] = 8 * torch.randn(32, generator=torch.Generator().manual_seed(0))
    return model


@pytest.mark.parametrize(("beams", "penalty"), [(1, 0.0), (4, 0.0), (4, 1.0), (7, 0.5)])
def test_it_finds_what_transformers_finds(beams: int, penalty: float) -> None:
    model = open_model("t5")
    assert isinstance(model.backbone, T5Backbone)
    names = model.identifier.names
    names.tokens = []
    config = deepcopy(model.backbone.t5.config)
    config._attn_implementation = "eager"
    whole: Any = T5ForConditionalGeneration(config)
    whole.shared.load_state_dict(model.backbone.t5.shared.state_dict())
    whole.encoder.load_state_dict(model.backbone.t5.encoder.state_dict())
    whole.decoder.load_state_dict(model.backbone.t5.decoder.state_dict())
    words = torch.randint(3, 200, (16, 5), generator=torch.Generator().manual_seed(0))
    context = Tokens.ordered(model.backbone.words(words).detach())
    with torch.no_grad():
        writer = TokenWriter(names, model.backbone, model.backbone.read(context), "full")
        found = free_search(writer, model.backbone.end, beams, 12, penalty)
    expected = whole.eval().generate(
        inputs_embeds=model.backbone.words(words),
        decoder_start_token_id=model.backbone.start,
        num_beams=beams,
        **({"length_penalty": penalty} if beams > 1 else {}),
        early_stopping="never" if beams > 1 else False,
        do_sample=False,
        max_new_tokens=12,
        use_cache=True,
    )
    ends = {model.backbone.end, model.backbone.tokenizer.pad_token_id}
    expected = [tuple(t for t in row[1:].tolist() if t not in ends) for row in expected]
    assert texts_of(found) == expected
    assert len({len(text) for text in expected}) > 1, "texts of one length would not show how they close"


@pytest.mark.parametrize("kind", ["t5", "causal"])
def test_a_user_alone_is_written_to_as_in_a_batch(kind: str) -> None:
    model = open_model(kind)
    writer = TokenWriter(model.identifier.names, model.backbone, model.read(HISTORY), "full")
    with torch.no_grad():
        together = free_search(writer, model.backbone.end, 4, 8, 1.0)
        for user, row in enumerate(HISTORY):
            memory = model.read(row[row != PAD][None])
            alone = TokenWriter(model.identifier.names, model.backbone, memory, "full")
            assert torch.equal(free_search(alone, model.backbone.end, 4, 8, 1.0)[0], together[user])


@pytest.mark.parametrize("kind", ["t5", "causal"])
def test_what_the_tree_of_beams_forgets_changes_no_text(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_model(kind)
    history = torch.randint(-1, 3, (8, 4), generator=torch.Generator().manual_seed(0)).sort(1).values
    found = []
    for crowded in (0.0, 1.0, trees.CROWDED):
        monkeypatch.setattr(trees, "CROWDED", crowded)
        writer = TokenWriter(model.identifier.names, model.backbone, model.read(history), "full")
        with torch.no_grad():
            found.append(free_search(writer, model.backbone.end, 4, 12, 1.0))
    assert torch.equal(found[1], found[0])
    assert torch.equal(found[2], found[0])
    assert len({len(text) for text in texts_of(found[0])}) > 1, "texts of one length would not show who ended early"
