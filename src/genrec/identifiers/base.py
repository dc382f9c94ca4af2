"""What it takes to name items for a language model: five verbs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor

from genrec.assets import ItemAssets
from genrec.backbones import Backbone, Context, Memory
from genrec.data import Catalog
from genrec.errors import GenrecError
from genrec.identifiers.names import ItemNames
from genrec.identifiers.tables import Tables
from genrec.losses import Negatives
from genrec.types import ORDERED, Extras, Ranking, Tokens


class ItemIdentifier(Tables, ABC):
    """A way to name an item for a language model. A new one is ONE file with one subclass, and one yaml that names it.

    An identifier owns what turns items into tokens and tokens into items. It never sees the optimiser, metrics or
    files, and its trainable parameters do not grow with the catalogue unless the method itself says so: what has a row
    per item is a table (`Tables`) that `index` refills, so that new items cost nothing.

    Attributes:
        progress: the share of the training that is done, 0 to 1, at the step that is being made; 0 where nothing is
            trained. It goes on where a resumed training does, and is no part of a checkpoint.
        reads_text: whether an item that nobody in the training took is told by its text, so that those of other data
            sets can be read.
        extras: what the batch at hand holds beside items; `extra` looks a name up.
    """

    progress: float = 0.0
    reads_text: bool = True
    extras: Extras = Extras()

    def learn_from(self, negatives: Negatives) -> None:
        """Take these in training instead of a softmax over all items or words. Called before `setup`.

        Raises:
            GenrecError: if the loss has no such softmax.
        """
        raise GenrecError(
            f"{type(self).__name__} learns from no softmax over items or words: leave out `model.init_args.negatives`"
        )

    def texts(self, catalog: Catalog, assets: ItemAssets) -> Sequence[str]:
        """All that is read and written in words; a backbone without a tokenizer of its own learns one from it.

        Called once, before `setup`; a method without words has the titles, whose words new tokens may begin as.
        """
        return catalog.titles

    @abstractmethod
    def setup(self, catalog: Catalog, assets: ItemAssets, backbone: Backbone) -> None:
        """Create the parameters. Called once, before a checkpoint is restored."""

    @abstractmethod
    def index(self, catalog: Catalog, assets: ItemAssets) -> None:
        """Refill the per-item tables from the CURRENT parameters; calling it twice changes nothing.

        Called after `setup`, before every evaluation, between a restored checkpoint and the first step of a training
        that goes on, and whenever the catalogue has changed. What cannot be made again from the parameters, such as
        names that were given once, is a saved table (`genrec.identifiers.tables.table`), and is left as it is found.
        """

    @abstractmethod
    def embed(self, items: Tensor) -> Tokens:
        """The tokens of items in a history: [B, T] rows (`PAD` = -1) to [B, T*K, D]."""

    @abstractmethod
    def loss(self, backbone: Backbone, context: Context, history: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The training loss and its parts: means over the targets.

        What a target adds depends on nothing but itself and its own history, never on what else is in the batch: so a
        training may cut its samples into batches, steps and processes as it likes. Drawn negatives (`learn_from`) are
        the exception.

        Args:
            backbone: the language model.
            context: the prompts around the embedded histories; only the backbone looks inside.
            history: [B, T] rows, `PAD` = -1, that ``context`` was made from.
            target: [B] rows, the items that came next.

        Returns:
            Scalars by name; ``loss`` is the one that is minimised, the others are logged.
        """

    def extra(self, name: str) -> Tensor:
        """What the batch at hand holds beside items, for the very histories that `embed` or `loss` was given.

        Args:
            name: ``user`` for the users' rows [B], or one of ``data.extras``.

        Returns:
            [B, ...] of every user, or [B, T, ...] of every item of the history, 0 at padding.

        Raises:
            GenrecError: if it holds no such thing: nobody asked for it, or the histories are of no data set.
        """
        for held in self.extras:
            if name in held:
                return held[name]
        raise GenrecError(
            f"there is no `{name}` with these histories: name it in `data.extras`; and histories that are no data "
            "set's, such as `recommend` takes, have none"
        )

    def check_reads_text(self) -> None:
        """Whether items can be read of which nothing is known but their text (`reads_text`).

        Raises:
            GenrecError: if not.
        """
        if not self.reads_text:
            raise GenrecError(
                f"{type(self).__name__} as it is configured reads no text, and of items of other data sets nothing "
                "else is known: it cannot read them"
            )

    @abstractmethod
    def rank(self, backbone: Backbone, memory: Memory, k: int, allowed: Tensor) -> Ranking:
        """The k best items of every user in every candidate set, from ONE read of the prompt.

        Args:
            backbone: the language model.
            memory: the prompt that it read.
            k: how many.
            allowed: [C, N] bool, the candidate sets.

        Returns:
            distinct, allowed items, best first, [C, B, k].

        Raises:
            GenrecError: if a candidate set holds fewer than k items.
        """

    def reach(self, k: int, more: int) -> int:
        """How long a ranking may be, k and up to so many more, whose first k are those of a ranking of k.

        A search that does not look at every item finds others when more are wanted of it than it keeps in sight.
        """
        return k + more

    def after_step(self) -> None:
        """Called after every step of the optimiser, however many batches it was made of; without gradients.

        For what learns without a gradient: the moving averages of a codebook, a temperature that falls with `progress`.
        Such things are buffers, which are saved. Every process of a training calls it, and nobody sends buffers: what
        depends on a process's own batch has to be brought together first (`torch.distributed.all_reduce`).
        """

    def rank_each(self, backbone: Backbone, memory: Memory, k: int, allowed: Tensor) -> dict[float, Ranking]:
        """`rank` for every value of a weight that is chosen on validation, still from one read and one write.

        A method without such a weight keeps this default: one value, nothing to choose.
        """
        return {0.0: self.rank(backbone, memory, k, allowed)}

    def choose(self, value: float) -> None:
        """Keep the value that validation found best for `rank`; it is saved with the parameters."""

    def token_sequences(self) -> ItemNames | None:
        """The items' token sequences, where a method names items so; None where an item is something else."""
        return None

    def item_codes(self) -> tuple[Tensor, Sequence[int]] | None:
        """The items' codes, where a method tells items apart by codes; None where an item is something else.

        ``genrec inspect`` shows how they are used. Items that share all of their codes cannot be told apart: a warning
        says how many there are. It is called after `index`.

        Returns:
            codes [N, m], any kind of integer, and how many there are to choose from in each place, [m].
        """
        return None

    @torch.no_grad()
    def describe(self, item: int) -> str:
        """The identifier of one item in words, on one line.

        A method that says nothing of its own keeps this default: what the language model reads.

        Args:
            item: its row.
        """
        device = next(chain(self.parameters(), self.buffers()), torch.empty(0)).device
        tokens = self.embed(torch.tensor([[item]], device=device))
        count, width = int(tokens.mask.sum()), tokens.embeds.shape[2]
        kind = "" if (tokens.sets[tokens.mask] == ORDERED).all() else "a set of "
        return f"{kind}{count} {'token' if count == 1 else 'tokens'} of width {width}"
