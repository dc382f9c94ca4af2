"""Low-rank adapters (Hu et al., 2022), by peft."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import save_file
from torch import Tensor, nn

from genrec.errors import GenrecError

if TYPE_CHECKING:
    from peft import LoraConfig

ADAPTER = "lora_"
"""In the names of all parameters that peft adds."""
READS, WRITES = "reads", "writes"
"""The layers that a vocabulary has rows in: the input embeddings, and the head where it is another table."""


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
        from peft import inject_adapter_in_model

        try:
            inject_adapter_in_model(self._config(), model)
        except ValueError as error:
            names = ", ".join(self.targets)
            raise GenrecError(f"the model has no layers named {names}: give `lora.targets` that it has") from error
        for name, parameter in model.named_parameters():
            if ADAPTER in name:
                parameter.data = parameter.data.float()

    def save(self, model: Any, base: str, folder: Path, first: int, rows: Mapping[str, Tensor]) -> None:
        """Write the adapters of a model, and new rows of its vocabulary, as `peft.PeftModel` reads them.

        Args:
            model: a Hugging Face model without its head, that has them.
            base: the name of the model with its head.
            folder: to make.
            first: the id of the first new token.
            rows: [n, D], the embeddings of new tokens by the layer that they belong to; the base is to be resized.
        """
        inside = f"{model.base_model_prefix}."
        state = {
            f"{inside}{name.replace('.default', '')}": p for name, p in model.named_parameters() if ADAPTER in name
        }
        (reads,) = (name for name, part in model.named_modules() if part is model.get_input_embeddings())
        layers = {READS: f"{inside}{reads}", WRITES: "lm_head"}
        state |= {f"{layers[name]}.token_adapter.trainable_tokens_delta": table for name, table in rows.items()}
        tokens = {
            layers[name].rpartition(".")[2]: list(range(first, first + len(table))) for name, table in rows.items()
        }
        config = self._config(
            task_type="CAUSAL_LM",
            base_model_name_or_path=base,
            trainable_token_indices=tokens or None,
            inference_mode=True,
        )
        config.save_pretrained(str(folder))
        save_file(
            {f"base_model.model.{name}": tensor.detach().cpu().contiguous() for name, tensor in state.items()},
            folder / "adapter_model.safetensors",
            {"format": "pt"},
        )

    def _config(self, **options: Any) -> LoraConfig:
        from peft import LoraConfig

        sizes: dict[str, Any] = {"r": self.rank, "lora_alpha": self.alpha, "lora_dropout": self.dropout}
        return LoraConfig(target_modules=self.targets, bias="none", **sizes, **options)


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
