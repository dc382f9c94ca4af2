"""IDGenRec's alternating training: the writer of the tags learns from the recommender's loss, and names all items anew.

Tan et al., "IDGenRec: LLM-RecSys Alignment with Textual ID Learning", SIGIR 2024, arXiv 2403.19021. Reference
implementation: github.com/agiresearch/IDGenRec, `src/runner/DistributedRunner_gen.py`. Unlike it, words are weighted
with their probabilities, not with the logarithms of these; what stands behind the end of a tag is hidden; soft names
are joined as hard ones are; and renaming does not depend on an evaluation.
"""

from __future__ import annotations

import re
from typing import Any

import lightning as L
import numpy as np
import torch
from torch import Tensor

from genrec.assets.tags.generated import GENERATOR
from genrec.assets.tags.words import choose
from genrec.errors import GenrecError
from genrec.recommenders.recommender import Recommender
from genrec.types import PAD
from genrec_baselines.idgenrec import IDGenRec

LONGEST = 10
"""Tokens of a soft name, the one that opens it included."""
SETTLED = 0.01
"""If no larger share of the names changes, there is no further round."""
TOGETHER = 32
"""Items that are named together."""


class AlternatingTraining(L.Callback):
    """Rounds of two steps, for an `IDGenRec` whose language model has the tag writer's vocabulary, such as a T5.

    Before every ``epochs`` epochs of the recommender, the writer learns for one pass over the training samples while
    the recommender stands still: the names in the histories are soft, every token a mean of word embeddings weighted
    with the writer's probabilities; those of the targets stay as they are. Then it names all items anew, and the
    recommender goes on with the new names, which are saved with it. Items that are added after the training are named
    by the recipe of `IDGenRec`.

    Args:
        model: the tag writer, by name or folder.
        rounds: how often it learns.
        epochs: of the recommender after each.
        lr: the writer's; with the authors' it hardly moves.
        batch_size: samples of one step of the writer.
        history: the most recent items of a sample that the writer names.
    """

    def __init__(
        self,
        model: str = GENERATOR,
        rounds: int = 3,
        epochs: int = 10,
        lr: float = 1e-8,
        batch_size: int = 12,
        history: int = 10,
    ) -> None:
        self.model = model
        self.rounds = rounds
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.history = history
        self.settled = False
        self.fits = False

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Load the writer.

        Raises:
            GenrecError: if the model is no `IDGenRec`, there are other tasks or several processes, or no writer can be
                had.
        """
        self.fits = stage == "fit"
        if not self.fits:
            return
        if not isinstance(pl_module, Recommender) or not isinstance(pl_module.identifier, IDGenRec):
            raise GenrecError("AlternatingTraining writes the names of an IDGenRec: train a Recommender with one")
        if trainer.datamodule.tasks:  # type: ignore[attr-defined]
            raise GenrecError("AlternatingTraining learns names from what comes next alone: leave out `data.tasks`")
        if trainer.world_size > 1:
            raise GenrecError("AlternatingTraining runs in one process: give `trainer.devices: 1`")
        # Imported late: models of transformers take a second.
        from genrec.assets.tags.writer import TagWriter

        self.writer = TagWriter.load(self.model)
        self.writer.model.to(trainer.strategy.root_device)
        self.optimizer = torch.optim.AdamW(self.writer.model.parameters(), lr=self.lr, weight_decay=0.01)

    def on_fit_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Look at both vocabularies.

        Raises:
            GenrecError: if they differ.
        """
        tokenizer = pl_module.backbone.tokenizer
        same = tokenizer.get_vocab() == self.writer.tokenizer.get_vocab()
        if not same or self.writer.model.config.vocab_size != pl_module.identifier.names.words:
            raise GenrecError(
                f"the words of the tag generator `{self.model}` are not those of the language model, so its "
                "probabilities mean nothing there: take a T5 of the same vocabulary, or do without AlternatingTraining"
            )
        words = tokenizer.batch_decode([[token] for token in range(pl_module.identifier.names.words)])
        self.punctuation = torch.tensor(
            [bool(word.strip()) and not re.search(r"\w", word) for word in words], device=pl_module.device
        )

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Begin a round: the writer learns, then the items get their new names."""
        number, epoch = divmod(trainer.current_epoch, self.epochs)
        if epoch or number >= self.rounds or self.settled:
            return
        texts = pl_module.catalog.texts()
        losses = [
            self.step(pl_module, history, target, texts)
            for batch in trainer.datamodule.train_dataloader()  # type: ignore[attr-defined]
            for history, target in zip(*(part.split(self.batch_size) for part in batch[1:3]), strict=True)
        ]
        changed = pl_module.identifier.rename(self.names(texts, pl_module.dataset.warm), pl_module.dataset.warm)
        self.settled = changed <= SETTLED
        loss = float(torch.stack(losses).mean())
        print(f"round {number + 1}: the tag writer's loss is {loss:.4f}, {changed:.1%} of the names change")

    def step(self, module: Recommender, history: Tensor, target: Tensor, texts: list[str]) -> Tensor:
        """One step of the writer on samples [B, T] and [B]; the recommender's parameters get no gradient."""
        parameters = list(self.writer.model.parameters())
        loss = self.loss(module, history, target, texts)
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        self.optimizer.step()
        return loss.detach()

    def loss(self, module: Recommender, history: Tensor, target: Tensor, texts: list[str]) -> Tensor:
        """The recommender's loss of the targets' names, given histories of soft names; both as a loader gives them."""
        history = history[:, -self.history :]
        # While they are still on the host, which the writer's texts come from.
        rows, place = history.clamp(min=0).unique(return_inverse=True)
        history, place, target = (part.to(module.device) for part in (history, place, target))
        embeds, mask = self.soft_names(module, [texts[row] for row in rows.tolist()])
        identifier: Any = module.identifier
        tokens = identifier.names.join(embeds[place], mask[place] & (history != PAD)[..., None])
        context = module.prompt(module.backbone, tokens)
        return identifier.loss(module.backbone, context, history, target)["loss"]

    def soft_names(self, module: Recommender, texts: list[str]) -> tuple[Tensor, Tensor]:
        """What the writer calls items with these texts.

        Returns:
            the means of word embeddings [n, L, D] that its probabilities give, and which of them are real [n, L]:
            those before the end of the greedy name that are no punctuation.
        """
        ids, mask = self.writer.read(texts)
        model = self.writer.model
        with torch.no_grad():
            written = model.generate(
                input_ids=ids, attention_mask=mask, max_length=LONGEST, num_beams=1, do_sample=False
            )
        # Greedy decoding once more, in one pass that has gradients.
        logits = model(input_ids=ids, attention_mask=mask, decoder_input_ids=written[:, :-1]).logits
        words, end = written[:, 1:], self.writer.tokenizer.eos_token_id
        real = ((words == end).cumsum(1) == 0) & ~self.punctuation[words]
        return self.mean_words(module, logits.softmax(2)), real

    def mean_words(self, module: Recommender, weights: Tensor) -> Tensor:
        """Word embeddings [..., D] weighted with [..., V]."""
        table = module.backbone.words(torch.arange(weights.shape[-1], device=weights.device))
        return weights @ table.detach()

    @torch.no_grad()
    def names(self, texts: list[str], warm: np.ndarray) -> list[str]:
        """The tags of all items; those of the training split choose first."""
        order = np.argsort(~warm, kind="stable")
        tags = choose(self.writer.candidates([texts[row] for row in order], TOGETHER), [])
        return [tags[place] for place in np.argsort(order)]

    def state_dict(self) -> dict[str, Any]:
        """The writer, for a fit that is resumed."""
        return {
            "writer": self.writer.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "settled": self.settled,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the writer of the checkpoint; where nothing is trained, there is none."""
        if not self.fits:
            return
        self.writer.model.load_state_dict(state_dict["writer"])
        self.optimizer.load_state_dict(state_dict["optimizer"])
        self.settled = state_dict["settled"]
