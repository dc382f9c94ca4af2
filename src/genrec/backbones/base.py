"""What an identifier may ask of a language model: read a prompt, write query tokens, embed words."""

from __future__ import annotations

import difflib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor, nn

from genrec.backbones.attention.tree import Tree
from genrec.backbones.encoder import TextEncoder
from genrec.backbones.lora import own_parameters
from genrec.devices import SHORT, shortens
from genrec.errors import GenrecError, first_line
from genrec.types import Packed, Tokens

Memory = Any
"""What `Backbone.read` keeps of the prompts of B users; only the backbone that made it looks inside.

``memory.select(rows)`` are the prompts of some users [n] long, in this order; a user may be among them several times.
"""

STEP = 8
"""Of the lengths of sequences in a compiled model."""

HEAD = "lm_head.weight"
"""The output layer of a language model, in its files."""

KINDS = 32
"""Graphs of one kind of layer, at most."""


class Read(NamedTuple):
    """Prompts that were read already, in the place of those that are still to be read.

    Args:
        memory: what `Backbone.read` returned.
    """

    memory: Memory


Context = Tokens | Packed | Read
"""What a loss hands to the backbone; nobody else looks inside."""


class Backbone(nn.Module, ABC):
    """A language model that reads and writes `Tokens`.

    Attributes:
        tokenizer: the Hugging Face tokenizer; there after `setup`.
        width: D, the size of an embedding; there after `setup`.
        start: token id of the word that opens what is written; there after `setup`.
        end: token id of the word that closes it; there after `setup`.
        multiple: sequences are padded to a multiple of this length.
        only_safetensors: refuse a model whose weights come in a format that is a pickle.
        head_scale: what a hidden state is multiplied with before it is compared with the rows of `head`.
    """

    tokenizer: transformers.PreTrainedTokenizerBase
    width: int
    start: int
    end: int
    head_scale: float = 1.0
    multiple: int = 1
    only_safetensors: bool = False

    @abstractmethod
    def setup(self, texts: Sequence[str], whole: Sequence[str] = ()) -> None:
        """Create tokenizer and model. Called once, before a checkpoint is restored.

        Args:
            texts: all text the model will meet; a backbone without a tokenizer of its own builds one from it.
            whole: texts of which such a tokenizer takes every word as one token; they need not be among the others.
        """

    @abstractmethod
    def describe(self) -> str:
        """The model in a few words, for the tables of results."""

    @abstractmethod
    def words(self, ids: Tensor) -> Tensor:
        """The model's own word embeddings of token ids of any shape [...]: [..., D]."""

    @abstractmethod
    def head(self) -> Tensor:
        """Output embeddings [V, D]; a state times `head_scale`, multiplied with them, gives the next word's logits."""

    @property
    def tied(self) -> bool:
        """Whether words are read and written with the same table: there is no layer ``output`` of its own."""
        return "output" not in self._modules

    def writes_words(self) -> None:
        """Let the output layer learn as the rest does; an identifier that uses `head` says so in its own setup.

        Otherwise a layer of its own stands still: nobody uses it, and data-parallel training waits for the gradient of
        whatever learns.
        """

    @abstractmethod
    def read(self, context: Tokens) -> Memory:
        """Encode the prompt, once per user."""

    @abstractmethod
    def write(self, memory: Memory, query: Tokens, parents: Tensor | None = None) -> Tensor:
        """Decode query tokens against a prompt that was read.

        Args:
            memory: what `read` returned.
            query: Q tokens per user, or one row that serves all users.
            parents: [B, Q] long, or [1, Q] where all users' trees are alike: the index of every token's parent, -1 for
                those that follow the prompt. Each sees its ancestors and itself only, and its sisters where their set
                sees (`genrec.backbones.attention.masks.tree_sight`): so beams that are sets stand side by side with
                all parents -1 and sets -2, -3, -4 ... None derives order and visibility from ``query.sets``.

        Returns:
            [B, Q, D], the model's last hidden state at every query token.
        """

    @abstractmethod
    def tree(self, memory: Memory) -> Tree:
        """Begin to write tokens after a prompt generation by generation, as a tree of beams; `write` stays possible."""

    @abstractmethod
    def encoder(self) -> TextEncoder:
        """The model as it is, as an encoder of texts that later training does not change; call it after `setup`."""

    @abstractmethod
    def layers(self) -> list[nn.Module]:
        """The model's equal layers, as far as they are used through ``forward`` alone; there after `setup`."""

    def compile_layers(self, layers: Iterable[nn.Module]) -> None:
        """Compile layers of the model one by one: those that are alike are compiled once.

        Lengths become multiples of `STEP`, so that there are few. Ranking, whose caches grow, goes on as it is.
        """
        self.multiple = STEP
        # First and later layers, encoder and decoder, two lengths of each: PyTorch gives up after 8 kinds of one layer.
        torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, KINDS)
        for layer in layers:
            layer.compile()

    def kept_elsewhere(self) -> set[str]:
        """Names in the state dict that a checkpoint need not hold: `setup` brings the same values back."""
        return set()

    def save(self, folder: Path) -> dict[str, str | None]:
        """Write into the folder of a saved recommender what `setup` is to read there, if that is not the same anywhere.

        A backbone that keeps this default is made anew as it was, from its arguments and the titles of the items, and
        gets its parameters from the file that holds all.

        Args:
            folder: to make folders in, of safetensors, json and texts.

        Returns:
            arguments of the constructor that are others from now on: the name of a folder that was made, or None for
            one that is to be left out.
        """
        return {}

    def save_adapter(self, folder: Path, rows: Mapping[str, Tensor]) -> None:
        """Write what was learned for other programs, where that is adapters of a model that they can get; else nothing.

        Args:
            folder: to make, as peft reads it.
            rows: see `genrec.backbones.lora.LoRA.save`.
        """

    def brings(self) -> Sequence[str]:
        """The parts (`named_children`) whose parameters `setup` finds in files, such as those that `save` writes."""
        return ()

    def forward(self, context: Context, query: Tokens) -> Tensor:
        """Training: read and write in one pass.

        Args:
            context: a prompt per user, or the `Packed` prompts of a backbone that can read them; `Read` ones are not
                read again.
            query: Q tokens per prompt, or one row that serves all.

        Returns:
            [B, Q, D], or [R, Q, D] for R packed prompts.

        Raises:
            GenrecError: if this backbone cannot read packed prompts.
        """
        if isinstance(context, Packed):
            raise GenrecError(
                f"{type(self).__name__} reads every prefix by itself: give `data.samples: prefixes` or a CausalBackbone"
            )
        memory = context.memory if isinstance(context, Read) else self.read(context)
        return self.write(memory, query)

    def repeated(self, context: Context, times: int) -> Context:
        """Every prompt so many times, one behind the other, for as many queries; it is read only once.

        Args:
            context: B prompts of any kind.
            times: n, of each.

        Returns:
            B * n prompts to hand to `forward`.
        """
        if isinstance(context, Packed):
            users, cuts = (part.repeat_interleave(times) for part in (context.users, context.cuts))
            suffix = context.suffix
            if len(suffix.mask) > 1:
                parts = (part.repeat_interleave(times, 0) for part in (suffix.embeds, suffix.mask, suffix.sets))
                suffix = Tokens(*parts)
            return Packed(context.trunk, suffix, users, cuts, context.slots * times)
        memory = context.memory if isinstance(context, Read) else self.read(context)
        rows = torch.arange(len(memory.mask), device=memory.mask.device)
        return Read(memory.select(rows.repeat_interleave(times)))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Backbone:
        """Every move and cast of a module comes through here: only weights that do not learn may become short.

        Raises:
            GenrecError: if weights of the language model that learn would.
        """
        if shortens(fn) and any(weight.requires_grad for _, weight in own_parameters(self)):
            raise GenrecError(
                "a language model that learns in full cannot have weights of 16 bits, in which small steps are lost: "
                "use `trainer.precision: bf16-mixed`, or `tuning: lora` or `frozen` of a CausalBackbone"
            )

        def kept(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            still = isinstance(tensor, nn.Parameter) and not tensor.requires_grad
            return moved if still or moved.dtype not in SHORT else tensor.to(moved.device)

        super()._apply(kept, recurse)
        return self


_SIZE = re.compile("^(d|num)_|_size$")
"""Fields that no model can do without."""


def known_sizes(sizes: dict[str, Any], config: type) -> dict[str, Any]:
    """The sizes of a new model, once each is known to be a field of its configuration.

    Raises:
        GenrecError: for another, as a configuration takes whatever it is given and does not read it; and for a value
            that none can have.
    """
    known = set(config.__annotations__) - {"vocab_size"}
    for name in sizes:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(sorted(known))}"
            raise GenrecError(f"`sizes` has `{name:.80}`, which is no field of {config.__name__}: {hint}")
        if _SIZE.search(name) and type(sizes[name]) is int and sizes[name] < 1:
            raise GenrecError(f"`sizes` has `{name}: {sizes[name]}`: give 1 or more")
    try:
        config(**sizes)
    except Exception as error:
        reason = first_line(error.__cause__ or error)  # type: ignore[arg-type] # nobody interrupts it
        raise GenrecError(f"no {config.__name__} can have these `sizes`: {reason}") from error
    return sizes


def check_whole(about: Mapping[str, Any]) -> None:
    """Whether the files of a pre-trained model held all of its weights; those that they lack were made up.

    The output layer may be missing: a saved recommender keeps its own, and most identifiers have no use for it.

    Args:
        about: what was told of its loading.

    Raises:
        GenrecError: if not.
    """
    if lacking := sorted(name for name in about["missing_keys"] if name != HEAD):
        raise GenrecError(f"its files lack {len(lacking)} of its weights, such as `{lacking[0]}`.")
