"""What of a model is pulled towards zero, how the learning rate goes, and how far a training is."""

from __future__ import annotations

import math
from typing import Any, Literal

import lightning as L
import transformers
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from genrec.errors import GenrecError

Schedule = Literal["cosine", "linear", "inverse_sqrt", "constant"]


def parameter_groups(part: nn.Module, items: int, lr: float | None = None) -> list[dict[str, Any]]:
    """What learns of a model, as groups for an optimiser: the one that decays and the one that does not.

    The weights of linear maps decay. Nothing else does: not norms and biases, and not what has a row per word, item,
    query or code, read or written: a row would shrink for as long as nobody asks for it.

    Args:
        part: a model, or a part of one.
        items: N; a linear map onto so many numbers is a table of items.
        lr: its learning rate; None is that of the optimiser.
    """
    maps = [module for module in part.modules() if isinstance(module, (nn.Linear, transformers.pytorch_utils.Conv1D))]
    tables: list[Any] = [module for module in part.modules() if isinstance(module, nn.Embedding)]
    tables += [module for module in maps if len(module.weight) == items]
    models = [module for module in part.modules() if isinstance(module, transformers.PreTrainedModel)]
    tables += [head for model in models if (head := model.get_output_embeddings()) is not None]
    # By identity: a table of words may be tied to the output layer.
    decaying = {id(module.weight) for module in maps} - {id(module.weight) for module in tables}
    learned = [parameter for parameter in part.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in learned if id(parameter) in decaying]},
        {"params": [parameter for parameter in learned if id(parameter) not in decaying], "weight_decay": 0.0},
    ]
    own = {} if lr is None else {"lr": lr}
    return [{**group, **own} for group in groups if group["params"]]


def make_schedule(name: Schedule, optimizer: Optimizer, warmup_steps: int, steps: float) -> LRScheduler:
    """A learning rate that rises for the steps of the warm-up, then falls or stays.

    Args:
        name: ``cosine`` and ``linear`` fall to zero by the last step, ``inverse_sqrt`` with the root of the steps.
        optimizer: whose learning rate it is.
        warmup_steps: of linear warm-up.
        steps: how many there will be; may be infinite.

    Raises:
        GenrecError: if the schedule must know how many steps there will be, and nobody does.
    """
    if math.isinf(steps) and name in ("cosine", "linear"):
        raise GenrecError(
            f"`schedule: {name}` falls to zero by the last step, and nothing says which that is: give "
            "`trainer.max_epochs` or `max_steps`, or take `inverse_sqrt` or `constant`"
        )
    # The other two never ask how many there are.
    steps = 0 if math.isinf(steps) else int(steps)
    kind = "constant_with_warmup" if name == "constant" else name
    return transformers.get_scheduler(kind, optimizer, min(warmup_steps, steps) if steps else warmup_steps, steps)


def share_done(trainer: L.Trainer, batch: int) -> float:
    """The share of a training that is done, 0 to 1, before the step that a batch of the epoch belongs to.

    Of epochs or of steps, whichever end it first; 0 where nothing says when it ends. As a learning rate goes by it, it
    goes on from the part of the epoch that is done, whatever the batches were.
    """
    shares = [0.0]
    if trainer.max_epochs is not None and trainer.max_epochs > 0:
        begun = batch - batch % trainer.accumulate_grad_batches
        shares.append((trainer.current_epoch + begun / trainer.num_training_batches) / trainer.max_epochs)
    if trainer.max_steps > 0:
        shares.append(trainer.global_step / trainer.max_steps)
    return min(max(shares), 1.0)
