"""Weights that are dealt out over the ranks, by PyTorch's `fully_shard` (FSDP2): each keeps a part
of every tensor, and of the gradients and of Adam's state as much.

A step gathers the weights at its beginning; at its end it lets them go and deals the gradients out.
An evaluation gathers them once: ranks may have different numbers of batches there, and a rank that
gathers waits for the others.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning import LightningModule
from pytorch_lightning.strategies import ModelParallelStrategy
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import (
    FSDPModule,
    FullyShardedDataParallel,
    OptimStateKeyType,
    fully_shard,
)
from torch.distributed.tensor import DTensor

WHOLE = StateDictOptions(full_state_dict=True)


class ShardedStrategy(ModelParallelStrategy):
    """Lightning's, with the checkpoints of one device: whole tensors, written by the first rank
    through the Trainer's CheckpointIO, and read through it."""

    def __init__(self, processes: int) -> None:
        super().__init__(
            data_parallel_size=processes, tensor_parallel_size=1, save_distributed_checkpoint=False
        )

    def load_checkpoint(
        self, checkpoint_path: str | Path, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """The content of a file, of which the model and the optimizers have taken their parts."""
        found = self.checkpoint_io.load_checkpoint(checkpoint_path)
        assert isinstance(self.model, LightningModule)
        load(self.model, found["state_dict"])
        for optimizer, state in zip(self.optimizers, found["optimizer_states"], strict=True):
            named = FullyShardedDataParallel.rekey_optim_state_dict(
                state, OptimStateKeyType.PARAM_NAME, self.model
            )
            set_optimizer_state_dict(self.model, optimizer, named, options=WHOLE)
        return found


def shard(network: nn.Module, mesh: DeviceMesh) -> None:
    """Deal its weights out over the ranks of `mesh`, once."""
    if not isinstance(network, FSDPModule):
        fully_shard(network, mesh=mesh, reshard_after_forward=False)


def whole(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the host, and whole, if it was dealt out: then every rank is to ask for the same."""
    return {
        name: (value.full_tensor() if isinstance(value, DTensor) else value).cpu()
        for name, value in state.items()
    }


def load(model: LightningModule, state: Mapping[str, Tensor]) -> None:
    """Give `model`, dealt out or not, the tensors of a whole `state`."""
    if any(isinstance(module, FSDPModule) for module in model.modules()):
        set_model_state_dict(model, dict(state), options=WHOLE)
    else:
        model.load_state_dict(state)
