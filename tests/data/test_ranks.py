"""Hooks and samples where the rule is about processes: two ranks, on one node and on two."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY

TIMEOUT = 300
"""Seconds after which a fit counts as hanging."""


def launch(root: Path, options: dict[str, Any], **variables: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, "-m", "tests.data.ranks", str(root), json.dumps(options)]
    return subprocess.Popen(
        command, env=environment | variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def finish(root: Path, *processes: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """What each rank saw, by rank."""
    for process in processes:
        _, errors = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0, errors
    return [json.loads(path.read_text()) for path in sorted(root.glob("[0-9].json"))]


def names(seen: dict[str, Any]) -> list[str]:
    """The hooks around the batches, in order."""
    return [call[0] for call in seen["journal"] if "batch" not in call[0]]


HOOKS = ["setup", "train_dataloader", "val_dataloader", "teardown"]


def test_two_ranks_prepare_once_and_set_up_twice(images: Path) -> None:
    one, other = finish(images.parent, launch(images.parent, {"devices": 2, "batch_size": 4}))
    assert names(one) == ["prepare_data", *HOOKS]
    assert names(other) == HOOKS


def free_port() -> str:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return str(unused.getsockname()[1])


@pytest.mark.parametrize("per_node", [True, False])
def test_two_nodes_prepare_once_each_or_once_together(images: Path, per_node: bool) -> None:
    """Two nodes of one process each, as a cluster's launcher would start them."""
    port, options = free_port(), {"nodes": 2, "batch_size": 4, "per_node": per_node}
    nodes = [
        launch(
            images.parent, options, MASTER_ADDR="127.0.0.1", MASTER_PORT=port, WORLD_SIZE="2",
            NODE_RANK=str(node), LOCAL_RANK="0",
        )
        for node in (0, 1)
    ]  # fmt: skip
    one, other = finish(images.parent, *nodes)
    assert [seen["node"] for seen in (one, other)] == [0, 1]
    assert names(one) == ["prepare_data", *HOOKS]
    assert names(other) == [*["prepare_data"] * per_node, *HOOKS]


def test_two_ranks_see_at_each_step_what_one_process_sees(images: Path) -> None:
    """15 samples: the two ranks' last step has the epoch's first sample once more."""
    together = finish(images.parent, launch(images.parent, {"devices": 2, "batch_size": 4}))
    for path in images.parent.glob("[0-9].json"):
        path.unlink()
    (alone,) = finish(images.parent, launch(images.parent, {"batch_size": 8}))
    one, other = (seen["keys"] for seen in together)
    assert len(one) == len(other) == len(alone["keys"]) == 2 * 2
    for step, expected in enumerate(alone["keys"]):
        again = [alone["keys"][step - 1][0]] if step % 2 else []
        assert sorted(one[step] + other[step]) == sorted(expected + again), step


def test_an_error_on_one_rank_ends_all(images: Path) -> None:
    options = {"devices": 2, "batch_size": 4, "broken": 1}
    process = launch(images.parent, options)
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode != 0
    assert "broken setup on rank 1" in errors
    seen = json.loads((images.parent / "1.json").read_text())
    assert names(seen) == ["setup", "on_exception"]
