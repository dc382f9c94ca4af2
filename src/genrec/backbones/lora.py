"""Low-rank adapters (Hu et al., 2022), by peft."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from genrec.errors import GenrecError

ADAPTER = "lora_"
"""In the names of all parameters that peft adds."""


class LoRA:
    """The adapters' sizes; the defaults are SETRec's for Qwen2.5.

    Args:
        rank: r.
        alpha: the adapters' output is scaled by alpha / r.
        dropout: before the adapters.
        targets: the linear layers that get one, by the ends of their names.
    """

    def __init__(
        self,
        rank: int = 8,
        alpha: int = 16,
        dropout: float = 0.02,
        targets: Sequence[str] = ("q_proj", "v_proj", "o_proj"),
    ) -> None:
        self.rank = rank
        self.alpha = alpha
        self.dropout = dropout
        self.targets = list(targets)

    def insert(self, model: nn.Module) -> None:
        """Give a frozen model its adapters, which learn, in float32 whatever the model's weights are.

        A step of 2e-5 on a weight of .02 is smaller than what bfloat16 can tell apart: it would never move.

        Raises:
            GenrecError: if the model has none of the layers.
        """
        # Imported late, here and below: it takes a second, and most models have no adapters.
        from peft import LoraConfig, inject_adapter_in_model

        config = LoraConfig(
            r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=self.targets, bias="none"
        )
        try:
            inject_adapter_in_model(config, model)
        except ValueError as error:
            names = ", ".join(self.targets)
            raise GenrecError(f"the model has no layers named {names}: give `lora.targets` that it has") from error
        for name, parameter in model.named_parameters():
            if ADAPTER in name:
                parameter.data = parameter.data.float()


def own_parameters(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Names and parameters of a model that it had before it had adapters."""
    return ((name, parameter) for name, parameter in model.named_parameters() if ADAPTER not in name)


@contextmanager
def without_adapters(model: nn.Module) -> Iterator[None]:
    """The model as it was before it had adapters, if it has any; in evaluation mode."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    training = model.training
    model.eval()
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)
        model.train(training)
