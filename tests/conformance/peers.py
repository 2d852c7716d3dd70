"""Who finds the planted faults: this kit and its peers. `python -m tests.conformance.peers`.

It prints the table of docs/conformance.md. It needs pytest-torch==1.1.1 and torchtest2==0.1.0.
Each check of a peer that takes a LightningModule and one batch runs on each module of
`tests.conformance.modules.planted`. A check that fails for the clean module too does not count.
"""

import importlib
import logging
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmark.common.formatting import table
from benchmark.common.progress import track
from tests.conformance.judging import judge_project
from tests.conformance.modules import planted

BATCH = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3


def pytest_torch_checks(make: Callable[[], Any]) -> set[str]:
    """Return the names of pytest-torch's checks that fail for the module that `make` returns."""
    peer: Any = importlib.import_module("pytest_torch")
    images, labels = BATCH

    def loss(scores: Tensor) -> Tensor:
        return torch.nn.functional.cross_entropy(scores, labels)

    def optimizers() -> None:
        module = make()
        optimizer = module.configure_optimizers()
        optimizer = optimizer["optimizer"] if isinstance(optimizer, dict) else optimizer
        peer.assert_optimizer_coverage(module, optimizer)

    def resumed() -> None:
        setup, step = peer.from_lightning(make)
        peer.assert_resume_equivalent(setup, [BATCH] * 8, step)

    checks: dict[str, Callable[[], Any]] = {
        "optimizer coverage": optimizers,
        "resume": resumed,
        "deterministic": lambda: peer.assert_deterministic(make().eval(), images),
        "gradients": lambda: peer.assert_all_params_receive_grad(make(), images, loss),
        "checkpoint": lambda: peer.assert_checkpoint_roundtrip(make, images),
    }
    failing = {name for name, check in checks.items() if fails(check)}
    report = peer.check_inference_contract(make().eval(), images, raise_on_failure=False)
    return failing | {result.name for result in report.results if result.status == "fail"}


def torchtest2_checks(make: Callable[[], Any]) -> set[str]:
    """Return the names of torchtest2's checks that fail or warn for the module of `make`."""
    peer: Any = importlib.import_module("torchtest2")
    report = peer.check_model(make(), *BATCH, plugin="lightning", overfit_steps=20)
    return {result.name for result in report.results if result.status in ("FAIL", "WARN")}


def fails(check: Callable[[], Any]) -> bool:
    """Return whether `check` raises."""
    try:
        check()
    except Exception:
        return True
    return False


def kit_rules(kind: type[planted.Clean]) -> set[str]:
    """Return the names of the kit's rules about a module that `kind` breaks."""
    with tempfile.TemporaryDirectory() as folder:
        return judge_project(f"{planted.__name__}:{kind.__name__}", folder=folder).broken


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    logging.disable(logging.INFO)
    peers = {"pytest-torch 1.1.1": pytest_torch_checks, "torchtest2 0.1.0": torchtest2_checks}
    clean = {name: checks(planted.Clean) for name, checks in peers.items()}
    rows = [["none", ", ".join(kit_rules(planted.Clean)) or "-", "-", "-"]]
    for kind in track(planted.FAULTS, "Planted faults", len(planted.FAULTS)):
        cells = [str(kind.__doc__).rstrip("."), ", ".join(sorted(kit_rules(kind))) or "-"]
        for name, checks in peers.items():
            try:
                failing = checks(kind) - clean[name]
            except Exception as error:
                failing = {f"raises {type(error).__name__}"}
            cells.append(", ".join(sorted(failing)) or "-")
        rows.append(cells)
    print(table(["Planted fault", "Rule of this kit", *peers], rows))


if __name__ == "__main__":
    main()
