"""Tokenizers: one from a folder or hub, or a new one from the catalogue's own words."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from genrec.errors import GenrecError

VOCABULARY = 8192
SPECIAL = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}


def load_tokenizer(name: str | None, texts: Sequence[str]) -> PreTrainedTokenizerBase:
    """A tokenizer by folder or hub name; without a name, a byte-level BPE learned from ``texts`` (no network).

    The same texts always give the same tokenizer, so a checkpoint finds its vocabulary again.

    Raises:
        GenrecError: if the tokenizer cannot be loaded.
    """
    if name is None:
        return _learn_tokenizer(texts)
    try:
        return AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise GenrecError(f"cannot load a tokenizer from `{name}`: {str(error).strip().splitlines()[0]}") from error


def _learn_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerBase:
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
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **SPECIAL)
