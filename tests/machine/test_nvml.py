"""With a driver that is made up: nothing here has seen a GPU."""

import sys
import types
from typing import Any

import pytest
import torch

from benchmark.machine import environment, nvml
from benchmark.machine.accelerators import find
from benchmark.throughput.clocks import Clocks
from benchmark.throughput.efficiency import EnergyMeter
from benchmark.throughput.schema import GpuClocks


class NVMLError(Exception):
    """As pynvml's."""


@pytest.fixture
def driver(monkeypatch) -> types.SimpleNamespace:
    """pynvml, and torch with a CUDA device; a test may change it."""
    joules = iter(range(1000, 10**9, 2500))
    handles = {"GPU-1234": "the handle"}
    known = types.SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=handles.__getitem__,
        nvmlSystemGetDriverVersion=lambda: "570.86.15",
        nvmlDeviceGetPowerManagementLimit=lambda handle: 700_000,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(joules),
        nvmlDeviceGetUtilizationRates=lambda handle: types.SimpleNamespace(gpu=37, memory=90),
        NVML_CLOCK_SM=1,
        nvmlDeviceGetClockInfo=lambda handle, kind: {1: 1980}[kind],
        nvmlDeviceGetCurrentClocksEventReasons=lambda handle: 0x1 | 0x4 | 0x40,
        nvmlDeviceGetComputeRunningProcesses=lambda handle: [object(), object()],
    )
    monkeypatch.setitem(sys.modules, "pynvml", known)
    monkeypatch.setattr(nvml, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    properties = types.SimpleNamespace(uuid="1234")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    return known


def failing(*_: Any) -> Any:
    raise NVMLError("Not Supported")


def test_the_fingerprint_holds_driver_and_power_limit(driver) -> None:
    found = environment._gpu("gpu")
    assert (found["driver"], found["power_limit_watts"]) == ("570.86.15", 700)


@pytest.mark.parametrize("lacking", ["nvmlInit", "nvmlDeviceGetPowerManagementLimit"])
def test_a_driver_that_does_not_say_is_no_fault(driver, lacking: str) -> None:
    setattr(driver, lacking, failing)
    assert not {"driver", "power_limit_watts"} & environment._gpu("gpu").keys()


def test_without_a_cuda_device_nothing_is_asked(driver, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert environment._gpu("gpu") == {}
    with pytest.raises(nvml.Unknown, match="needs an NVIDIA GPU"):
        nvml.Gpu()


def test_a_gpus_joules_are_the_drivers(driver) -> None:
    meter = EnergyMeter("gpu")
    assert not meter.reason
    start = meter.joules()
    assert meter.joules() - start == pytest.approx(2.5)


def test_a_counter_that_the_gpu_lacks_is_said(driver) -> None:
    driver.nvmlDeviceGetTotalEnergyConsumption = failing
    assert EnergyMeter("gpu").reason == "NVML: Not Supported"


def test_clocks_and_what_slows_them_down_are_noted(driver) -> None:
    clocks = Clocks("gpu")
    clocks.note()
    driver.nvmlDeviceGetClockInfo = lambda handle, kind: 1410
    driver.nvmlDeviceGetCurrentClocksEventReasons = lambda handle: 0
    clocks.note()
    expected = GpuClocks(megahertz=(1980, 1410), slowed_by=("heat", "power limit"))
    assert clocks.found() == expected
    driver.nvmlDeviceGetClockInfo = failing
    clocks.note()
    assert clocks.found() == expected
    assert Clocks("cpu").found() is None


@pytest.mark.parametrize(("name", "percent"), [("gpu", 37), ("gpu", 5), ("cpu", 37)])
def test_a_gpu_that_others_use_is_warned_of(driver, capsys, name: str, percent: int) -> None:
    rates = types.SimpleNamespace(gpu=percent)
    driver.nvmlDeviceGetUtilizationRates = lambda handle: rates
    nvml.warn_if_used(name)
    said = capsys.readouterr().err
    warning = "warning: the GPU is in use 37% of the time (processes on it: 2); it will disturb"
    assert said.startswith(warning) if (name, percent) == ("gpu", 37) else not said


def test_one_gpu_of_several_says_so(driver, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "A GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_80"])
    devices = {1: "A GPU", 8: "A GPU, 1 of 8"}
    for count, expected in devices.items():
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        assert find("gpu").device == expected
