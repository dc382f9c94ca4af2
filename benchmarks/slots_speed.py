"""Seconds to find the best ten of many items whose score is a sum over slots, against the obvious way.

    python benchmarks/slots_speed.py [--items 1000000] [--slots 8] [--size 256] [--users 1 32] [--rounds 5]

Codes and users' numbers are drawn at random. ``loop`` adds the numbers of one slot after the other to a table of all
scores, and takes its best ten; ``top_codes`` is `genrec.decoding.code_sums.top_codes`. They run in turn in one process
with one thread, and the smallest of the rounds' processor times counts. ``MB`` is what the codes take.
"""

from __future__ import annotations

import argparse
import time

import torch
from torch import Tensor

from genrec.decoding.code_sums import narrow, top_codes
from genrec.decoding.grounding import top_k
from genrec.types import Ranking

K = 10


def loop(numbers: Tensor, codes: Tensor, allowed: Tensor) -> Ranking:
    """One slot after the other."""
    scores = torch.zeros(len(numbers), len(codes))
    for slot, column in enumerate(codes.unbind(1)):
        scores += numbers[:, slot, column.long()]
    return top_k(scores, allowed, K)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("items", 1_000_000), ("slots", 8), ("size", 256), ("rounds", 5), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--users", type=int, nargs="+", default=[1, 32])
    options = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(options.seed)
    drawn = torch.randint(options.size, (options.items, options.slots), generator=generator)
    codes = narrow(drawn, options.size)
    allowed = torch.ones(1, options.items, dtype=torch.bool)
    print(f"{options.items:,} items, {options.slots} slots of {options.size} codes, one thread")
    print("users      loop  top_codes      MB")
    for users in options.users:
        numbers = torch.randn(users, options.slots, options.size, generator=generator).log_softmax(2)
        seconds: dict[str, list[float]] = {"loop": [], "top_codes": []}
        for _ in range(options.rounds):
            start = time.process_time()
            expected = loop(numbers, codes, allowed)
            seconds["loop"].append(time.process_time() - start)
            start = time.process_time()
            found = top_codes(numbers, codes, allowed, K)
            seconds["top_codes"].append(time.process_time() - start)
            torch.testing.assert_close(found.scores, expected.scores)
        held = codes.numel() * codes.element_size() / 1e6
        print(f"{users:5d} {min(seconds['loop']):9.3f} {min(seconds['top_codes']):10.3f} {held:7.1f}", flush=True)


if __name__ == "__main__":
    main()
