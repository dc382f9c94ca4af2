"""What a table of codes looks like: how many items share a name, how evenly codes are used, how fast names part."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genrec.assets.codes.groups import row_ids
from genrec.assets.store import DIAGNOSTICS

COLLAPSED = 0.2
"""A level that uses less than this share of its codes has collapsed."""


def collision_rate(codes: Tensor) -> float:
    """The share of items [N, L] that are too many: 1 - distinct tuples / items."""
    return 1 - len(codes.unique(dim=0)) / len(codes)


def entropy(codes: Tensor, size: int) -> float:
    """Entropy, in bits, of the use of ``size`` codes by items [N]; log2(size) where all are used alike."""
    share = torch.bincount(codes, minlength=size).double() / len(codes)
    return torch.special.entr(share).sum().item() / torch.log(torch.tensor(2.0)).item()


def diagnose(codes: Tensor, sizes: Sequence[int]) -> dict[str, Any]:
    """Numbers about codes [N, L], as json.

    Args:
        codes: of any kind of integer.
        sizes: codes to choose from on each level, [L].

    Returns:
        ``items``; ``collision_rate``; how many items are ``alike``, sharing all codes with another; ``largest_group``
        of those; and per level the ``used`` share of the codes, their ``entropy`` in bits, and the distinct
        ``prefixes`` of the length that ends there.
    """
    codes = codes.long()
    rows = codes.numpy(force=True)
    counts = np.bincount(row_ids(rows))
    columns = list(zip(codes.T, sizes, strict=True))
    return {
        "items": len(codes),
        "collision_rate": 1 - len(counts) / len(codes),
        "alike": int(counts[counts > 1].sum()),
        "largest_group": int(counts.max()),
        "used": [len(column.unique()) / size for column, size in columns],
        "entropy": [entropy(column, size) for column, size in columns],
        "prefixes": [int(row_ids(rows[:, :length]).max()) + 1 for length in range(1, len(columns) + 1)],
    }


def describe(numbers: Mapping[str, Any], size: int) -> str:
    """`diagnose`'s numbers in a few lines for people."""
    lines = [
        f"  {numbers['items']} items, {numbers['collision_rate']:.2%} share another's codes, at most "
        f"{numbers['largest_group']} the same",
        f"  level  used of {size}  entropy  prefixes",
    ]
    for level, row in enumerate(zip(numbers["used"], numbers["entropy"], numbers["prefixes"], strict=True), start=1):
        used, bits, prefixes = row
        lines.append(f"  {level:5}  {used:{len(str(size)) + 8}.1%}  {bits:7.2f}  {prefixes:8}")
    return "\n".join(lines)


def warn_of_collapse(numbers: Mapping[str, Any], size: int) -> None:
    """Warn where a level uses less than `COLLAPSED` of its codes although there are items enough for all."""
    if numbers["items"] < size:
        return
    collapsed = [
        f"level {level} uses {round(used * size)}"
        for level, used in enumerate(numbers["used"], start=1)
        if used < COLLAPSED
    ]
    if collapsed:
        warnings.warn(
            f"the codes have collapsed: of {size} codes, {', '.join(collapsed)} for {numbers['items']} items; train "
            "for more steps, have unused codes replaced, or give fewer",
            stacklevel=2,
        )


def warn_of_ties(codes: Tensor) -> None:
    """Warn where items share all of their codes [N, L], so that no method can tell them apart."""
    counts = np.bincount(row_ids(codes.numpy(force=True)))
    if alike := int(counts[counts > 1].sum()):
        warnings.warn(
            f"{alike:,} of {len(codes):,} items share all of their codes with another, up to {int(counts.max()):,} the "
            "same: they always have the same score, and stand in the order of their rows; give more codes, or a code "
            "that numbers them",
            stacklevel=2,
        )


def report(title: str, folder: Path, codes: Tensor, size: int, trained: Mapping[str, Any]) -> None:
    """Print what codes [N, L] look like, leave it in the folder for the store to keep, and warn of a collapse.

    Args:
        title: what was built of what.
        folder: the scratch space of the build.
        codes: the result.
        size: codes of a level.
        trained: what is known of how they were made: the share of the variance that is lost, as ``reconstruction``,
            and what training and repair tell; after a repair it holds the ``nearest`` codes' own numbers.
    """
    numbers = {**diagnose(codes, [size] * codes.shape[1]), **trained}
    nearest = numbers.get("nearest", numbers)
    (folder / DIAGNOSTICS).write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    kept = f"step {numbers['kept']} of {numbers['steps']} kept, " if "kept" in numbers else ""
    lost = f"{numbers['reconstruction']:.1%} of the variance lost, " if "reconstruction" in numbers else ""
    print(f"{title}: {kept}{lost}{nearest['collision_rate']:.2%} collisions of nearest codes")
    print(describe(numbers, size))
    for name in ("moved_by_transport", "moved_to_free_codes", "moved_to_another_prefix"):
        if name in numbers:
            print(f"  {numbers[name]} items {name.replace('_', ' ')}")
    for when in ("first", "last"):
        if when in numbers:
            print(f"  {when} loss: " + ", ".join(f"{part} {value:.4g}" for part, value in numbers[when].items()))
    warn_of_collapse(nearest, size)
