"""Compile a network with torch.compile, so that its bits depend on nothing but its inputs."""

import torch
from torch import nn

from benchmark.common.parameters import CompileMode, Parameters
from benchmark.errors.user_error import UserError
from benchmark.machine import accelerators

MOST_GRAPHS = 64
"""Most graphs of one network: one for each batch size, in training, in evaluation, and again after
the backbone was unfrozen. torch's limit is 8; above it a network would run uncompiled."""


def check(name: str, parameters: Parameters) -> None:
    """Raise if the accelerator `name` cannot run what `model.compile` says.

    Raises:
        UserError: torch.compile cannot compile for it, or cannot record CUDA graphs on it.
    """
    mode = parameters.model.compile
    if mode and name in ("tpu", "xla"):
        raise UserError(
            f"model.compile: torch.compile does not support {name}, which compiles anyway.",
            f"Set it to false, or leave {name} out of accelerators.",
        )
    if mode != "reduce-overhead":
        return
    # On a CPU torch would compile as with `default`, without a word. On AMD's GPUs a training with
    # recorded graphs did not learn (PyTorch issue 187715).
    if accelerators.device(name).type != "cuda" or torch.version.hip:
        raise UserError(
            f"model.compile: reduce-overhead records CUDA graphs; {name} is not an NVIDIA GPU.",
            f"Set it to default, or leave {name} out of accelerators.",
        )
    # With DistributedDataParallel torch does not record a network with batch norm (PyTorch issue
    # 139207).
    if parameters.trainer.processes > 1:
        raise UserError(
            "model.compile: reduce-overhead works on one device only.",
            "Set it to default, or trainer.devices and trainer.num_nodes to 1.",
        )


def compile_network(network: nn.Module, mode: CompileMode) -> None:
    """Compile `network` in place; with `reduce-overhead`, also record and replay CUDA graphs.

    Compilation starts at the first forward pass. Each batch size has a graph of its own. torch
    would make one for all sizes at an epoch's last batch; on several threads it has other bits. So
    a training that is resumed later would differ from an uninterrupted one.

    Settings of torch change in the complete process: what it cannot compile or record is an error.
    """
    import torch._dynamo.config
    import torch._inductor.config

    torch._dynamo.config.recompile_limit = MOST_GRAPHS
    torch._dynamo.config.fail_on_recompile_limit_hit = True
    torch._inductor.config.triton.cudagraph_or_error = True
    assert mode
    # A timing on the device would decide whether matrices are padded, and so change the bits.
    options = torch._inductor.list_mode_options(mode) | {"shape_padding": False}
    network.compile(dynamic=False, options=options)
