"""A simulated device shows what another device refuses, where it waits, what a GPU can't repeat."""

import inspect
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_conformance.module.device_log import DeviceLog
from lightning_conformance.module.device_run import DeviceRun, observe_device
from lightning_conformance.module.fit import FitScenario
from lightning_conformance.module.nondeterminism import (
    EXPLAINED,
    GRADIENTS,
    INTERPOLATE,
    OPERATORS,
)
from lightning_conformance.module.other_device import DEVICE, simulated_device
from lightning_conformance.module.source import ModuleSource, Project
from lightning_conformance.module.user_code import UserCode
from lightning_conformance.results import Outcome
from lightning_conformance.source import DataModuleSource
from tests.conformance.datamodules.pictures import PicturesModule
from tests.conformance.judging import DATAMODULES, MODULES, judge_project
from tests.conformance.modules import conforming, devices

RUNS = "it runs on another kind of device"
WAITS = "no step makes an accelerator wait"
REPEATS = "a gpu can repeat its steps"
BROKEN_BY_NONE = {
    "EveryOtherWay", "TwoOptimizers", "SlicesAParameter", "TakesPairs", "CollidesNowhere"
}  # fmt: skip
NOT_SIMULATED = {"AsksForTheDevice"}
KINDS = {
    name for name, kind in vars(devices).items()
    if isinstance(kind, type) and issubclass(kind, devices.Classifier)
} - {"Classifier"}  # fmt: skip


def run(name: str, folder: Path) -> DeviceRun:
    data = (
        f"{MODULES}.devices:Pairs"
        if name == "TakesPairs"
        else f"{DATAMODULES}.pictures:PicturesModule"
    )
    project = Project(
        ModuleSource(f"{MODULES}.devices:{name}"),
        DataModuleSource(data, (("folder", str(folder)),)),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return observe_device(project, FitScenario())


def marked_lines(name: str, mark: str) -> set[int]:
    """Return the numbers of the lines of the class with this mark in their comment."""
    lines, first = inspect.getsourcelines(getattr(devices, name))
    return {
        number for number, line in enumerate(lines, first)
        if mark in line.partition("  # ")[2].strip().split(", ")
    }  # fmt: skip


def lines_of(events: Iterable[Any]) -> set[int]:
    places = [event.place for event in events]
    assert all(place is not None and place.file == devices.__file__ for place in places), events
    return {place.line for place in places}


@pytest.mark.parametrize("name", sorted(KINDS - NOT_SIMULATED))
def test_exactly_the_marked_lines_are_named(name: str, tmp_path: Path) -> None:
    seen = run(name, tmp_path)
    assert not seen.error
    assert lines_of(seen.faults) == marked_lines(name, "fault")
    assert lines_of(seen.waits) == marked_lines(name, "wait")
    for mark, raises in (("raises", True), ("repeats", False)):
        calls = [call for call in seen.calls if call.raises is raises]
        if name == "RaisesIfDeterministic" and not raises:
            assert {call.documented for call in calls} == {"torch.nn.Conv2d"}
        else:
            assert lines_of(calls) == marked_lines(name, mark)
    marks = {mark for mark in ("fault", "wait", "raises", "repeats") if marked_lines(name, mark)}
    assert bool(marks) == (name not in BROKEN_BY_NONE)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("MakesOnTheCpu", "torch.randn makes a tensor on the CPU, which line"),
        ("PlainAttribute", "the attribute means stays on the CPU, and sub gets one of the device"),
        ("ListOfLayers", "the attribute heads[0].bias stays on the CPU"),
        ("WeightsOfTheLoss", "the attribute options['weight'] stays on the CPU"),
        ("CallsCuda", ".cuda() is called"),
        ("NamesCuda", "torch.zeros names the device cuda"),
    ],
)
def test_a_fault_names_its_tensor(name: str, text: str, tmp_path: Path) -> None:
    seen = run(name, tmp_path)
    assert [str(fault).startswith(text) for fault in seen.faults] == [True], seen.faults


def test_what_can_not_be_simulated_is_no_fault(tmp_path: Path) -> None:
    seen = run("AsksForTheDevice", tmp_path)
    assert not seen.faults
    assert "META" in seen.error
    assert f"training_step in {devices.__file__}" in seen.error


def test_tensors_of_the_device_have_the_values_of_the_cpu(tmp_path: Path) -> None:
    """A step that would take other branches would show other lines."""
    data = PicturesModule(str(tmp_path))
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    losses = []
    for device in ("cpu", DEVICE):
        torch.manual_seed(0)
        module = devices.EveryOtherWay()
        with simulated_device(DeviceLog(UserCode("tests"))):
            moved = [tensor.to(device) for tensor in batch]
            loss = conforming.Classifier.training_step(module.to(device), moved, 0)
            loss.backward()
            losses.append((loss.item(), module.network[2].weight.grad.sum().item()))
            assert loss.device.type == torch.device(device).type
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def documented() -> dict[str, set[bool]]:
    """Return the names in torch's list, with whether they raise or repeat."""
    text = torch.use_deterministic_algorithms.__doc__ or ""
    start = "The following normally-nondeterministic operations will "
    _, repeating, raising = text.split(start)
    raising, _, matrices = raising.partition("In addition, several operations fill")
    names: dict[str, set[bool]] = {}
    for section, raises in ((repeating, False), (raising, True), (matrices, True)):
        for name in re.findall(r"\* :(?:class|func):`([\w.]+)`", section):
            names.setdefault(name, set()).add(raises)
    return names


def test_each_operator_of_torchs_list_is_in_the_list_or_explained() -> None:
    listed: dict[str, set[bool]] = {}
    for operator in OPERATORS:
        listed.setdefault(operator.documented, set()).add(operator.raises)
    names = documented()
    assert len(names) > 40
    assert names.keys() == listed.keys() | set(GRADIENTS.values()) | EXPLAINED.keys()
    for name in listed.keys() - {INTERPOLATE}:
        assert listed[name] <= names[name], name


def test_interpolate_repeats_in_the_modes_that_the_list_excepts() -> None:
    """The documentation says that these raise; torch's code calls other operators for them."""
    code = inspect.getsource(torch.nn.functional.interpolate)
    replaced = re.findall(r'mode == "(\w+)":(?:(?!mode ==).)*_upsample_linear_vec', code, re.DOTALL)
    repeating = [o.name for o in OPERATORS if o.documented == INTERPOLATE and not o.raises]
    assert repeating == [
        f"upsample_{mode}{n}d_backward" for mode, n in zip(replaced, (2, 3), strict=True)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "rule", "outcome", "text"),
    [
        ("PlainAttribute", RUNS, Outcome.BROKEN, "the attribute means stays on the CPU"),
        ("AsksForTheDevice", RUNS, Outcome.NOT_JUDGED, "a simulated device stops the run: "),
        ("WaitsInValidation", WAITS, Outcome.BROKEN, ".cpu() (validation_step in "),
        ("RaisesIfDeterministic", REPEATS, Outcome.BROKEN, "torch.cumsum (forward in "),
        (
            "RepeatsIfDeterministic",
            REPEATS,
            Outcome.HOLDS,
            "only with Trainer(deterministic=True): ",
        ),
        ("CollidesNowhere", REPEATS, Outcome.HOLDS, ""),
    ],
)
def test_the_rules_say_what_was_seen(
    name: str, rule: str, outcome: Outcome, text: str, tmp_path: Path
) -> None:
    module = f"{MODULES}.devices:{name}"
    result = judge_project(module, {rule}, folder=str(tmp_path))[rule]
    assert result.outcome is outcome, result
    assert text in result.seen + result.reason
