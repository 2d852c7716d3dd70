"""`python -m tests.soak.training WORKLOAD TRACE ...`: trainings one after another, each traced into
a file whose last line holds what came of it."""

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests import PARAMETERS, REPOSITORY
from tests.support import small

SMALL, BUNDLED = "small", "bundled"
STEPS = 5
"""Of the bundled workload; the small one is trained whole."""
CLASSES, PER_CLASS, SIDE = 10, 20, 96


def make(workload: str, root: Path) -> None:
    """A directory to train in."""
    from tests.support.fixtures import write_images

    content = yaml.safe_load(PARAMETERS.read_text())
    if workload == SMALL:
        content["model"]["weights"] = "random"
        content["train"]["max_epochs"] = 3
        sizes = {"train": PER_CLASS, "val": 4, "test": 4}
        write_images(root / "data", CLASSES, sizes, (SIDE, SIDE))
    else:
        for name in ("data", "weights"):
            (root / name).symlink_to(REPOSITORY / name)
    (root / "params.yaml").write_text(yaml.safe_dump(content))


def main(arguments: list[str]) -> None:
    """Train in the working directory."""
    workload, *paths = arguments
    small.hide_torch_xla()
    if workload == SMALL:
        small.replace_networks()
    for path in paths:
        with Path(path).open("w") as file:
            print(json.dumps(train(workload, file)), file=file)


def train(workload: str, file: Any) -> Mapping[str, Any]:
    """The training and its trace; what came of it."""
    from benchmark.common.parameters import load_parameters
    from benchmark.machine import accelerators
    from benchmark.training.callbacks import StopAfterSteps
    from benchmark.training.fit import Fit
    from tests.soak.trace import Trace

    accelerators.prepare("cpu")
    accelerator, parameters = accelerators.find("cpu"), load_parameters()
    if workload == BUNDLED:
        run = Fit(accelerator, parameters, None, Trace(file), StopAfterSteps(STEPS))
        run.trainer.fit(run.model, datamodule=run.data)
        return outcome(run)
    with tempfile.TemporaryDirectory() as scratch:
        run = Fit(accelerator, parameters, Path(scratch), Trace(file)).fit_and_test()
        return outcome(run) | {"test": run.test, "predictions": run.predictions.rows}


def outcome(run: Any) -> dict[str, Any]:
    """Digests and losses, as a result's."""
    from benchmark.common import digests

    return {
        "weights": digests.of_state(run.model.network.state_dict()),
        "order": list(run.data.digest_log.order.values()),
        "pixels": run.data.digest_log.pixels,
        "steps": run.history.steps,
        "epochs": run.history.epochs,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
