"""Hooks and samples of two ranks, on one node and on two."""

import json
import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import REPOSITORY
from tests.data import ranks
from tests.support.fixtures import write_images
from tests.support.forked_python import python

TIMEOUT = 300
"""Seconds after which a fit counts as hanging."""


@dataclass(frozen=True)
class Ended:
    """A script that has ended, and what its ranks wrote."""

    root: Path
    status: int
    errors: str

    def seen(self, name: str) -> list[dict[str, Any]]:
        """Return what each rank saw in the fit `name`, by rank."""
        return read(self.root, name)


def read(root: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(root.glob(f"{name}.[0-9].json"))]


def launch(root: Path, options: dict[str, Any], **variables: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "GLOO_SOCKET_IFNAME": "lo"}
    command = [python(), "-m", "tests.data.ranks", str(root), json.dumps(options)]
    return subprocess.Popen(
        command, env=environment | variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def end(root: Path, process: subprocess.Popen[str]) -> Ended:
    _, errors = process.communicate(timeout=TIMEOUT)
    return Ended(root, process.returncode, errors)


def names(seen: dict[str, Any]) -> list[str]:
    """Return the names of the hooks around the batches, in order."""
    return [call[0] for call in seen["calls"] if "batch" not in call[0]]


HOOKS = ["setup", "train_dataloader", "val_dataloader", "teardown"]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """Run one script whose ranks Lightning starts: a complete fit, and one that fails on a rank."""
    root = write_images(tmp_path_factory.mktemp("ranks") / "data").parent
    fits = [{"name": "complete"}, {"name": "broken", "broken": 1}]
    return end(root, launch(root, {"devices": 2, "fits": fits}))


def test_two_ranks_prepare_once_and_set_up_twice(script: Ended) -> None:
    one, other = script.seen("complete")
    assert names(one) == ["prepare_data", *HOOKS]
    assert names(other) == HOOKS


@pytest.mark.filterwarnings("ignore")
def test_two_ranks_see_at_each_step_what_one_process_sees(script: Ended) -> None:
    """With 15 samples, the last step of the two ranks repeats the epoch's first sample."""
    ranks.fit(script.root, name="alone", batch_size=8)
    (alone,) = script.seen("alone")
    one, other = (seen["keys"] for seen in script.seen("complete"))
    assert len(one) == len(other) == len(alone["keys"]) == 2 * 2
    for step, expected in enumerate(alone["keys"]):
        again = [alone["keys"][step - 1][0]] if step % 2 else []
        assert sorted(one[step] + other[step]) == sorted(expected + again), step


def test_an_error_on_one_rank_ends_all(script: Ended) -> None:
    assert script.status != 0
    assert "broken setup on rank 1" in script.errors
    seen = json.loads((script.root / "broken.1.json").read_text())
    assert names(seen) == ["setup", "on_exception"]


def free_port() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return str(unused.getsockname()[1])


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run two nodes of one process each, as a cluster's launcher would start them.

    One fit prepares on each node, another one prepares once.
    """
    root = write_images(tmp_path_factory.mktemp("nodes") / "data").parent
    fits = [{"name": str(per_node), "per_node": per_node} for per_node in (True, False)]
    cluster = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "WORLD_SIZE": "2"}
    started = [
        launch(root, {"nodes": 2, "fits": fits}, **cluster, NODE_RANK=str(node), LOCAL_RANK="0")
        for node in (0, 1)
    ]
    for ended in [end(root, process) for process in started]:
        assert ended.status == 0, ended.errors
    return root


@pytest.mark.parametrize("per_node", [True, False])
def test_two_nodes_prepare_once_each_or_once_together(nodes: Path, per_node: bool) -> None:
    one, other = read(nodes, str(per_node))
    assert [seen["node"] for seen in (one, other)] == [0, 1]
    assert names(one) == ["prepare_data", *HOOKS]
    assert names(other) == [*["prepare_data"] * per_node, *HOOKS]
