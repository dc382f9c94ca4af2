"""Our trie-constrained beam search against Hugging Face's ``generate`` with ``prefix_allowed_tokens_fn``.

    python benchmarks/beam_speed.py search [--model t5 causal] [--users 32] [--history 10] [--beams 20] [--repeat 3]
    python benchmarks/beam_speed.py mask   [--items 1000 10000 100000 1000000]

``search``: both rank the same users with the same weights, prompts, identifiers (three codes of 256 and one that tells
items apart, 12,000 items) and number of beams, one after the other, each in a process of its own, the prompt's reading
included. Prints users per second (the fastest of the repeats), the peak of memory above what the process held before
(from runs of their own, in which freed memory goes back at once), and how far the two agree. ``genrec/level`` compares
tokens within their level alone, which spares the vocabulary's head but ranks by another score. ``t5`` has the shape of
T5-small, ``causal`` that of a Qwen2 of 12 layers and width 512, both with 32,128 words and random weights.

``mask``: what finding and scoring the legal next tokens costs per decoding step without the model, for 32 users of 20
beams, against catalogue size; ``generate``'s callback and the mask it makes, for comparison.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor
from transformers import Qwen2Config, Qwen2ForCausalLM, T5Config, T5ForConditionalGeneration

from genrec.backbones import Backbone, CausalBackbone, T5Backbone
from genrec.decoding.beam import beam_search
from genrec.decoding.trie import Trie
from genrec.identifiers.names import ItemNames
from genrec.identifiers.writer import Normalize, TokenWriter
from genrec.types import Tokens

WORDS = 32_128
CODES = 256
PROMPT = 15
T5: dict[str, Any] = {
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 6,
    "num_decoder_layers": 6,
    "num_heads": 8,
}
QWEN: dict[str, Any] = {
    "hidden_size": 512,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "intermediate_size": 2048,
}


def codes_of(items: int) -> Tensor:
    """Distinct identifiers [N, 4] of random codes, in the ids of the new tokens."""
    rng = np.random.default_rng(0)
    # Skewed, as learned codes are: a few are used much more often than others.
    drawn = (CODES * rng.random((items, 3)) ** 1.5).astype(np.int64)
    order = np.lexsort(drawn.T[::-1])
    opens = np.ones(items, bool)
    opens[1:] = (drawn[order][1:] != drawn[order][:-1]).any(1)
    start = np.maximum.accumulate(np.where(opens, np.arange(items), 0))
    extra = np.empty(items, np.int64)
    extra[order] = (np.arange(items) - start) % CODES
    table = np.concatenate([drawn, extra[:, None]], 1) + np.arange(4) * CODES
    return torch.from_numpy(np.unique(table, axis=0)) + WORDS


def models(kind: str) -> tuple[Any, Backbone]:
    """The stock model with enlarged tables, and our backbone with the same weights."""
    torch.manual_seed(0)
    rows = WORDS + 4 * CODES
    if kind == "t5":
        shape = T5Config(vocab_size=rows, pad_token_id=0, eos_token_id=1, **T5)
        shape.decoder_start_token_id = 0
        stock: Any = T5ForConditionalGeneration(shape).eval()
        backbone: Any = T5Backbone(sizes=T5)
        backbone.setup(["a word"])
        backbone.t5 = stock.base_model if hasattr(stock.base_model, "shared") else stock
        backbone.t5.set_attn_implementation("genrec_t5")
    else:
        config = Qwen2Config(vocab_size=rows, pad_token_id=0, eos_token_id=1, tie_word_embeddings=True, **QWEN)
        stock = Qwen2ForCausalLM(config).eval()
        backbone = CausalBackbone(sizes=QWEN)
        backbone.setup(["a word"])
        backbone.model = stock.model
        backbone.model.set_attn_implementation("genrec_causal")
    backbone.start, backbone.end = 0, 1
    for name, parameter in stock.named_parameters():
        if "bias" in name or parameter.ndim == 2:
            torch.nn.init.normal_(parameter, std=0.3 if "bias" in name else parameter.shape[-1] ** -0.5)
    return stock, backbone


def prompts(codes: Tensor, users: int, history: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    items = codes[torch.randint(len(codes), (users, history), generator=generator)].flatten(1)
    words = torch.randint(2, WORDS, (1, PROMPT), generator=generator).expand(users, -1)
    return torch.cat([words[:, :-2], items, words[:, -2:]], 1)


Rank = Callable[[], tuple[Tensor, Tensor]]


def ours(backbone: Any, codes: Tensor, ids: Tensor, beams: int, normalize: Normalize) -> Rank:
    names = ItemNames()
    names.setup(backbone)
    trie, allowed = Trie(codes), torch.ones(1, len(codes), dtype=torch.bool)

    def rank() -> tuple[Tensor, Tensor]:
        memory = backbone.read(Tokens.ordered(backbone.words(ids)))
        found = beam_search(TokenWriter(names, backbone, memory, normalize), trie, allowed, 10, beams)
        return codes[found.items[0]], found.scores[0]

    return rank


def theirs(stock: Any, codes: Tensor, ids: Tensor, beams: int, kind: str) -> Rank:
    following: dict[tuple[int, ...], list[int]] = {}
    for path in map(tuple, codes.tolist()):
        for length in range(len(path)):
            following.setdefault(path[:length], []).append(path[length])
    following = {begin: sorted(set(tokens)) for begin, tokens in following.items()}
    # A decoder-only model answers behind the prompt and the word that opens the answer.
    given = ids if kind == "t5" else torch.cat([ids, torch.zeros_like(ids[:, :1])], 1)
    before = 1 if kind == "t5" else given.shape[1]

    def rank() -> tuple[Tensor, Tensor]:
        out = stock.generate(
            input_ids=given,
            attention_mask=torch.ones_like(given),
            prefix_allowed_tokens_fn=lambda _, path: following[tuple(path[before:].tolist())],
            num_beams=beams,
            num_return_sequences=10,
            max_new_tokens=4,
            do_sample=False,
            length_penalty=0.0,
            early_stopping=False,
            output_scores=True,
            return_dict_in_generate=True,
        )
        return out.sequences[:, before:].view(len(ids), 10, 4), out.sequences_scores.view(len(ids), 10)

    return rank


class Peak:
    """The most resident memory that this process has while a block runs, in MiB above what it had before."""

    def __enter__(self) -> Peak:
        self.process, self.done = psutil.Process(), threading.Event()
        self.before = self.most = self.process.memory_info().rss
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while not self.done.wait(0.002):
            self.most = max(self.most, self.process.memory_info().rss)

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()
        self.mib = (self.most - self.before) / 2**20


@torch.inference_mode()
def run(options: argparse.Namespace) -> None:
    codes = codes_of(12_000)
    stock, backbone = models(options.kind)
    ids = prompts(codes, options.users, options.history)
    if options.who == "generate":
        stock.set_attn_implementation("sdpa")
        rank = theirs(stock, codes, ids, options.beams, options.kind)
    else:
        rank = ours(backbone, codes, ids, options.beams, "level" if options.who.endswith("level") else "full")
    seconds = []
    for _ in range(options.repeat):
        start = time.perf_counter()
        with Peak() as peak:
            found, scores = rank()
        seconds.append(time.perf_counter() - start)
    record = {"seconds": min(seconds), "mib": peak.mib, "found": found.tolist(), "scores": scores.tolist()}
    print(json.dumps(record))


def measure(who: str, kind: str, options: argparse.Namespace, repeat: int, **environment: str) -> dict[str, Any]:
    sizes = {"--users": options.users, "--history": options.history, "--beams": options.beams, "--repeat": repeat}
    command = [sys.executable, __file__, "run", who, kind, *(str(word) for pair in sizes.items() for word in pair)]
    out = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **environment})
    return json.loads(out.stdout.strip().splitlines()[-1])


def search(options: argparse.Namespace) -> None:
    print(f"{options.users} users of {options.history} items, {options.beams} beams, {torch.get_num_threads()} threads")
    # With these, the C library gives memory back as soon as it is freed, and what is held is what is needed.
    returning = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
    for kind in options.model:
        speed, need = {}, {}
        for who in ("genrec", "genrec/level", "generate"):
            speed[who] = measure(who, kind, options, options.repeat)
            need[who] = measure(who, kind, options, 1, **returning)["mib"] / options.users
            rate = options.users / speed[who]["seconds"]
            print(f"{kind:7s}{who:13s}{rate:8.2f} users/s{need[who]:9.2f} MiB a user above the model")
        mine, other = speed["genrec"], speed["generate"]
        same = (np.array(mine["found"]) == np.array(other["found"])).all(2).mean()
        apart = np.abs(np.array(mine["scores"]) - np.array(other["scores"])).max()
        faster, faster_level = (other["seconds"] / speed[who]["seconds"] for who in ("genrec", "genrec/level"))
        print(
            f"{kind:7s}{faster:.1f} times generate's users per second (level: {faster_level:.1f}), "
            f"{need['generate'] / need['genrec']:.1f} times less memory; {same:.1%} of the ranks hold the same item, "
            f"scores differ by at most {apart:.1e}"
        )


@torch.inference_mode()
def mask(options: argparse.Namespace) -> None:
    users, beams = 32, 20
    for count in options.items:
        codes = codes_of(count)
        start = time.perf_counter()
        trie = Trie(codes)
        built = time.perf_counter() - start
        allowed = torch.ones(1, len(codes), dtype=torch.bool)
        alive = trie.alive(allowed)
        logits = torch.randn(users * beams, WORDS + 4 * CODES)
        steps = []
        for depth in (1, 2, 3):
            nodes = (trie.depth == depth).nonzero().squeeze(1)
            nodes = nodes[torch.randint(len(nodes), (users, 1, beams))]
            for _ in range(5):
                start = time.perf_counter()
                children, real = trie.children(nodes)
                real = real & alive[0, children]
                tokens = trie.token[children].flatten(0, 2)
                picked = logits.gather(1, tokens.clamp(min=0)).view_as(real)
                torch.where(real, picked, -torch.inf).flatten(2).topk(beams)
                steps.append(time.perf_counter() - start)
        following: dict[tuple[int, ...], list[int]] = {}
        for path in map(tuple, codes.tolist()):
            following.setdefault(path[:2], []).append(path[2])
        begins = [codes[row, :2] for row in torch.randint(len(codes), (users * beams,)).tolist()]
        start = time.perf_counter()
        hidden = torch.full_like(logits, -torch.inf)
        for row, begin in enumerate(begins):
            hidden[row, following[tuple(begin.tolist())]] = 0
        (logits + hidden).view(users, -1).topk(2 * beams)
        callback = time.perf_counter() - start
        step = 1000 * statistics.median(steps)
        print(
            f"{len(codes):9,d} items, {len(trie):9,d} nodes: built in {built:6.2f} s, a step {step:6.2f} ms, with "
            f"callbacks {1000 * callback:7.1f} ms"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    both = argparse.ArgumentParser(add_help=False)
    both.add_argument("--users", type=int, default=32)
    both.add_argument("--history", type=int, default=10)
    both.add_argument("--beams", type=int, default=20)
    both.add_argument("--repeat", type=int, default=3)
    of_search = commands.add_parser("search", parents=[both])
    of_search.add_argument("--model", nargs="+", default=["t5", "causal"], choices=["t5", "causal"])
    of_run = commands.add_parser("run", parents=[both])
    of_run.add_argument("who", choices=["genrec", "genrec/level", "generate"])
    of_run.add_argument("kind", choices=["t5", "causal"])
    of_mask = commands.add_parser("mask")
    of_mask.add_argument("--items", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000])
    options = parser.parse_args()
    {"search": search, "mask": mask, "run": run}[options.command](options)


if __name__ == "__main__":
    main()
