"""A tokenizer that is learned from the catalogue."""

from __future__ import annotations

from genrec.backbones.words import load_tokenizer
from genrec.recommenders.prompts import Prompt

TITLES = ["the next prober", "lightly used whiskers", "white items buyer", "afternoon history puzzle"] * 40


def test_every_word_of_the_prompt_is_one_token() -> None:
    prefix, suffix = Prompt().texts
    tokenizer = load_tokenizer(None, TITLES, (prefix, suffix))
    assert tokenizer.tokenize(prefix) == [(" " * bool(n) + w).replace(" ", "Ġ") for n, w in enumerate(prefix.split())]
    assert tokenizer.tokenize(suffix) == ["?;"]
    assert len(load_tokenizer(None, TITLES).tokenize(prefix)) > 2 * len(prefix.split())


def test_the_same_texts_give_the_same_tokenizer() -> None:
    first, second = (load_tokenizer(None, TITLES, Prompt().texts) for _ in range(2))
    assert first.get_vocab() == second.get_vocab()
    assert first.tokenize("the red buyer") == second.tokenize("the red buyer")
