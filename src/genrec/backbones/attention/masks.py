"""Where tokens stand, derived from what they are, and who sees whom in a tree: pure functions, no model.

A sequence of one word, an item of two tokens, an item of two tokens and a word, ``sets = [-1, 0, 0, 1, 1, -1]``::

    positions   0 1 1 2 2 3          an item's tokens share one position, the next token takes the next
"""

from __future__ import annotations

import torch
from torch import Tensor

from genrec import devices
from genrec.types import ORDERED, SEEING, Tokens


def positions(tokens: Tokens) -> Tensor:
    """Gap-free positions: members of a set share one, padding takes none.

    Returns:
        [B, S] long; a padded token repeats the position before it (-1 at the start), where nothing looks at it.
    """
    return (_opens_position(tokens.mask, tokens.sets)).cumsum(1) - 1


def raw_positions(tokens: Tokens) -> Tensor:
    """Positions as the SETRec release has them: padded items take one, and ordered tokens keep their raw index.

    So a gap follows the history (``P + T * K`` instead of ``P + T``), and a user's positions depend on how much
    padding the batch put before his items.
    """
    index = torch.arange(tokens.sets.shape[1], device=tokens.sets.device)
    shared = _opens_position(torch.ones_like(tokens.mask), tokens.sets).cumsum(1) - 1
    return torch.where(tokens.sets == ORDERED, index, shared)


def _opens_position(mask: Tensor, sets: Tensor) -> Tensor:
    """[B, S] bool: the token is the first real one of its set, or a real ordered token."""
    same_as_before = torch.zeros_like(mask)
    same_as_before[:, 1:] = (sets[:, 1:] == sets[:, :-1]) & (sets[:, 1:] != ORDERED)
    real_before = mask.long().cumsum(1) - mask.long()
    index = torch.arange(mask.shape[1], device=mask.device).expand_as(sets)
    start_of_run = torch.where(same_as_before, 0, index).cummax(1).values
    real_in_run = real_before - real_before.gather(1, start_of_run)
    return mask & (real_in_run == 0)


def ancestors(parents: Tensor) -> Tensor:
    """Who sees whom in a tree of tokens: each sees its ancestors and itself.

    ``parents = [-1, 0, 0, 1]`` is a root with two children, the first of which has a child of its own::

        x . . .
        x x . .
        x . x .
        x x . x

    Args:
        parents: [B, Q] long, the index of each token's parent, smaller than its own; -1 for a root.

    Returns:
        [B, Q, Q] bool.
    """
    count = parents.shape[1]
    seen = torch.eye(count, dtype=torch.bool, device=parents.device).expand(len(parents), -1, -1).clone()
    seen |= parents[:, :, None] == torch.arange(count, device=parents.device)
    # Each squaring doubles the number of generations that a token sees; there are no more than tokens, often far fewer.
    for _ in range((count - 1).bit_length()):
        before, seen = seen, (seen.float() @ seen.float()) > 0
        if devices.exact_sizes(seen.device) and torch.equal(before, seen):
            break
    return seen


def tree_sight(query: Tokens, parents: Tensor) -> tuple[Tensor, Tensor]:
    """Who sees whom among query tokens that are a tree, and where each stands.

    A token sees its `ancestors` and itself; a member of a set that sees (`genrec.types.SEEING`) also its sisters. Its
    position is the number of its ancestors. Padding is seen by nobody but itself, and takes no position.

    Args:
        query: [B, Q] tokens.
        parents: [B, Q] long, as in `ancestors`; the members of a set have the same parent.

    Either may have one row, which serves all users.

    Returns:
        [B, Q, Q] bool and [B, Q] long.
    """
    line = ancestors(parents) & query.mask[:, None, :]
    sisters = (query.sets[:, :, None] == query.sets[:, None, :]) & (query.sets <= SEEING)[:, None, :]
    itself = torch.eye(line.shape[-1], dtype=torch.bool, device=line.device)
    return line | (sisters & query.mask[:, None, :]) | itself, (line.sum(2) - 1).clamp(min=0)
