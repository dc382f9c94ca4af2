"""Decoder-only language models (Qwen2.5, Llama ...): prompt and query tokens are one sequence.

Hugging Face's models take mask and positions as arguments: those that we derive from the tokens' sets. What the prompt
leaves behind, its keys and values, is kept once per user and only read: queries and beams are more tokens of the same
sequence, never copies of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask

from genrec.backbones.attention import Attention, Sight, flex, masks, pattern, uses_flex
from genrec.backbones.attention.prompt import ATTENTION, CausalMemory, Grower, Recorder, attend
from genrec.backbones.attention.sequence import follow, side_by_side
from genrec.backbones.attention.tree import Tree
from genrec.backbones.base import Backbone, Context, Read, known_sizes
from genrec.backbones.dropout import take_place
from genrec.backbones.encoder import CausalTextEncoder, TextEncoder
from genrec.backbones.lora import LoRA
from genrec.backbones.pretrained import load_pretrained
from genrec.backbones.saved import save_model, save_tokenizer
from genrec.backbones.words import load_tokenizer
from genrec.devices import SHORT
from genrec.errors import GenrecError
from genrec.types import Packed, Tokens


class CausalBackbone(Backbone):
    """A decoder-only model by name, or a new one from its sizes.

    Args:
        pretrained: name or folder of a pre-trained model, such as ``Qwen/Qwen2.5-1.5B``, or ``package:NAME`` for the
            folder of an installed Python package that holds one; None makes a new one.
        sizes: fields of the model's configuration (``hidden_size``, ``num_hidden_layers`` ...) of a new model.
        family: what kind of model a new one is, ``qwen2`` or ``llama``.
        tokenizer: folder or name of a tokenizer for a new model; None builds one from the catalogue's words.
        tuning: what of a pre-trained model learns: ``full``, ``frozen``, or `lora`'s adapters alone.
        lora: the adapters' sizes.
        dtype: the numbers of the model's weights, ``float32`` or, if they do not learn, ``bfloat16``.
        bits: load the frozen weights in 8 or 4 bits (bitsandbytes, a GPU).
        activation_checkpointing: compute activations twice rather than keep them.
        gguf_file: the file of the folder that holds the weights, where they are in this format.
        attention: how a prompt and what follows it attend: ``dense`` writes down who sees whom, unless all see what is
            before them; ``flex`` is PyTorch's FlexAttention, which does not; ``auto`` is ``flex`` to train on a GPU.
        compile: compile the layers for training (`torch.compile`).

    Raises:
        GenrecError: if the arguments do not fit together, or the model cannot be had.
    """

    def __init__(
        self,
        pretrained: str | None = None,
        sizes: dict[str, Any] | None = None,
        family: Literal["qwen2", "llama"] = "qwen2",
        tokenizer: str | None = None,
        tuning: Literal["lora", "full", "frozen"] = "full",
        lora: LoRA | None = None,
        dtype: Literal["float32", "bfloat16"] = "float32",
        bits: Literal[4, 8] | None = None,
        activation_checkpointing: bool = False,
        gguf_file: str | None = None,
        attention: Attention = "auto",
        compile: bool = False,  # noqa: A002
    ) -> None:
        super().__init__()
        if (pretrained is None) == (sizes is None):
            raise GenrecError(
                "CausalBackbone takes either `pretrained` (a model's name or folder) or `sizes` (a new model)"
            )
        if bits is not None and tuning == "full":
            raise GenrecError("weights of 8 or 4 bits cannot be trained: choose `tuning: lora` or `frozen`")
        if dtype == "bfloat16" and tuning == "full":
            raise GenrecError(
                "weights in bfloat16 cannot be trained, small steps are lost in them: keep `dtype: float32` and use "
                "`trainer.precision: bf16-mixed`, or choose `tuning: lora` or `frozen`"
            )
        self.pretrained = pretrained
        self.sizes = known_sizes(sizes or {}, type(transformers.AutoConfig.for_model(family)))
        self.family = family
        self.tokenizer_name = tokenizer
        self.tuning = tuning
        self.lora = lora or LoRA()
        self.dtype = getattr(torch, dtype)
        self.bits = bits
        self.activation_checkpointing = activation_checkpointing
        self.gguf_file = gguf_file
        self.attention: Attention = attention
        self.compile_model = compile

    def setup(self, texts: Sequence[str], whole: Sequence[str] = ()) -> None:
        """See `Backbone.setup`."""
        transformers.AttentionInterface.register(ATTENTION, attend)
        if self.pretrained is None:
            self.tokenizer = load_tokenizer(self.tokenizer_name, texts, whole)
            config = transformers.AutoConfig.for_model(self.family, vocab_size=len(self.tokenizer), **self.sizes)
            self.model = transformers.AutoModel.from_config(
                config, attn_implementation=ATTENTION, dtype=self.dtype, trust_remote_code=False
            )
        else:
            self._load(self.pretrained)
        self.width = self.model.config.hidden_size
        # What a prompt is answered with begins on a new line; every tokenizer here has that word.
        self.start = self.tokenizer("\n", add_special_tokens=False)["input_ids"][-1]
        self.end = self.tokenizer.eos_token_id
        if self.tuning != "full":
            self.requires_grad_(False)
        if self.tuning == "lora":
            self.lora.insert(self.model)
        take_place(self.model)
        if self.activation_checkpointing:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
        if self.compile_model:
            self.compile_layers(self.layers())

    def _load(self, name: str) -> None:
        whole: Any
        self.tokenizer, whole = load_pretrained(name, self.dtype, self.bits, self.gguf_file, self.only_safetensors)
        self.model = whole.base_model
        if not whole.config.tie_word_embeddings:
            self.output = whole.get_output_embeddings().requires_grad_(False)

    def describe(self) -> str:
        """See `Backbone.describe`."""
        if self.pretrained is None:
            return f"new {self.family}, " + ", ".join(f"{key} {value}" for key, value in self.sizes.items())
        return f"{self.pretrained}, {self.tuning}"

    def layers(self) -> list[nn.Module]:
        """See `Backbone.layers`."""
        return list(self.model.layers)

    def kept_elsewhere(self) -> set[str]:
        """See `Backbone.kept_elsewhere`: the weights of a pre-trained model that do not learn."""
        if self.pretrained is None:
            return set()
        learned = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        return set(self.state_dict()) - learned

    def save(self, folder: Path) -> dict[str, str | None]:
        """See `Backbone.save`: a pre-trained model that has learned, or the tokenizer of a new one."""
        if self.pretrained is None:
            return save_tokenizer(folder, self.tokenizer)
        if self.kept_elsewhere():
            return {}
        return {**save_model(folder, self.tokenizer, self.model), "gguf_file": None}

    def save_adapter(self, folder: Path, rows: Mapping[str, Tensor]) -> None:
        """See `Backbone.save_adapter`."""
        if self.tuning == "lora" and self.pretrained is not None:
            self.lora.save(self.model, self.pretrained, folder, len(self.head()), rows)

    def brings(self) -> Sequence[str]:
        """See `Backbone.brings`."""
        return () if self.pretrained is None else ("model",)

    def words(self, ids: Tensor) -> Tensor:
        """See `Backbone.words`."""
        embeds = self.model.get_input_embeddings()(ids)
        return embeds.float() if embeds.dtype in SHORT else embeds

    def head(self) -> Tensor:
        """See `Backbone.head`."""
        return self.model.get_input_embeddings().weight if self.tied else self.output.weight

    def writes_words(self) -> None:
        """See `Backbone.writes_words`."""
        if not self.tied:
            self.output.requires_grad_(self.tuning == "full")

    def forward(self, context: Context, query: Tokens) -> Tensor:
        """See `Backbone.forward`; `Packed` prompts are read once for all their branches."""
        if isinstance(context, Packed):
            return self._branches(context, query)
        if isinstance(context, Read):
            return super().forward(context, query)
        sequence = follow(context, query)
        sequence = sequence.padded(-sequence.mask.shape[1] % self.multiple)
        states = self._run(sequence.embeds, *self._see(sequence))
        return states[:, states.shape[1] - query.mask.shape[1] :]

    def read(self, context: Tokens) -> CausalMemory:
        """See `Backbone.read`."""
        recorder = Recorder()
        mask, place = self._see(context)
        self._run(context.embeds, mask, place, recorder)
        length = (place[:, -1] + 1).expand(len(context.mask))
        return CausalMemory(recorder.keys, recorder.values, context.mask, length)

    def write(self, memory: CausalMemory, query: Tokens, parents: Tensor | None = None) -> Tensor:
        """See `Backbone.write`."""
        users = len(memory.mask)
        if parents is not None:
            seen, place = masks.tree_sight(query, parents)
        else:
            seen, place = Sight.backwards(query).dense(), masks.positions(query).clamp(min=0)
        count = query.mask.shape[1]
        prompt = memory.mask[:, None, :].expand(-1, count, -1)
        seen = torch.cat([prompt, seen.expand(users, -1, -1)], 2)
        embeds = query.embeds.expand(users, -1, -1)
        return self._run(embeds, seen[:, None], memory.length[:, None] + place, Grower(memory))

    def tree(self, memory: CausalMemory) -> Tree:
        """See `Backbone.tree`."""
        return _CausalTree(self, memory)

    def encoder(self) -> TextEncoder:
        """See `Backbone.encoder`: the last state of the last word, without the adapters."""
        return CausalTextEncoder(self.tokenizer, self.start, self.model, copy=self.tuning == "full")

    def _branches(self, packed: Packed, query: Tokens) -> Tensor:
        """All branches of all trunks in one pass: each sees its part of the trunk, and itself.

        Returns:
            [R, Q, D], the query tokens of every branch.
        """
        branch = follow(packed.suffix, query)
        laid = side_by_side(packed, branch, self.multiple)
        states = self._run(laid.embeds, self._mask(laid.sight), laid.places)
        slots, count = packed.slots, branch.mask.shape[1]
        written = states[:, states.shape[1] - slots * count :].unflatten(1, (slots, count))[laid.at]
        return written[:, packed.suffix.mask.shape[1] :]

    def _see(self, tokens: Tokens) -> tuple[Tensor | BlockMask | None, Tensor]:
        """The mask of a sequence, and where its tokens stand."""
        rows = tokens if self._flex(tokens.mask) else pattern(tokens)
        sight = Sight.backwards(rows)
        assert sight.places is not None
        return self._mask(sight), sight.places

    def _mask(self, sight: Sight) -> Tensor | BlockMask | None:
        """What tells the model's attention who sees whom; None is what it does by itself."""
        if self._flex(sight.real):
            return flex.block_mask(sight)
        return None if sight.plain() else sight.dense()[:, None]

    def _flex(self, example: Tensor) -> bool:
        config = self.model.config
        head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return uses_flex(self.attention, example, head, config.attention_dropout if self.training else 0.0)

    def _run(
        self,
        embeds: Tensor,
        mask: Tensor | BlockMask | None,
        place: Tensor,
        cache: Recorder | Grower | None = None,
    ) -> Tensor:
        """The last hidden states [B, S, D] of tokens, given who sees whom and where each stands [B, S]."""
        options = {"prompt": cache.memory} if isinstance(cache, Grower) else {}
        with torch.compiler.set_stance("force_eager") if cache else nullcontext():
            out = self.model(
                inputs_embeds=embeds.to(self.model.dtype),
                attention_mask=mask,
                position_ids=place.clamp(min=0).expand(len(embeds), -1),
                past_key_values=cache,
                use_cache=False,
                **options,
            )
        return out.last_hidden_state.to(embeds.dtype)


class _CausalTree(Tree):
    """Tokens behind a prompt whose keys and values stay where they are."""

    def __init__(self, backbone: CausalBackbone, memory: CausalMemory) -> None:
        super().__init__(len(memory.mask))
        self.backbone = backbone
        self.cache = Grower(memory)

    def _keep(self, columns: Tensor) -> None:
        self.cache.keep(columns)

    def _decode(self, embeds: Tensor, seen: Tensor, generations: Tensor) -> Tensor:
        memory, count = self.cache.memory, embeds.shape[1]
        seen = torch.cat([memory.mask[:, None, :].expand(-1, count, -1), seen], 2)
        place = memory.length[:, None] + generations[:, -count:]
        return self.backbone._run(embeds, seen[:, None], place, self.cache)
