"""Models of the right file layout with random weights, for a hub on this machine."""

from __future__ import annotations

from pathlib import Path

from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Dense, Normalize, Pooling, Transformer
from tokenizers import ByteLevelBPETokenizer, Tokenizer, normalizers, pre_tokenizers, trainers
from tokenizers.models import Unigram
from transformers import (
    AutoModelForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    T5Config,
    T5EncoderModel,
    T5ForConditionalGeneration,
)

T5_WORDS, QWEN_WORDS = 32_128, 2_000


def t5_tokenizer(texts: list[str], words: int) -> PreTrainedTokenizerFast:
    """Of T5's kind: pieces of words behind a mark, no beginning, an end, and padding that begins what is written."""
    tokenizer = Tokenizer(Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=words, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    names = dict(zip(("pad_token", "eos_token", "unk_token"), special, strict=True))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def t5_small(folder: Path, texts: list[str]) -> None:
    """t5-small's parts, thin: a tied head, and a row of the vocabulary for more words than the tokenizer has."""
    config = T5Config(
        vocab_size=T5_WORDS,
        d_model=64,
        d_kv=16,
        d_ff=128,
        num_layers=2,
        num_heads=4,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)
    t5_tokenizer(texts, 1000).save_pretrained(folder)


def sentence_t5(folder: Path, texts: list[str]) -> None:
    """sentence-t5-base's parts, thin: a T5 encoder, the mean of its states, 768 numbers of length 1."""
    config = T5Config(vocab_size=1000, d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4)
    encoder = folder.with_name("encoder")
    T5EncoderModel(config).save_pretrained(encoder)
    t5_tokenizer(texts, 1000).save_pretrained(encoder)
    reads = Transformer(str(encoder))
    parts = [reads, Pooling(32), Dense(32, 768, bias=False), Normalize()]
    SentenceTransformer(modules=parts).save(str(folder))


def qwen(folder: Path, texts: list[str], tied: bool) -> None:
    """A thin Qwen2.5; its weights are in two files at least."""
    learned = ByteLevelBPETokenizer()
    learned.train_from_iterator(texts, QWEN_WORDS, show_progress=False)
    end = "<|endoftext|>"
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=learned._tokenizer, eos_token=end, pad_token=end)
    tokenizer.save_pretrained(folder)
    config = Qwen2Config(
        vocab_size=QWEN_WORDS + 100,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=128,
        tie_word_embeddings=tied,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder, max_shard_size="300KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
