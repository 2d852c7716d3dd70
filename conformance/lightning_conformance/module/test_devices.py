"""Rules: the module runs on other devices, lets them not wait, and can repeat on a GPU."""

from collections.abc import Sequence

from lightning_conformance.module.device_run import DeviceRun, observe_device
from lightning_conformance.module.nondeterminism import LIST_OF
from lightning_conformance.module.observations import ProjectObservations, running_module
from lightning_conformance.module.rules import module_rule
from lightning_conformance.observations import NotJudged
from lightning_conformance.rules import Broken

SHOWN = 8
"""Lines of code that a text names at most."""


@module_rule(
    why="A tensor of the CPU can't meet one of a GPU or TPU: there, the run stops at this line.",
    fix="register_buffer for tensors of the module; torch.zeros(..., device=self.device) or "
    "zeros_like for new ones; nn.ModuleList for layers and metrics; .to(x.device), not .cuda().",
    requires=running_module,
)
def test_it_runs_on_another_kind_of_device(project: ProjectObservations) -> None:
    """Runs two batches of training, validation and test on a simulated device.

    Its tensors report torch's device "meta" and keep their values on the CPU. What the simulation
    can't do, such as sparse tensors, is not judged.
    """
    run = _device_run(project)
    if run.faults:
        raise Broken(_list(run.faults))
    _require_end(run)


@module_rule(
    why="The CPU waits for the value in each step, and meanwhile gives the accelerator no work. "
    "Where a shape depends on values, XLA compiles once more for each shape.",
    fix="Pass tensors to self.log; use torch.where instead of if and masks; keep detached tensors "
    "and compute from them at the end of the epoch.",
    requires=running_module,
)
def test_no_step_makes_an_accelerator_wait(project: ProjectObservations) -> None:
    """Reports what the user's code itself calls in each step; hooks of epochs may wait."""
    run = _device_run(project)
    if run.waits:
        raise Broken(_list(run.waits))
    _require_end(run)


@module_rule(
    why="On a GPU, the same seed gives other weights in each run, and Trainer(deterministic=True) "
    "stops at these lines.",
    fix="Use another operator: interpolate by nearest neighbours, reshape and mean for pooling, "
    'constant padding. Or accept it, with Trainer(deterministic="warn").',
    requires=running_module,
)
def test_a_gpu_can_repeat_its_steps(project: ProjectObservations) -> str | None:
    """Compares the operators of the steps with the list of torch.use_deterministic_algorithms.

    Indices are looked at: if no two write to one element, their order changes nothing. Remarks
    which operators repeat only with Trainer(deterministic=True).
    """
    run = _device_run(project)
    if raising := [call for call in run.calls if call.raises]:
        source = f"documented as non-deterministic on CUDA (torch {LIST_OF})"
        raise Broken(f"{source}: {_list(raising)}")
    _require_end(run)
    lines = {call.documented: call for call in reversed(run.calls)}  # the first of each
    if not lines:
        return None
    return f"only with Trainer(deterministic=True): {_list(list(reversed(lines.values())))}"


def _device_run(project: ProjectObservations) -> DeviceRun:
    try:
        run: DeviceRun = project.observe_by(observe_device)[0]
        return run
    except Exception as error:
        raise NotJudged(f"a device can't be simulated: {error}") from error


def _require_end(run: DeviceRun) -> None:
    """Raise NotJudged if the run ended early."""
    if run.error:
        raise NotJudged(f"a simulated device stops the run: {run.error}")


def _list(events: Sequence[object]) -> str:
    texts = [str(event) for event in events]
    more = f"; and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return "; ".join(texts[:SHOWN]) + more
