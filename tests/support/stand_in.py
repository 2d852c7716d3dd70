"""A stand-in for the stages that compute: writes the files on which other stages depend.

The stage `code` is run as it is.
"""

import hashlib
from pathlib import Path

from benchmark.common.parameters import ACCELERATORS, load_parameters
from benchmark.pipeline import code

REPORT = [
    "comparison.json", "results.csv", "report.html", "report.md", "accuracy.svg", "loss.svg",
    "losses.csv", "accuracies.csv", "classes.svg", "steps.svg", "scaling.svg", "sweep.svg",
    "curve.svg", "throughput.svg",
]  # fmt: skip


def main(arguments: list[str]) -> None:
    """Run one stage in the current directory."""
    if arguments == ["code"]:
        return code.run(load_parameters())
    for path, content in outputs(*arguments).items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(content)


def outputs(stage: str, accelerator: str = "", _: str = "", name: str = "") -> dict[str, str]:
    """The files of a stage, by path."""
    match stage:
        case "dataset":
            return {"reports/dataset.json": "{}", "reports/weights.json": "{}"}
        case "environment":
            return {f"reports/environment/{name}.json": "{}" for name in ACCELERATORS}
        case "throughput":
            return {f"reports/throughput/{accelerator}.json": inputs(stage)}
        case "report":
            return {"reports/metrics.json": "{}", **{f"reports/{file}": "" for file in REPORT}}
        case "replay":
            return {f"reports/replay/{accelerator}/{name}.json": "{}"}
    return trained(f"{accelerator}/{name}", "control" if name == "control" else "train")


def trained(name: str, stage: str) -> dict[str, str]:
    """The files of a training. Its result contains a digest of parameters and code."""
    kinds = ("steps", "epochs", "predictions", "tensors")
    tables = [f"reports/train/{name}.{table}.csv" for table in kinds]
    return {
        f"reports/train/{name}.json": inputs(stage),
        f"reports/timing/{name}.json": "{}",
        f"models/{name}/weights": inputs(stage),
        **dict.fromkeys(tables, "step,loss\n"),
    }


def inputs(stage: str) -> str:
    """A digest of the parameters and of the stage's code."""
    content = b"".join(
        Path(path).read_bytes() for path in ("params.yaml", f"reports/code/{stage}.json")
    )
    return f'{{"inputs": "{hashlib.sha256(content).hexdigest()}"}}\n'
