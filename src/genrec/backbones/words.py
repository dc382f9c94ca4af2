"""Tokenizers: one from a folder or hub, or a new one from the catalogue's own words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import TYPE_CHECKING

import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from genrec.errors import GenrecError, first_line

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

VOCABULARY = 8192
SPECIAL = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}


def load_tokenizer(name: str | None, texts: Sequence[str], whole: Sequence[str] = ()) -> PreTrainedTokenizerBase:
    """A tokenizer by folder or hub name; without a name, a byte-level BPE learned from ``texts`` (no network).

    The same texts always give the same tokenizer, so a checkpoint finds its vocabulary again.

    Args:
        name: None learns one.
        texts: what it is learned from.
        whole: texts of which a learned tokenizer takes every word as one token, such as stand in every prompt.

    Raises:
        GenrecError: if the tokenizer cannot be loaded.
    """
    if name is None:
        # Letters are joined by how often they stand together: these do so more often than all others.
        often = 1 + sum(len(text.split()) for text in texts)
        return _learn_tokenizer(chain(texts, chain.from_iterable(repeat(whole, often))))
    try:
        return transformers.AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except Exception as error:  # the readers of tokenizers raise bare exceptions
        raise GenrecError(f"cannot load a tokenizer from `{name}`: {first_line(error)}") from error


def _learn_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerBase:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL.values()),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL)
