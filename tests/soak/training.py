"""`python -m tests.soak.training WORKLOAD TRACE ...`: trainings one after another.

Each is traced into a file whose last line has its results.
"""

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
"""Steps of the bundled workload; the small one is trained to its end."""
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
    """Train with a trace; return the results."""
    from benchmark.common.parameters import load_parameters
    from benchmark.machine import accelerators
    from benchmark.training.callbacks import StopAfterSteps
    from benchmark.training.fit import Fit
    from tests.soak.trace import Trace

    accelerators.prepare("cpu")
    accelerator, parameters = accelerators.find("cpu"), load_parameters()
    if workload == BUNDLED:
        fit = Fit(accelerator, parameters, None, Trace(file), StopAfterSteps(STEPS))
        fit.fit()
        return outcome(fit)
    with tempfile.TemporaryDirectory() as folder:
        fit = Fit(accelerator, parameters, Path(folder), Trace(file)).fit_and_test()
        return outcome(fit) | {"test": fit.test, "predictions": fit.predictions.rows}


def outcome(fit: Any) -> dict[str, Any]:
    """Digests, losses and metrics."""
    from benchmark.common import tensor_digests

    return {
        "weights": tensor_digests.state_digest(fit.model.network.state_dict()),
        "order": list(fit.data.digest_log.order.values()),
        "pixels": fit.data.digest_log.pixels,
        "steps": fit.history.steps,
        "epochs": fit.history.epochs,
    }


if __name__ == "__main__":
    main(sys.argv[1:])
