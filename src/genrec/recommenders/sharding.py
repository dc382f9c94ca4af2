"""Parameters shared out among processes: what ``--trainer.strategy fsdp`` is here.

Every process keeps a part of every parameter, of its gradient and of the optimiser's state, and asks the others for the
rest of a layer when its turn comes (PyTorch's ``fully_shard``). A checkpoint is one file, as that of one process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

import torch
from lightning.fabric.utilities.types import _PATH
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer


def shard(module: nn.Module, mesh: DeviceMesh, layers: Iterable[nn.Module], entries: Iterable[str]) -> None:
    """Share a module's parameters out among the processes of a mesh; a module that is shared out already stays so.

    The learned parameters and the buffers are those of the first process, as in ``ddp``: the others may have drawn
    other random numbers.

    Args:
        module: what learns.
        mesh: the processes, in one dimension.
        layers: parts of it that are fetched one at a time; they are used through their ``forward`` alone.
        entries: the methods of ``module`` that use its parameters. All of it but the ``layers`` is whole within them.
    """
    if isinstance(module, FSDPModule):
        # An evaluation leaves it whole.
        module.reshard()
        return
    kind = mesh.device_type
    device = torch.device(kind, torch.cuda.current_device()) if kind == "cuda" else torch.device(kind)
    learned = (parameter.data for parameter in module.parameters() if parameter.requires_grad)
    take_from_first(chain(learned, module.buffers()), device)
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(module, mesh=mesh)
    for entry in entries:
        register_fsdp_forward_method(module, entry)


def take_from_first(tensors: Iterable[Tensor], device: torch.device) -> None:
    """Give tensors the values that they have in the first process.

    Args:
        tensors: of the same shapes in all processes, wherever they are.
        device: where the processes can send from.
    """
    for tensor in tensors:
        held = tensor.to(device)
        distributed.broadcast(held, 0)
        tensor.copy_(held)


def keep_whole(layers: Iterable[nn.Module], whole: bool) -> None:
    """Hold layers that are shared out as a whole for a ranking, or share them out again; others are left alone.

    How often a layer is used to decode depends on the users, and who fetches its parts must not wait for a process
    whose users need fewer tokens.
    """
    for layer in layers:
        if isinstance(layer, FSDPModule):
            layer.set_reshard_after_forward(not whole, recurse=False)
            if whole:
                layer.unshard()
            else:
                layer.reshard()


class FullySharded(ModelParallelStrategy):
    """Lightning's strategy for `shard`, whose checkpoints are those of one process: any number of processes reads them.

    Lightning's own gathers all parameters, the frozen ones of a language model too, before the module can say what a
    checkpoint need not hold; and it numbers the optimiser's states in another order than the optimiser does.
    """

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        """All processes share one copy of the parameters."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    @property
    def lightning_restore_optimizer(self) -> bool:
        """`load_optimizer_state_dict` does it."""
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """The parts that this process has; `save_checkpoint` puts together what the module leaves of them."""
        assert self.lightning_module is not None
        return self.lightning_module.state_dict()

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """See `lightning_module_state_dict`."""
        return optimizer.state_dict()

    def save_checkpoint(self, checkpoint: dict[str, Any], filepath: _PATH, storage_options: Any | None = None) -> None:
        """Put the parts together, one tensor after the other, and let the first process write them."""

        def whole(part: DTensor) -> Tensor | None:
            tensor = part.full_tensor()
            return tensor.cpu() if self.is_global_zero else None

        for name in ("state_dict", "optimizer_states"):
            if name in checkpoint:
                checkpoint[name] = apply_to_collection(checkpoint[name], DTensor, whole)
        super().save_checkpoint(checkpoint, filepath, storage_options)

    def load_checkpoint(self, checkpoint_path: _PATH, weights_only: bool | None = None) -> dict[str, Any]:
        """Read the file; the module and the optimiser take their parts of it later."""
        return self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Take this process's part of every tensor."""
        assert self.lightning_module is not None
        own = self.lightning_module.state_dict()
        state = {name: _part(tensor, own.get(name)) for name, tensor in checkpoint["state_dict"].items()}
        self.lightning_module.load_state_dict(state, strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Take this process's part of every state."""
        for optimizer, whole in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            numbers = chain.from_iterable(group["params"] for group in whole["param_groups"])
            parameters = chain.from_iterable(group["params"] for group in optimizer.param_groups)
            own = dict(zip(numbers, parameters, strict=True))
            state = {
                number: {name: _part(value, own[number]) for name, value in values.items()}
                for number, values in whole["state"].items()
            }
            optimizer.load_state_dict({**whole, "state": state})


def _part(value: Any, like: Tensor | None) -> Any:
    """This process's part of a whole tensor that is shared out as ``like``; anything else as it is."""
    if not isinstance(like, DTensor) or isinstance(value, DTensor) or value.shape != like.shape:
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
