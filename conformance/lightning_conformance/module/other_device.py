"""A simulated device: tensors that report another device, and keep their values on the CPU.

Torch's meta device is reported, because each machine has it. Unlike tensors of the meta device,
these have values, so that a step takes the branches and shapes that it takes on real hardware.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from lightning_conformance.module.device_log import DeviceLog

DEVICE = torch.device("meta")
CPU = torch.device("cpu")
aten = torch.ops.aten
PACK = aten._pack_padded_sequence.default
COPIES = {aten.copy_.default, aten._to_copy.default}
INDEXING = {aten.index.Tensor, aten._unsafe_index.Tensor}
INDEX_PUTS = {aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}
"""Operators whose indices may be on the CPU."""
CTC_LOSSES = (torch.ctc_loss, torch.nn.functional.ctc_loss)
"""Functions that move lengths to the device that they need them on."""
WITHOUT_SCALARS = {aten.stack.default, aten.cat.default}
"""Operators that do not accept scalars (tensors of no dimension) of the CPU in addition."""
WAITING = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
MASKS = (torch.bool, torch.uint8)
NAMES = {
    "__bool__": "bool(tensor)", "__float__": "float(tensor)", "__int__": "int(tensor)",
    "__index__": "a tensor as a Python index", "__getitem__": "tensor[mask]",
    "__setitem__": "tensor[mask] = values", "__format__": "a tensor in an f-string",
    "__contains__": "in tensor", "__len__": "len(tensor)",
}  # fmt: skip
"""By method of Tensor: how users write it."""


class Unsupported(RuntimeError):
    """The device can't be simulated for this module. The text is the reason."""


class DeviceTensor(Tensor):
    """A tensor of the simulated device."""

    on_cpu: Tensor
    """The same tensor on the CPU."""

    @staticmethod
    def __new__(cls, on_cpu: Tensor) -> "DeviceTensor":
        if on_cpu.layout is not torch.strided:
            raise Unsupported(f"a tensor has the layout {on_cpu.layout}")
        tensor = torch.Tensor._make_wrapper_subclass(
            cls, on_cpu.shape, strides=on_cpu.stride(), storage_offset=on_cpu.storage_offset(),
            dtype=on_cpu.dtype, device=DEVICE,
        )  # fmt: skip
        tensor.on_cpu = on_cpu
        return tensor

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    # With these two, Module.to replaces a parameter in place, so that references to it stay valid.
    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["on_cpu"], None

    @staticmethod
    def __tensor_unflatten__(tensors: Mapping[str, Tensor], *_: Any) -> "DeviceTensor":
        return DeviceTensor(tensors["on_cpu"])

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(func, args, kwargs or {})


class _Operators(TorchDispatchMode):
    """Runs each operator of torch on the CPU, and logs what the device would not do at once."""

    def __init__(self, log: DeviceLog) -> None:
        super().__init__()
        self.log = log

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        with self:  # inference mode does not split operators that are made of others
            if (result := func.decompose(*args, **kwargs)) is not NotImplemented:
                return result
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        on_device = any(isinstance(tensor, DeviceTensor) for tensor in tensors)
        if on_device or kwargs.get("device") == DEVICE:
            self._judge(func, args, kwargs, tensors)
        if on_device and self.log.step:
            self.log.operators.add(func, *tree_map(_on_cpu, (args, kwargs)))
        result = _run(func, args, kwargs)
        if self.log.step:
            new = func is aten.lift_fresh.default  # torch.tensor has made the input
            self.log.made(_of_the_cpu(tree_leaves(result)), [] if new else _of_the_cpu(tensors))
        return result

    def _judge(self, func: Any, args: Any, kwargs: Any, tensors: list[Tensor]) -> None:
        if _waits(func, args, kwargs):
            self.log.wait()
        if (generator := kwargs.get("generator")) is not None and generator.device == CPU:
            self.log.fault("a generator of the CPU draws on the device")
        if func is PACK:
            if isinstance(args[1], DeviceTensor):
                text = "pack_padded_sequence gets lengths of the device: it takes those of the CPU"
                self.log.fault(text)
            return
        if (tensor := _stranger(func, args, tensors)) is not None:
            self.log.mixed(tensor, func.overloadpacket.__name__)


class _Functions(TorchFunctionMode):
    """Replaces functions of torch that do not pass through an operator."""

    def __init__(self, log: DeviceLog) -> None:
        super().__init__()
        self.log = log

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.log.function = _name(func)
        if func is Tensor.cuda:
            self.log.fault(".cuda() is called")
            return args[0].to(DEVICE)
        if any(map(_is_cuda, (*args[1:], *kwargs.values()))):
            self.log.fault(f"{self.log.function} names the device cuda")
            args, kwargs = tree_map(lambda leaf: DEVICE if _is_cuda(leaf) else leaf, (args, kwargs))
        if func in (torch.tensor, torch.as_tensor):
            return self._tensor(func, args[0], **kwargs)
        if func in CTC_LOSSES and isinstance(args[0], DeviceTensor):
            args = [arg.to(DEVICE) if isinstance(arg, Tensor) else arg for arg in args]
            return func(*args, **kwargs)
        if args and isinstance(args[0], DeviceTensor):
            return self._method(func, args[0], args[1:], kwargs)
        return func(*args, **kwargs)

    def _tensor(self, func: Any, data: Any, *, device: Any = None, **options: Any) -> Tensor:
        """Call torch.tensor or torch.as_tensor."""
        if isinstance(data, DeviceTensor):
            device = device or DEVICE
        elif any(isinstance(leaf, DeviceTensor) for leaf in tree_leaves(data)):
            self.log.wait()
        requires_grad = options.pop("requires_grad", False)
        made: Tensor = func(tree_map(_values, data), **options, device=CPU)
        return (made.to(DEVICE) if _is_device(device) else made).requires_grad_(requires_grad)

    def _method(self, func: Any, tensor: DeviceTensor, args: Any, kwargs: Any) -> Any:
        """Call the function `func` of a tensor of the device."""
        if func in (Tensor.numpy, Tensor.__array__):
            self.log.fault("NumPy gets a tensor of the device")
            return func(_values(tensor), *args, **kwargs)
        if func in (Tensor.tolist, Tensor.__format__, Tensor.__repr__):
            if func is Tensor.tolist or (func is Tensor.__format__ and tensor.dim() == 0):
                self.log.wait()
            return func(_values(tensor), *args)
        if func is Tensor.new_tensor and not kwargs.get("device"):
            return self._tensor(
                torch.tensor, *args, **{"dtype": tensor.dtype} | kwargs, device=DEVICE
            )
        if func is Tensor.is_meta.__get__:  # type: ignore[attr-defined]
            return False
        result = func(tensor, *args, **kwargs)
        if func is Tensor.data.__set__ and isinstance(args[0], DeviceTensor):  # type: ignore[attr-defined]
            tensor.on_cpu = args[0].on_cpu
        return result


@contextlib.contextmanager
def simulated_device(log: DeviceLog) -> Iterator[None]:
    """Let DEVICE be the simulated device in the block, and write what happens to `log`."""
    make_autocast = torch.autocast.__init__

    def without_meta(self: Any, device_type: str, *args: Any, **kwargs: Any) -> None:
        make_autocast(
            self, CPU.type if device_type == DEVICE.type else device_type, *args, **kwargs
        )

    with patch.object(torch.autocast, "__init__", without_meta), _Functions(log), _Operators(log):
        yield


def _run(func: Any, args: Any, kwargs: Any) -> Any:
    """Run an operator on the CPU; return its result on the device that it should be on."""
    if func is aten._fused_sdp_choice.default:
        return SDPBackend.MATH.value
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    on_device = any(isinstance(tensor, DeviceTensor) for tensor in tensors)
    if kwargs.get("device") is not None:
        on_device = kwargs["device"] == DEVICE
    cpu_args, cpu_kwargs = tree_map(_on_cpu, (args, kwargs))
    result = func(*cpu_args, **cpu_kwargs)
    if torch.Tag.inplace_view in func.tags:
        with no_dispatch():
            func(*args, **kwargs)  # also changes the shape that the tensor of the device reports
    inputs = {id(_on_cpu(tensor)): tensor for tensor in tensors}

    def place(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        return inputs.get(id(leaf), DeviceTensor(leaf) if on_device else leaf)

    if func is PACK:
        return place(result[0]), result[1]  # the sizes of its batches stay on the CPU
    return tree_map(place, result)


def _of_the_cpu(values: list[Any]) -> list[Tensor]:
    """Return those of the values that are tensors of the CPU."""
    return [
        value for value in values
        if isinstance(value, Tensor) and not isinstance(value, DeviceTensor)
    ]  # fmt: skip


def _values(leaf: Any) -> Any:
    """Return a tensor of the device as one of the CPU, without its graph."""
    return leaf.on_cpu.detach() if isinstance(leaf, DeviceTensor) else leaf


def _name(function: Any) -> str:
    """Return how users write a call of the function."""
    name = getattr(function, "__name__", "")
    if name in NAMES:
        return NAMES[name]
    if (path := resolve_name(function) or name).startswith("torch.Tensor."):
        return f".{name}()"
    return path.replace("torch.functional.", "torch.")


def _on_cpu(leaf: Any) -> Any:
    if isinstance(leaf, DeviceTensor):
        return leaf.on_cpu
    return CPU if _is_device(leaf) else leaf


def _is_device(value: Any) -> bool:
    return isinstance(value, (str, torch.device)) and str(value) == DEVICE.type


def _is_cuda(value: Any) -> bool:
    return isinstance(value, (str, torch.device)) and str(value).partition(":")[0] == "cuda"


def _waits(func: Any, args: Any, kwargs: Any) -> bool:
    """Return whether the CPU waits for the device until it has the operator's result."""
    if func is aten._to_copy.default:
        return kwargs.get("device") == CPU and not kwargs.get("non_blocking")
    if func is aten.copy_.default:
        return not isinstance(args[0], DeviceTensor)
    if func in INDEXING or func in INDEX_PUTS:
        # A mask with a single value is filled without counting its elements.
        fills = func in INDEX_PUTS and args[2].numel() == 1
        masks = [index for index in args[1] if index is not None and index.dtype in MASKS]
        return not fills and any(isinstance(mask, DeviceTensor) for mask in masks)
    if func is aten.repeat_interleave.Tensor:
        return kwargs.get("output_size") is None
    return func is not aten._ctc_loss.Tensor and bool(WAITING & set(func.tags))


def _stranger(func: Any, args: Any, tensors: list[Tensor]) -> Tensor | None:
    """Return the tensor of the CPU that the operator refuses next to the device's, or None."""
    on_cpu = _of_the_cpu(tensors)
    if func in COPIES or len(on_cpu) in (0, len(tensors)):
        return None
    first = args[0]
    if isinstance(first, Tensor) and not isinstance(first, DeviceTensor):
        written = func._schema.arguments[0].alias_info
        if func in INDEXING or (written is not None and written.is_write):
            return first
    if func in INDEXING:
        return None
    if func in INDEX_PUTS:
        on_cpu = [tensor for tensor in on_cpu if tensor is args[2]]
    return next((tensor for tensor in on_cpu if tensor.dim() or func in WITHOUT_SCALARS), None)
