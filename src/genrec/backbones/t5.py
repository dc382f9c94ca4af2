"""T5: the encoder reads the prompt, the decoder writes the query tokens.

Hugging Face's T5 knows one position per token and one kind of mask. Here both come from the tokens' sets, so position
bias and mask are computed outside and handed over: as ONE additive attention mask, or as a rule and a table for
FlexAttention. The attention function below adds them and nothing else. No model class is changed, no state is kept
between calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
import transformers
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask

from genrec.backbones.attention import Attention, Sight, flex, masks, pattern, uses_flex
from genrec.backbones.attention.bias import additive_mask
from genrec.backbones.attention.tree import Tree, take_columns
from genrec.backbones.base import Backbone, check_whole, known_sizes
from genrec.backbones.dropout import dropout as drop
from genrec.backbones.dropout import take_place
from genrec.backbones.encoder import T5TextEncoder, TextEncoder
from genrec.backbones.inner import change_cache, distance_table
from genrec.backbones.saved import save_model, save_tokenizer
from genrec.backbones.words import load_tokenizer
from genrec.errors import GenrecError
from genrec.io.bounds import at_most, lifted, room_of
from genrec.types import Tokens

ATTENTION = "genrec_t5"


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | BlockMask | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    position_bias: Tensor | None = None,
    distances: flex.Bias | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """PyTorch's kernels; T5's own position bias is left out because the mask, or ``distances``, holds the right one."""
    if isinstance(attention_mask, BlockMask):
        out = flex.attend(query, key, value, attention_mask, scaling, distances)
    elif dropout and query.device.type == "cpu":
        # With dropout PyTorch has no kernel for a CPU either.
        scale = query.shape[3] ** -0.5 if scaling is None else scaling
        logits = (query if scale == 1 else query * scale) @ key.transpose(2, 3)
        weights = (logits if attention_mask is None else logits + attention_mask).softmax(3)
        out = drop(weights, dropout) @ value
    else:
        out = F.scaled_dot_product_attention(
            query, key, value, attn_mask=attention_mask, dropout_p=dropout, scale=scaling, is_causal=False
        )
    return out.transpose(1, 2).contiguous(), None


class T5Memory(NamedTuple):
    """An encoded prompt: states [B, S, D] and which of them are real, [B, S] bool."""

    states: Tensor
    mask: Tensor

    def select(self, rows: Tensor) -> T5Memory:
        """See `genrec.backbones.base.Memory`."""
        return T5Memory(self.states[rows], self.mask[rows])


class T5Backbone(Backbone):
    """A T5 by name, or a new one from its sizes.

    Args:
        pretrained: name or folder of a pre-trained T5, such as ``google-t5/t5-small``; None makes a new one.
        sizes: fields of `transformers.T5Config` (``d_model``, ``num_layers`` ...) of a new model.
        tokenizer: folder or name of a tokenizer for a new model; None builds one from the catalogue's words.
        query_mask: ``sets`` is what the tokens say. ``additive`` is SETRec's release: the identity matrix is added to
            the attention logits of query tokens, and they do see each other.
        positions: ``compact`` has no gaps, and padding takes no position (the paper). ``raw`` is the release, see
            `genrec.backbones.attention.masks.raw_positions`.
        attention: how the encoder attends: ``dense`` writes the mask and the bias of every pair of tokens down, once
            for all layers; ``flex`` is PyTorch's FlexAttention, which does not, and has no dropout of the attention's
            weights; ``auto`` is ``flex`` to train on a GPU where no such dropout is asked for.
        compile: compile the layers for training (`torch.compile`).

    Raises:
        GenrecError: if both or neither of ``pretrained`` and ``sizes`` are given, or the model cannot be had.
    """

    def __init__(
        self,
        pretrained: str | None = None,
        sizes: dict[str, Any] | None = None,
        tokenizer: str | None = None,
        query_mask: Literal["sets", "additive"] = "sets",
        positions: Literal["compact", "raw"] = "compact",
        attention: Attention = "auto",
        compile: bool = False,  # noqa: A002
    ) -> None:
        super().__init__()
        if (pretrained is None) == (sizes is None):
            raise GenrecError(
                "T5Backbone takes either `pretrained` (a model's name or folder) or `sizes` (a new model)"
            )
        self.pretrained = pretrained
        self.sizes = known_sizes(sizes or {}, transformers.T5Config)
        self.tokenizer_name = tokenizer
        self.query_mask = query_mask
        self.attention: Attention = attention
        self.compile_model = compile
        self.positions = masks.positions if positions == "compact" else masks.raw_positions

    def setup(self, texts: Sequence[str], whole: Sequence[str] = ()) -> None:
        """See `Backbone.setup`."""
        transformers.AttentionInterface.register(ATTENTION, _attend)
        if self.pretrained is not None:
            try:
                self.tokenizer = transformers.AutoTokenizer.from_pretrained(self.pretrained, trust_remote_code=False)
                with at_most(partial(room_of, self.pretrained), "its files"):
                    found: Any = transformers.T5ForConditionalGeneration.from_pretrained(
                        self.pretrained,
                        attn_implementation=ATTENTION,
                        dtype=torch.float32,
                        use_safetensors=self.only_safetensors or None,
                        output_loading_info=True,
                    )
                loaded, about = found
                check_whole(about)
            except (OSError, ValueError, RuntimeError) as error:
                reason = str(error).strip().splitlines()[0]
                raise GenrecError(
                    f"cannot load the model `{self.pretrained}`: {reason} Check the name and the connection, give a "
                    "local folder, or use a `..._small.yaml` config, which needs no network"
                ) from error
            with torch.device("meta"), lifted():
                self.t5 = transformers.T5Model(loaded.config)
            self.t5.shared, self.t5.encoder, self.t5.decoder = loaded.shared, loaded.encoder, loaded.decoder
            if loaded.lm_head.weight is not loaded.shared.weight:
                self.output = loaded.lm_head.requires_grad_(False)
        else:
            self.tokenizer = load_tokenizer(self.tokenizer_name, texts, whole)
            config = transformers.T5Config(
                vocab_size=len(self.tokenizer),
                pad_token_id=self.tokenizer.pad_token_id,
                eos_token_id=self.tokenizer.eos_token_id,
                use_cache=False,
                **self.sizes,
            )
            self.t5 = transformers.AutoModel.from_config(config, attn_implementation=ATTENTION)
        take_place(self.t5)
        self.width = self.t5.config.d_model
        self.start, self.end = self.tokenizer.pad_token_id, self.tokenizer.eos_token_id
        # The first T5 divides by sqrt(d_model) before its tied head; versions 1.1 do not, and have one of their own.
        self.head_scale = self.width**-0.5 if self.t5.config.scale_decoder_outputs else 1.0
        if self.compile_model:
            self.compile_layers([*self.t5.encoder.block, *self.t5.decoder.block])

    def describe(self) -> str:
        """See `Backbone.describe`."""
        return self.pretrained or "new T5, " + ", ".join(f"{key} {value}" for key, value in self.sizes.items())

    def layers(self) -> list[nn.Module]:
        """See `Backbone.layers`: the first of each stack holds the table of its biases, which is looked up here."""
        return [*self.t5.encoder.block[1:], *self.t5.decoder.block[1:]]

    def save(self, folder: Path) -> dict[str, str | None]:
        """See `Backbone.save`: a pre-trained model, or the tokenizer of a new one."""
        if self.pretrained is None:
            return save_tokenizer(folder, self.tokenizer)
        return save_model(folder, self.tokenizer, self.t5)

    def brings(self) -> Sequence[str]:
        """See `Backbone.brings`."""
        return () if self.pretrained is None else ("t5",)

    def words(self, ids: Tensor) -> Tensor:
        """See `Backbone.words`."""
        return self.t5.shared(ids)

    def head(self) -> Tensor:
        """See `Backbone.head`."""
        return self.t5.shared.weight if self.tied else self.output.weight

    def writes_words(self) -> None:
        """See `Backbone.writes_words`."""
        if not self.tied:
            self.output.requires_grad_(True)

    def read(self, context: Tokens) -> T5Memory:
        """See `Backbone.read`."""
        context = context.padded(-context.mask.shape[1] % self.multiple)
        encoder = self.t5.encoder
        dropout = encoder.config.dropout_rate if self.training else 0.0
        if uses_flex(self.attention, context.embeds, encoder.config.d_kv, dropout):
            place = self.positions(context).clamp(min=0)
            options: dict[str, Any] = {
                "attention_mask": flex.block_mask(Sight.both_ways(context)),
                "distances": flex.Bias(distance_table(encoder, place.shape[1]), place),
            }
        else:
            rows = pattern(context)
            place, seen = self.positions(rows), Sight.both_ways(rows).dense()
            options = {"attention_mask": additive_mask(encoder, seen, place, place)}
        return T5Memory(encoder(inputs_embeds=context.embeds, **options).last_hidden_state, context.mask)

    def write(self, memory: T5Memory, query: Tokens, parents: Tensor | None = None) -> Tensor:
        """See `Backbone.write`."""
        additive = parents is None and self.query_mask == "additive"
        if parents is not None:
            seen, place = masks.tree_sight(query, parents)
        else:
            rows = pattern(query.seeing() if additive else query)
            seen, place = Sight.backwards(rows).dense(), masks.positions(rows)
        mask = additive_mask(self.t5.decoder, seen, place, place)
        if additive:
            mask = mask + torch.eye(mask.shape[-1], dtype=mask.dtype, device=mask.device)
        out = self.t5.decoder(
            inputs_embeds=query.embeds.expand(len(memory.states), -1, -1),
            attention_mask=mask,
            encoder_hidden_states=memory.states,
            encoder_attention_mask=_hide(memory.mask, mask.dtype),
            use_cache=False,
        )
        return out.last_hidden_state

    def tree(self, memory: T5Memory) -> Tree:
        """See `Backbone.tree`."""
        return _T5Tree(self.t5.decoder, memory)

    def encoder(self) -> TextEncoder:
        """See `Backbone.encoder`: the mean of the encoder's states. Of a new model it says next to nothing."""
        return T5TextEncoder(self.tokenizer, self.start, self.t5.encoder)


class _T5Tree(Tree):
    """Keys and values of the prompt are computed in the first call, once per user, and kept."""

    def __init__(self, decoder: transformers.PreTrainedModel, memory: T5Memory) -> None:
        super().__init__(len(memory.mask))
        self.decoder = decoder
        self.memory = memory
        self.cache = transformers.EncoderDecoderCache(transformers.DynamicCache(), transformers.DynamicCache())

    def _keep(self, columns: Tensor) -> None:
        change_cache(self.cache.self_attention_cache, partial(take_columns, columns=columns))

    def _decode(self, embeds: Tensor, seen: Tensor, generations: Tensor) -> Tensor:
        # The new tokens are of one generation: one row of distances serves them all.
        mask = additive_mask(self.decoder, seen, generations[:, -1:], generations)
        with torch.compiler.set_stance("force_eager"):
            out = self.decoder(
                inputs_embeds=embeds,
                attention_mask=mask,
                encoder_hidden_states=self.memory.states,
                encoder_attention_mask=_hide(self.memory.mask, mask.dtype),
                past_key_values=self.cache,
                use_cache=False,
            )
        return out.last_hidden_state


def _hide(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """[B, 1, 1, S] additive: the real tokens of a prompt are seen by all."""
    return torch.zeros_like(mask, dtype=dtype).masked_fill(~mask, torch.finfo(dtype).min)[:, None, None, :]
