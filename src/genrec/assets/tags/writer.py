"""A language model that writes tags: diverse candidates, until each item has one that is free."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.modeling_outputs import BaseModelOutput

from genrec import devices
from genrec.errors import GenrecError

READ = 256
"""Tokens of an item's text that the generator reads."""
GROUPS = 10
"""Candidates per item and trial."""
PENALTIES = 9
"""Diversity penalties that are tried: 1, 2 ..."""
LONGER = 10
"""By so many tokens candidates differ in length at most; after all penalties the shortest must be so much longer."""
TRIALS = 30
"""After so many trials a name is made unique by a number."""


class TagWriter:
    """A model that writes tags, and what it wrote for single texts.

    Args:
        model: a sequence-to-sequence model.
        tokenizer: its tokenizer.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model: Any = model.eval()
        self.tokenizer: Any = tokenizer
        self.written: dict[tuple[str, int], list[str]] = {}

    @classmethod
    def load(cls, name: str) -> TagWriter:
        """A writer by name or folder.

        Raises:
            GenrecError: if it cannot be had.
        """
        try:
            writer = cls(
                AutoModelForSeq2SeqLM.from_pretrained(name, trust_remote_code=False),
                AutoTokenizer.from_pretrained(name, trust_remote_code=False),
            )
        except (OSError, ValueError) as error:
            raise GenrecError(
                f"cannot load the tag generator `{name}`: {str(error).strip().splitlines()[0]} Check the name and the "
                "connection, give a local folder, or use KeywordTags, which needs no network"
            ) from error
        writer.model.to(devices.gpu() or "cpu")
        return writer

    def candidates(self, texts: Sequence[str], batch_size: int) -> Iterator[Iterable[str]]:
        """What each of some items may be called, best first; nothing, where there is no text."""
        self.written.clear()
        for first in range(0, len(texts), batch_size):
            batch = texts[first : first + batch_size]
            written = iter(self.write(list(filter(None, batch)), 0))
            for text in batch:
                yield self._trials(text, next(written)) if text else []

    def _trials(self, text: str, names: list[str]) -> Iterator[str]:
        yield from names
        for trial in range(1, TRIALS):
            yield from self.write_one(text, trial)

    def write_one(self, text: str, trial: int) -> list[str]:
        """`write` for one text; equal items ask for the same."""
        key = text, trial
        if key not in self.written:
            (self.written[key],) = self.write([text], trial)
        return self.written[key]

    def read(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token ids [n, S] of texts and which of them are real."""
        inputs = self.tokenizer(list(texts), truncation=True, max_length=READ, padding=True, return_tensors="pt")
        return inputs["input_ids"].to(self.model.device), inputs["attention_mask"].to(self.model.device)

    @torch.inference_mode()
    def write(self, texts: list[str], trial: int) -> list[list[str]]:
        """`GROUPS` candidates per text: the greedy one, then those that differ more and more."""
        if not texts:
            return []
        rounds, step = divmod(trial, PENALTIES)
        ids, mask = self.read(texts)
        read = self.model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        written = self.model.generate(
            encoder_outputs=BaseModelOutput(read.repeat_interleave(GROUPS, 0)),
            attention_mask=mask.repeat_interleave(GROUPS, 0),
            logits_processor=LogitsProcessorList([Diversity(1.0 + step, self.tokenizer.eos_token_id)]),
            min_length=1 + LONGER * rounds,
            max_length=1 + LONGER * (rounds + 1),
            num_beams=1,
            do_sample=False,
        )
        names = self.tokenizer.batch_decode(written, skip_special_tokens=True)
        return [names[first : first + GROUPS] for first in range(0, len(names), GROUPS)]


class Diversity(LogitsProcessor):
    """Diverse beam search (Vijayakumar et al., 2018) with one beam per group, as a rule of greedy decoding.

    The rows of a text choose their next word in turn, and each is punished for the words that those before it chose at
    the same place. With one beam per group that is the whole method; transformers 5 has given it up.

    Args:
        penalty: what a word's logit loses for every row that chose it.
        end: the word that closes a text; finished rows choose no more.
    """

    def __init__(self, penalty: float, end: int) -> None:
        self.penalty = penalty
        self.end = end

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Logits [B * `GROUPS`, V] after the penalties."""
        rows = scores.unflatten(0, (-1, GROUPS)).clone()
        going = (input_ids[:, 1:] != self.end).all(1).unflatten(0, (-1, GROUPS))
        chosen = torch.zeros_like(rows[:, 0])
        for group in range(GROUPS):
            rows[:, group] -= self.penalty * chosen
            best = rows[:, group].argmax(1, keepdim=True)
            chosen.scatter_add_(1, best, going[:, group, None].to(chosen))
        return rows.flatten(0, 1)
