import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import requests
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment

from benchmark.common.parameters import ACCELERATORS, TrainerParameters
from benchmark.errors.user_error import UserError
from benchmark.machine import accelerators
from benchmark.machine.accelerators import Accelerator, find, synchronise
from benchmark.training.trainer_arguments import trainer_arguments
from tests import REPOSITORY
from tests.support.fixtures import launch
from tests.support.forked_python import python


@pytest.mark.parametrize("name", ACCELERATORS)
def test_an_accelerator_has_either_a_device_or_a_reason(name: str) -> None:
    accelerator = find(name)
    assert accelerator.available == bool(accelerator.device) != bool(accelerator.reason)


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
    accelerator = find("gpu")
    assert accelerator.available == (expected is not None)
    if expected:
        assert accelerators.device("gpu").type == expected


def test_mps_that_is_disabled_is_absent(monkeypatch) -> None:
    """Lightning reads DISABLE_MPS."""
    monkeypatch.setenv("DISABLE_MPS", "1")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert find("gpu").reason == "no CUDA device, and DISABLE_MPS is set"


def test_without_torch_xla_there_is_no_tpu(monkeypatch) -> None:
    monkeypatch.setattr(accelerators, "find_spec", lambda name: None)
    assert find("tpu").reason == find("xla").reason == "torch_xla is not installed"


def test_a_machine_without_googles_chips_has_no_tpu(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(accelerators, "find_spec", lambda name: object())
    monkeypatch.setattr(accelerators, "PCI_DEVICES", tmp_path)
    assert find("tpu").reason == "no TPU found"


@pytest.fixture
def tpu(monkeypatch, tmp_path: Path) -> types.SimpleNamespace:
    """Simulate torch_xla on a v5e with four chips; tests may change the values."""
    chips = types.SimpleNamespace(
        get_tpu_type=lambda: "v5litepod",
        num_available_chips=lambda: 4,
        num_available_devices=lambda: 4,
        num_tpu_workers=lambda: 1,
    )
    monkeypatch.setitem(sys.modules, "torch_xla", types.ModuleType("torch_xla"))
    monkeypatch.setitem(sys.modules, "torch_xla._internal", types.SimpleNamespace(tpu=chips))
    monkeypatch.setattr(accelerators, "find_spec", lambda name: object())
    (tmp_path / "0000").mkdir()
    (tmp_path / "0000/vendor").write_text(f"{accelerators.GOOGLE_PCI_VENDOR}\n")
    monkeypatch.setattr(accelerators, "PCI_DEVICES", tmp_path)
    return chips


@pytest.mark.parametrize(
    ("kind", "name"), [("v4", "v4"), ("v5litepod", "v5e"), ("v5p", "v5p"), ("v6e", "v6e")]
)
def test_a_tpu_that_torch_xla_sees_is_used(tpu, kind: str, name: str) -> None:
    tpu.get_tpu_type = lambda: kind
    assert find("tpu") == Accelerator("tpu", f"TPU {name}, 1 of 4 devices")


def test_a_device_of_googles_may_be_a_network_card(tpu) -> None:
    tpu.num_available_chips = lambda: 0
    assert find("tpu").reason == "no TPU found"


def test_a_tpu_without_its_library_is_absent(tpu, monkeypatch) -> None:
    specs = {"torch_xla": object()}
    monkeypatch.setattr(accelerators, "find_spec", specs.get)
    assert find("tpu").reason == "libtpu is not installed"


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError("no route to metadata.google.internal"),
        OSError("Failed to get TPU metadata"),
        TypeError("expected string or bytes-like object, got 'NoneType'"),
        KeyError("ACCELERATOR_TYPE"),
    ],
)
def test_a_tpu_that_cannot_be_asked_what_it_is_is_absent(tpu, error: Exception) -> None:
    """torch_xla gets the TPU's type from a metadata server or from environment variables."""

    def fail() -> str:
        raise error

    tpu.get_tpu_type = fail
    assert find("tpu").reason == f"its type is unknown ({error})"


def test_one_host_of_many_is_refused(tpu) -> None:
    tpu.num_tpu_workers = lambda: 4
    assert find("tpu").reason == "it is one of a slice's 4 hosts, and only one would be used"


@pytest.mark.parametrize(
    ("capability", "architectures", "lacking"),
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
    monkeypatch, capability: tuple[int, int], architectures: list[str], lacking: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "A GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: capability)
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: architectures)
    accelerator = find("gpu")
    assert accelerator.available != lacking
    if lacking:
        sm = f"sm_{capability[0]}{capability[1]}"
        assert accelerator.reason == (
            f"A GPU: this torch has no kernels for {sm}, only for {', '.join(architectures)}"
        )


def test_products_have_32_bits_whatever_the_environment_says() -> None:
    """TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1 makes this the default: an H200's products were wrong in
    the fourth digit, those of the crops too."""
    torch.set_float32_matmul_precision("high")
    accelerators.prepare("cpu")
    assert torch.get_float32_matmul_precision() == "highest"


def test_new_memory_is_not_written_to_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """With deterministic algorithms, torch fills new memory with NaN by default."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    accelerators.prepare("cpu")
    torch.use_deterministic_algorithms(True)
    try:
        assert not torch.empty(1000).isnan().all()
    finally:
        torch.use_deterministic_algorithms(False)


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
        arguments = trainer_arguments(name, "32-true")
        (environment,) = arguments.pop("plugins")
        assert isinstance(environment, LightningEnvironment)
        assert arguments == {"accelerator": name, "devices": 1, "precision": "32-true"}


SEVERAL = TrainerParameters(devices=4, num_nodes=2, sync_batchnorm=True)


@pytest.mark.parametrize(("launcher", "kind"), [("slurm", "SLURM"), ("torchrun", "TorchElastic")])
def test_lightning_is_told_of_several_devices_and_of_what_started_them(
    monkeypatch, launcher: str, kind: str
) -> None:
    """On a CPU the synchronised batch norm is ours, which Lightning need not know."""
    launch(launcher, monkeypatch)
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "2")
    for name in ("cpu", "gpu"):
        arguments = trainer_arguments(name, "32-true", SEVERAL)
        (environment,) = arguments.pop("plugins")
        assert type(environment).__name__ == f"{kind}Environment"
        assert arguments == {
            "accelerator": name, "devices": 4, "num_nodes": 2, "strategy": "ddp",
            "sync_batchnorm": name == "gpu", "precision": "32-true",
        }  # fmt: skip


def test_a_job_that_lightning_refuses_is_refused_in_one_line(monkeypatch) -> None:
    launch("slurm", monkeypatch)
    with pytest.raises(UserError, match=r"^SLURM: .*ntasks-per-node=2"):
        trainer_arguments("cpu", "32-true", SEVERAL)


@pytest.mark.parametrize(("name", "most"), [("gpu", 2), ("tpu", 1), ("xla", 1)])
def test_more_devices_than_there_are_are_refused(monkeypatch, name: str, most: int) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    accelerators.check_devices(name, most)
    with pytest.raises(UserError, match=rf"trainer\.devices = {most + 1}: .* can use {most} here"):
        accelerators.check_devices(name, most + 1)


@pytest.mark.parametrize("value", ["true", "TRUE", "1"])
def test_a_number_of_threads_that_other_work_changes_is_refused(monkeypatch, value: str) -> None:
    monkeypatch.setenv("OMP_DYNAMIC", value)
    with pytest.raises(UserError, match=r"OMP_DYNAMIC lets other work .*\. Unset it\."):
        accelerators.prepare("cpu")


PROGRAM = """
import sys
import pytorch_lightning as pl
from lightning_fabric.accelerators.xla import _XLA_AVAILABLE
_XLA_AVAILABLE.available = True
from benchmark.machine import accelerators
from benchmark.training.trainer_arguments import trainer_arguments
accelerators.prepare("cpu")
pl.Trainer(**trainer_arguments("cpu", "32-true"), logger=False)
print("torch_xla" in sys.modules)
"""


@pytest.mark.slow
def test_a_training_on_a_cpu_loads_nothing_of_xla() -> None:
    """Importing torch_xla takes seconds per process; Lightning would do it to look for a TPU."""
    done = subprocess.run(
        [python(), "-c", PROGRAM], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "False"


KEEPING = """
import psutil, torch
from benchmark.machine import accelerators
accelerators.prepare("cpu")
before = psutil.Process().memory_info().rss
tensors = [torch.ones(2**22) for _ in range(10)]
del tensors
print((psutil.Process().memory_info().rss - before) / 2**20)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="mallopt is glibc's")
def test_freed_memory_is_kept_for_the_next_step() -> None:
    """Ten tensors of 16 MiB; without the setting, glibc returns them when they are freed."""
    done = subprocess.run(
        [python(), "-c", KEEPING], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert float(done.stdout.splitlines()[-1]) > 150
