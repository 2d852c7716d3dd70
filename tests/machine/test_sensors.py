"""Sensors with a stand-in for NVML and made-up RAPL files: no GPU is needed."""

import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.machine import environment, sensors
from benchmark.machine.accelerators import find
from benchmark.machine.schema import GpuClocks
from benchmark.machine.sensors import EnergyMeter, GpuClockLog, NvidiaGpu, SensorError


class NVMLError(Exception):
    """Stand-in for pynvml's error."""


@pytest.fixture
def driver(monkeypatch) -> types.SimpleNamespace:
    """Simulate pynvml, and torch with a CUDA device; tests may change the values."""
    joules = iter(range(1000, 10**9, 2500))
    handles = {"GPU-1234": "the handle"}
    pynvml = types.SimpleNamespace(
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
    monkeypatch.setitem(sys.modules, "pynvml", pynvml)
    monkeypatch.setattr(sensors, "find_spec", lambda name: object())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 91002)
    properties = types.SimpleNamespace(uuid="1234")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    return pynvml


def failing(*_: Any) -> Any:
    raise NVMLError("Not Supported")


def test_the_fingerprint_holds_driver_and_power_limit(driver) -> None:
    facts = environment._gpu("gpu")
    assert (facts["driver"], facts["power_limit_watts"]) == ("570.86.15", 700)


@pytest.mark.parametrize("lacking", ["nvmlInit", "nvmlDeviceGetPowerManagementLimit"])
def test_a_driver_that_does_not_say_is_no_fault(driver, lacking: str) -> None:
    setattr(driver, lacking, failing)
    assert not {"driver", "power_limit_watts"} & environment._gpu("gpu").keys()


def test_without_a_cuda_device_nothing_is_asked(driver, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert environment._gpu("gpu") == {}
    with pytest.raises(SensorError, match="needs an NVIDIA GPU"):
        NvidiaGpu()


def test_a_gpus_joules_are_the_drivers(driver) -> None:
    meter = EnergyMeter("gpu")
    assert not meter.reason
    start = meter.joules()
    assert meter.joules() - start == pytest.approx(2.5)


def test_a_counter_that_the_gpu_lacks_is_said(driver) -> None:
    driver.nvmlDeviceGetTotalEnergyConsumption = failing
    assert EnergyMeter("gpu").reason == "NVML: Not Supported"


def test_clocks_and_what_slows_them_down_are_noted(driver) -> None:
    clocks = GpuClockLog("gpu")
    clocks.record()
    driver.nvmlDeviceGetClockInfo = lambda handle, kind: 1410
    driver.nvmlDeviceGetCurrentClocksEventReasons = lambda handle: 0
    clocks.record()
    expected = GpuClocks(megahertz=(1980, 1410), slowed_by=("heat", "power limit"))
    assert clocks.clocks() == expected
    driver.nvmlDeviceGetClockInfo = failing
    clocks.record()
    assert clocks.clocks() == expected
    assert GpuClockLog("cpu").clocks() is None


@pytest.mark.parametrize(("name", "percent"), [("gpu", 37), ("gpu", 5), ("cpu", 37)])
def test_a_gpu_that_others_use_is_warned_of(driver, capsys, name: str, percent: int) -> None:
    rates = types.SimpleNamespace(gpu=percent)
    driver.nvmlDeviceGetUtilizationRates = lambda handle: rates
    sensors.warn_if_gpu_is_busy(name)
    warning_text = capsys.readouterr().err
    warning = "warning: the GPU is in use 37% of the time (processes on it: 2); it will disturb"
    assert warning_text.startswith(warning) if (name, percent) == ("gpu", 37) else not warning_text


def test_one_gpu_of_several_says_so(driver, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: "A GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (8, 0))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_80"])
    devices = {1: "A GPU", 8: "A GPU, 1 of 8"}
    for count, expected in devices.items():
        monkeypatch.setattr(torch.cuda, "device_count", lambda count=count: count)
        assert find("gpu").device == expected


def counter(root: Path, zone: str, value: int, name: str = "package-0", limit: int = 1000) -> Path:
    folder = root / zone
    folder.mkdir(exist_ok=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "max_energy_range_uj").write_text(str(limit))
    (folder / "energy_uj").write_text(str(value))
    return folder / "energy_uj"


def test_joules_add_up_over_packages_and_past_the_counters_end(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sensors, "RAPL", tmp_path)
    one, other = counter(tmp_path, "intel-rapl:0", 900), counter(tmp_path, "intel-rapl:1", 5)
    counter(tmp_path, "intel-rapl:0:0", 77, "core")  # a part of the first
    counter(tmp_path, "intel-rapl:2", 88, "psys")  # all of them together
    meter = EnergyMeter("cpu")
    assert not meter.reason
    start = meter.joules()
    one.write_text("100")  # began again at 1000
    other.write_text("305")
    assert meter.joules() - start == pytest.approx((200 + 300) / 1e6)
    one.write_text("150")
    assert meter.joules() - start == pytest.approx((250 + 300) / 1e6)


def test_no_counter_is_said(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sensors, "RAPL", tmp_path)
    assert EnergyMeter("xla").reason == "this machine shows no RAPL counters"
    assert "TPU" in EnergyMeter("tpu").reason


def test_a_counter_that_may_not_be_read_is_said(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(sensors, "RAPL", tmp_path)
    counter(tmp_path, "intel-rapl:0", 1).unlink()
    (tmp_path / "intel-rapl:0/energy_uj").mkdir()  # even root can't read this as a file
    assert EnergyMeter("cpu").reason.startswith("RAPL's counters cannot be read: ")


def test_without_nvml_a_gpus_energy_is_unknown(monkeypatch) -> None:
    monkeypatch.setattr(sensors, "find_spec", lambda name: None)
    assert "nvidia-ml-py" in EnergyMeter("gpu").reason
