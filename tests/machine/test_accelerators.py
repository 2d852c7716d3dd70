import sys
import types

import pytest
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from benchmark.common.errors import UserError
from benchmark.common.parameters import ACCELERATORS
from benchmark.machine import accelerators
from benchmark.machine.accelerators import find, synchronise


def test_the_cpu_is_always_here_and_named() -> None:
    cpu = find("cpu")
    assert cpu.available
    assert f"{torch.get_num_threads()} threads" in cpu.device


@pytest.mark.parametrize("name", ACCELERATORS)
def test_an_accelerator_has_either_a_device_or_a_reason(name: str) -> None:
    found = find(name)
    assert found.available == bool(found.device) != bool(found.reason)


def test_xlas_cpu_never_passes_for_a_tpu() -> None:
    assert find("xla").label == "xla:cpu"


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"),
    [(True, False, "cuda"), (True, True, "cuda"), (False, True, "mps"), (False, False, None)],
)
def test_a_gpu_is_cuda_or_else_mps(monkeypatch, cuda: bool, mps: bool, expected) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "A GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_80"])
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    found = find("gpu")
    assert found.available == (expected is not None)
    if expected:
        assert accelerators.device("gpu").type == expected


def test_without_torch_xla_there_is_no_tpu(monkeypatch) -> None:
    monkeypatch.setattr(accelerators, "find_spec", lambda name: None)
    assert find("tpu").reason == find("xla").reason == "torch_xla is not installed"


def test_a_machine_without_googles_chips_has_no_tpu(monkeypatch) -> None:
    monkeypatch.setattr(accelerators, "find_spec", lambda name: object())
    monkeypatch.setattr(accelerators, "_google_device", lambda: False)
    assert find("tpu").reason == "no TPU found"


@pytest.mark.parametrize("chips", [0, 4])
def test_a_tpu_that_torch_xla_sees_is_used(monkeypatch, chips: int) -> None:
    """A device of Google's may also be a network card."""
    tpu = types.SimpleNamespace(
        version=lambda: 4,
        num_available_chips=lambda: chips,
        num_available_devices=lambda: 2 * chips,
    )
    monkeypatch.setitem(sys.modules, "torch_xla", types.ModuleType("torch_xla"))
    monkeypatch.setitem(sys.modules, "torch_xla._internal", types.SimpleNamespace(tpu=tpu))
    monkeypatch.setattr(accelerators, "find_spec", lambda name: object())
    monkeypatch.setattr(accelerators, "_google_device", lambda: True)
    assert find("tpu").device == ("TPU v4, 1 of 8 devices" if chips else "")
    assert find("tpu").reason == ("" if chips else "no TPU found")


def test_every_accelerator_has_its_precisions() -> None:
    assert accelerators.PRECISIONS.keys() == set(ACCELERATORS)


@pytest.mark.parametrize(
    ("name", "precision"), [("cpu", "16-mixed"), ("tpu", "bf16-true"), ("xla", "bf16-mixed")]
)
def test_a_precision_that_would_be_changed_is_refused(name: str, precision: str) -> None:
    with pytest.raises(UserError, match=f"there is no {precision} on {name}"):
        accelerators.check_precision(name, precision)
    accelerators.check_precision(name, "32-true")


@pytest.mark.parametrize(
    ("capability", "known", "lacking"),
    [
        ((8, 9), ["sm_80", "sm_90"], False),
        ((9, 0), ["sm_80", "sm_90a"], False),
        ((12, 0), ["sm_80", "sm_90", "compute_90"], False),  # portable code is compiled for it
        ((12, 0), ["sm_80", "sm_90"], True),
        ((6, 1), ["sm_75", "sm_80", "compute_80"], True),
        ((8, 0), ["sm_86"], True),
    ],
)
def test_a_gpu_that_this_torch_has_no_kernels_for_is_unavailable(
    monkeypatch, capability: tuple[int, int], known: list[str], lacking: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "A GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capability)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: known)
    found = find("gpu")
    assert found.available != lacking
    if lacking:
        sm = f"sm_{capability[0]}{capability[1]}"
        assert found.reason == (
            f"A GPU: this torch has no kernels for {sm}, only for {', '.join(known)}"
        )


def test_products_have_32_bits_whatever_the_environment_says() -> None:
    """TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1 makes this the default: an H200's products were wrong in
    the fourth digit, those of the crops too."""
    torch.set_float32_matmul_precision("high")
    accelerators.prepare("cpu")
    assert torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize(("kind", "module"), [("cuda", torch.cuda), ("mps", torch.mps)])
def test_gpus_are_synchronised(monkeypatch, kind: str, module: types.ModuleType) -> None:
    calls: list[str] = []
    monkeypatch.setattr(accelerators, "device", lambda name: torch.device(kind))
    monkeypatch.setattr(module, "synchronize", lambda: calls.append(kind))
    synchronise("gpu")
    assert calls == [kind]


def test_xla_is_waited_for_and_not_only_traced(monkeypatch) -> None:
    calls: list[str] = []
    model = types.SimpleNamespace(wait_device_ops=lambda: calls.append("wait"))
    monkeypatch.setitem(
        sys.modules, "torch_xla", types.SimpleNamespace(sync=lambda: calls.append("sync"))
    )
    monkeypatch.setitem(sys.modules, "torch_xla.core", types.SimpleNamespace(xla_model=model))
    monkeypatch.setattr(accelerators, "device", lambda name: torch.device("xla", 0))
    synchronise("tpu")
    assert calls == ["sync", "wait"]


def test_lightning_is_told_to_use_one_device_of_the_kind() -> None:
    for name in ("cpu", "gpu", "tpu"):
        arguments = accelerators.trainer_arguments(name)
        assert isinstance(arguments.pop("plugins"), LightningEnvironment)
        assert arguments == {"accelerator": name, "devices": 1}


@pytest.mark.parametrize("value", ["true", "TRUE", "1"])
def test_a_number_of_threads_that_other_work_changes_is_refused(monkeypatch, value: str) -> None:
    monkeypatch.setenv("OMP_DYNAMIC", value)
    with pytest.raises(UserError, match=r"OMP_DYNAMIC lets other work .*\. Unset it\."):
        accelerators.prepare("cpu")
