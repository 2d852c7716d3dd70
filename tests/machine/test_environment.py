import getpass
import os
import platform
import uuid
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import torch

from benchmark.common.files import read_json
from benchmark.common.results import ResultPaths
from benchmark.machine import environment
from benchmark.machine.accelerators import find
from benchmark.pipeline.environment import run


def test_the_same_machine_gives_the_same_bytes(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    contents = []
    for _ in range(2):
        run(find("cpu"), None)  # type: ignore[arg-type]
        contents.append(ResultPaths("cpu").environment.read_bytes())
    assert contents[0] == contents[1]
    assert read_json(ResultPaths("cpu").environment)["status"] == "ok"


def test_it_holds_what_results_depend_on() -> None:
    cpu = find("cpu")
    description = environment.fingerprint(cpu)
    assert description.threads == torch.get_num_threads()
    assert description.packages["torch"] == torch.__version__.split("+")[0]
    assert description.device == cpu.device
    assert description.machine == environment.machine_id()
    assert description.cpu
    assert description.cores > 0
    assert description.memory_gib > 0
    assert description.python == platform.python_version()


def test_it_contains_no_names() -> None:
    text = environment.fingerprint(find("cpu")).model_dump_json().lower()
    private = [platform.node(), getpass.getuser(), str(uuid.getnode())]
    private += [path.read_text().strip() for path in environment.MACHINE_IDS if path.exists()]
    assert not [word for word in private if word and len(word) > 3 and word.lower() in text]


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Simulate a machine without an id that is not a container; return an empty folder."""
    monkeypatch.setattr(environment, "MACHINE_IDS", ())
    monkeypatch.setattr(environment, "CONTAINER_MARKS", ())
    monkeypatch.setattr(environment, "PRODUCT_UUID", tmp_path / "absent")
    for name in ("container", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    return tmp_path


def memory(monkeypatch: pytest.MonkeyPatch, gib: float) -> None:
    total = SimpleNamespace(total=int(gib * 2**30))
    monkeypatch.setattr(psutil, "virtual_memory", lambda: total)


def test_other_hardware_has_another_id(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory(monkeypatch, 15.4)
    ids = [environment.machine_id()]
    monkeypatch.setattr(environment, "cpu_name", lambda: "another")
    ids.append(environment.machine_id())
    memory(monkeypatch, 31.1)
    ids.append(environment.machine_id())
    monkeypatch.setattr(os, "cpu_count", lambda: 1000)
    ids.append(environment.machine_id())
    (bare / "machine-id").write_text("1234")
    monkeypatch.setattr(environment, "MACHINE_IDS", (bare / "machine-id",))
    ids.append(environment.machine_id())
    assert len(set(ids)) == 5
    assert {len(identity) for identity in ids} == {16}


@pytest.mark.parametrize(
    ("totals", "installed"),
    [
        ((15.49, 15.51, 15.3), 16),
        ((23.49, 23.52), 24),
        ((62.49, 62.51, 62.8), 64),
        ((94.2, 94.6), 96),
        ((125.4, 125.6), 128),
        ((503.49, 503.51), 512),
        ((16.0, 16.0), 16),
        ((0.9, 0.95), 1),
    ],
)
def test_memory_that_the_system_reserves_does_not_change_the_machine(
    monkeypatch: pytest.MonkeyPatch, totals: tuple[float, ...], installed: int
) -> None:
    ids = set()
    for total in totals:
        memory(monkeypatch, total)
        ids.add(environment.machine_id())
        assert environment.fingerprint(find("cpu")).memory_gib == installed
    assert len(ids) == 1


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("bit", [0, 1], ids=["multicast", "locally administered"])
def test_a_made_up_network_address_does_not_count(monkeypatch, bit: int) -> None:
    """uuid.getnode() draws a new one at each call where it finds no card, and says so in a bit;
    containers' cards have addresses that software gave them."""
    addresses = iter([1 << 40 + bit | 12345, 1 << 40 + bit | 67890, 12345, 67890])
    monkeypatch.setattr(uuid, "getnode", lambda: next(addresses))
    drawn, again, card, other_card = (environment.machine_id() for _ in range(4))
    assert drawn == again
    assert len({drawn, card, other_card}) == 3


@pytest.mark.parametrize("sign", ["mark", "container", "KUBERNETES_SERVICE_HOST"])
def test_containers_of_one_host_are_one_machine_and_those_of_an_image_are_not(
    bare: Path, monkeypatch, sign: str
) -> None:
    for name in ("image", "board"):
        (bare / name).write_text(name)
    monkeypatch.setattr(environment, "MACHINE_IDS", (bare / "image",))
    monkeypatch.setattr(environment, "PRODUCT_UUID", bare / "board")
    outside = environment.machine_id()
    if sign == "mark":
        monkeypatch.setattr(environment, "CONTAINER_MARKS", (bare / "image",))
    else:
        monkeypatch.setenv(sign, "1")
    inside = environment.machine_id()
    (bare / "image").write_text("another image")
    assert environment.machine_id() == inside != outside
    (bare / "board").write_text("another host")
    assert environment.machine_id() != inside


def test_a_container_is_the_same_machine_after_a_reboot(bare: Path, monkeypatch) -> None:
    """The mainboard's number is for root alone; the kernel's boot_id is new at each start."""
    read, boots = Path.read_text, count()

    def unreadable(path: Path, *arguments: Any, **options: Any) -> str:
        if path.name == "product_uuid":
            raise PermissionError
        return (
            f"start {next(boots)}" if path.name == "boot_id" else read(path, *arguments, **options)
        )

    monkeypatch.setattr(environment, "PRODUCT_UUID", Path("/sys/class/dmi/id/product_uuid"))
    monkeypatch.setattr(Path, "read_text", unreadable)
    monkeypatch.setattr(uuid, "getnode", lambda: 1 << 41 | next(boots))
    monkeypatch.setenv("container", "1")
    assert environment.machine_id() == environment.machine_id()
    monkeypatch.setattr(environment, "MODEL_NAMES", (bare / "product_name",))
    nameless = environment.machine_id()
    (bare / "product_name").write_text("a server")
    assert environment.machine_id() != nameless


def test_variables_that_change_what_is_computed_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    assert environment.fingerprint(find("cpu")).settings is None
    monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "BF16")
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/data/somebody")
    monkeypatch.setenv("MKL_CBWR", "")
    description = environment.fingerprint(find("cpu")).settings
    assert description is not None
    assert description.keys() == {"ONEDNN_DEFAULT_FPMATH_MODE", "XLA_FLAGS"}
    assert description["ONEDNN_DEFAULT_FPMATH_MODE"] == "BF16"
    assert "somebody" not in description["XLA_FLAGS"]
