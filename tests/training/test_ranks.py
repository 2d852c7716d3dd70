"""Train on several ranks of a CPU, with a small network in ResNet50's place."""

import csv
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmark.common.parameters import load_parameters
from benchmark.common.results import ResultPaths, read_result, write_result
from benchmark.data.datamodule import ImageDataModule
from benchmark.training.fit import fine_tuner
from benchmark.training.schema import TRAINING, Training
from tests import REPOSITORY
from tests.data.test_ranks import free_port
from tests.support import made_results
from tests.support.fixtures import small_content, write_images
from tests.support.forked_python import forked, python

pytestmark = pytest.mark.slow
OWN = ResultPaths("cpu").own
BATCH = 8
"""Samples of a step, on all ranks together."""
Trained = Callable[..., Path]
"""Returns the directory of a training on a number of ranks with changed parameters."""


Ranks = Callable[..., list[int]]


@pytest.fixture(scope="module")
def ranks() -> Iterator[Ranks]:
    """Runs a stage's ranks, each in its directory, and returns their exit statuses.

    `variables` are environment variables. Ranks of one directory are of one machine.
    """
    folders = map(str, (REPOSITORY, REPOSITORY / "conformance"))
    process = subprocess.Popen(
        [python(), "-m", "tests.training.rank_process"], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(folders)},
    )  # fmt: skip
    assert process.stdin
    assert process.stdout

    def run(
        directories: Sequence[Path],
        stage: str = "train",
        per_node: bool = True,
        **variables: str,
    ) -> list[int]:
        request = {
            "directories": [*map(str, directories)], "port": free_port(), "stage": stage,
            "per_node": per_node, "extra": variables,
        }  # fmt: skip
        print(json.dumps(request), file=process.stdin, flush=True)
        return list(json.loads(process.stdout.readline()))

    yield run
    process.communicate()


def make(root: Path, ranks: int, **sections: dict[str, Any]) -> Path:
    """Make a directory for a training on `ranks` ranks.

    The dataset has 36 training images, of which the last step takes 4, and 9 of val and test each.
    """
    content = small_content()
    content["data"]["batch_size"] = BATCH // ranks
    content["train"] |= {"max_epochs": 2}
    content["trainer"] |= {"devices": ranks, "sync_batchnorm": True}
    for name, values in sections.items():
        content[name] |= values
    write_images(root / "data", 3, {"train": 12, "val": 3, "test": 3})
    (root / "params.yaml").write_text(yaml.safe_dump(content))
    write_result(root / "reports/dataset.json", made_results.DATASET)
    write_result(root / ResultPaths("cpu").environment, made_results.environment("cpu"))
    return root


def training(root: Path) -> Training:
    result = read_result(root / OWN.result, TRAINING)
    assert isinstance(result, Training)
    return result


def table(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]


def losses(root: Path) -> list[float]:
    return [float(row[-1]) for row in table(root / OWN.steps)]


def running_statistics(root: Path) -> dict[str, Tensor]:
    state = load_file(root / OWN.model / "weights.safetensors")
    return {name: value for name, value in state.items() if "running" in name}


def log(root: Path) -> str:
    return "".join(path.read_text() for path in sorted(root.glob("rank.*.log")))


@pytest.fixture(scope="module")
def trained(ranks: Ranks, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Runs each training once."""
    roots: dict[str, Path] = {}

    def once(number: int, **sections: dict[str, Any]) -> Path:
        key = f"{number} {sections}"
        if key not in roots:
            roots[key] = make(tmp_path_factory.mktemp("ranks"), number, **sections)
            assert ranks([roots[key]] * number) == [0] * number, log(roots[key])
        return roots[key]

    return once


WORKLOADS = {
    "unchanged": {},
    "unfrozen": {"train": {"max_epochs": 3, "unfreeze_epoch": 1}},
    "frozen": {"model": {"freeze_backbone": True}},
}


@pytest.mark.parametrize(
    ("workload", "number"),
    [("unchanged", 2), ("unchanged", 4), ("unfrozen", 2), ("frozen", 2)],
)
def test_ranks_train_as_one_process_does_with_their_batches_together(
    trained: Trained, workload: str, number: int
) -> None:
    """Inputs are equal bit for bit, and results up to the order of sums."""
    single, parallel = (trained(n, **WORKLOADS[workload]) for n in (1, number))
    left, right = training(single), training(parallel)
    for name in ("initial_weights", "order", "order_by_epoch", "pixels"):
        assert getattr(left.digests, name) == getattr(right.digests, name), name
    assert left.inputs == right.inputs
    assert losses(parallel) == pytest.approx(losses(single), rel=1e-5)
    assert losses(parallel)[0] == pytest.approx(losses(single)[0], rel=2e-7)
    assert right.test.loss == pytest.approx(left.test.loss, rel=1e-4)
    statistics, parallel_statistics = (running_statistics(root) for root in (single, parallel))
    for name, value in statistics.items():
        torch.testing.assert_close(parallel_statistics[name], value, rtol=1e-4, atol=1e-5, msg=name)
    # Each test image counts once, although 9 images are not a multiple of the ranks.
    rows, parallel_rows = (table(root / OWN.predictions) for root in (single, parallel))
    assert len(rows) == 9
    assert [row[:3] for row in parallel_rows] == [row[:3] for row in rows]
    accuracy = sum(row[1] == row[2] for row in parallel_rows) / 9
    assert right.test.accuracy == left.test.accuracy == pytest.approx(accuracy, abs=1e-6)


def test_batch_norm_of_each_device_is_another_training_and_says_so(trained: Trained) -> None:
    synchronised, separate = trained(2), trained(2, trainer={"sync_batchnorm": False, "devices": 2})
    left, right = training(synchronised), training(separate)
    assert right.digests.order == left.digests.order
    assert abs(losses(separate)[0] / losses(synchronised)[0] - 1) > 1e-4
    assert right.inputs.parameters != left.inputs.parameters
    assert left.device.startswith("2 x ")
    assert left.device.endswith("(batch norm synchronised; speed is of one)")
    assert right.device.endswith("(batch norm of each device; speed is of one)")


def test_what_is_validated_is_what_is_kept(trained: Trained, small_network: None) -> None:
    """The running means of rank 0 are validated on every rank, and kept.

    Without synchronised batch norm each rank has other ones. DistributedDataParallel broadcasts
    those of rank 0 with the first batch.
    """
    root = trained(2, trainer={"sync_batchnorm": False, "devices": 2})
    parameters = load_parameters(root / "params.yaml")
    model = fine_tuner(parameters, classes=3).eval()
    model.network.load_state_dict(load_file(root / OWN.model / "weights.safetensors"))
    data = ImageDataModule(str(root / "data"), 32, batch_size=9, cache_dir=root / ".cache")
    data.prepare_data()
    data.setup("validate")
    (images, labels) = data.on_after_batch_transfer(next(iter(data.val_dataloader())), 0)
    loss = nn.functional.cross_entropy(model(images), labels).item()
    assert training(root).val.loss == pytest.approx(loss, abs=2e-6)


def test_a_replay_on_ranks_is_equal_bit_for_bit(ranks: Ranks, tmp_path: Path) -> None:
    """Only rank 0 of a replay removes the checkpoints that a DVC stage has left.

    With this many files, two ranks that remove them would collide.
    """
    root = make(tmp_path, 2, train={"max_epochs": 1})
    assert ranks([root] * 2, DVC_ROOT=str(root)) == [0, 0], log(root)
    (done,) = root.glob(f".checkpoints/{OWN.checkpoint_dir}/*/done")
    for number in range(3000):
        (done.parent / str(number)).touch()
    assert ranks([root] * 2, "replay", DVC_ROOT=str(root)) == [0, 0], log(root)
    assert json.loads((root / OWN.replay).read_text())["bitwise"]
    assert not done.parent.exists()


def kill(rank: int) -> None:
    """Send SIGKILL to a rank that a launcher has started."""
    for child in (child for process in forked() for child in process.children()):
        if child.environ().get("RANK") == str(rank):
            child.kill()


def test_a_rank_that_is_killed_is_named_and_costs_no_more_than_an_epoch(
    ranks: Ranks, trained: Trained, tmp_path: Path
) -> None:
    """The stage starts its ranks itself. The repetition begins with an unfrozen backbone."""
    root = make(tmp_path, 2, **WORKLOADS["unfrozen"])
    process = subprocess.Popen(
        [python(), "-m", "tests.support.small", "train", "cpu"], cwd=root, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert process.stdout
    assert next(line for line in process.stdout if "epoch 2/3" in line)
    kill(1)
    _, error = process.communicate(timeout=60)
    remedy = "Repeat it: it resumes after its last complete epoch."
    assert error == f"error: Rank 1: ended by SIGKILL. {remedy}\n"
    assert process.returncode == 1
    assert ranks([root] * 2) == [0, 0], log(root)
    assert "cpu: resuming after an interruption" in log(root)
    assert training(root) == training(trained(2, **WORKLOADS["unfrozen"]))


def hooks(root: Path, rank: int) -> list[str]:
    calls = json.loads((root / f"calls.{rank}.json").read_text())
    return [name for name, *_ in calls if name in ("prepare_data", "setup")]


@pytest.mark.parametrize("shared", [True, False], ids=["shared directory", "two directories"])
@pytest.mark.parametrize("per_node", [True, False], ids=["each node", "first node"])
def test_two_machines_prepare_once_each_or_once_together(
    ranks: Ranks, tmp_path: Path, shared: bool, per_node: bool
) -> None:
    """The fit and the test each call `setup` and `prepare_data`."""
    short = {"trainer": {"devices": 1, "num_nodes": 2}, "train": {"max_epochs": 1}}
    first, last = make(tmp_path / "one", 2, **short), tmp_path / "two"
    if shared:
        last.symlink_to(first)
    else:
        make(last, 2, **short)
    statuses = ranks([first, last], per_node=per_node)
    if not shared and not per_node:
        assert statuses != [0, 0]
        assert "call prepare() on this node first" in log(last)
        return
    assert statuses == [0, 0], log(first) + log(last)
    assert hooks(first, 0) == ["prepare_data", "setup"] * 2
    assert hooks(last, 1) == [*["prepare_data"] * per_node, "setup"] * 2
    assert len(list(first.glob(".cache/*/pixels.npy"))) == 1
    assert (last / OWN.result).exists() == shared


def test_other_images_on_one_machine_are_refused(ranks: Ranks, tmp_path: Path) -> None:
    roots = [make(tmp_path / n, 2, trainer={"devices": 1, "num_nodes": 2}) for n in ("a", "b")]
    changed = made_results.DATASET.model_copy(update={"md5": "0" * 32})
    write_result(roots[1] / "reports/dataset.json", changed)
    assert ranks(roots) == [1, 1]
    error = json.loads((roots[0] / "error.0.json").read_text())["message"]["message"]
    assert "Rank 1 has other dataset than rank 0." in error


def test_another_number_of_processes_than_was_asked_for_is_refused(
    ranks: Ranks, tmp_path: Path
) -> None:
    root = make(tmp_path, 2, trainer={"devices": 4})
    assert ranks([root] * 2) == [1, 1]
    assert "has started 2 processes" in (root / "error.0.json").read_text()
