import getpass
import platform
import uuid

import pytest
import torch

from benchmark.common.files import read_json
from benchmark.common.results import Results
from benchmark.machine import environment
from benchmark.machine.accelerators import find


def test_the_same_machine_gives_the_same_bytes(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    contents = []
    for _ in range(2):
        environment.run(find("cpu"), None)  # type: ignore[arg-type]
        contents.append(Results("cpu").environment.read_bytes())
    assert contents[0] == contents[1]
    assert read_json(Results("cpu").environment)["status"] == "ok"


def test_it_holds_what_results_depend_on() -> None:
    cpu = find("cpu")
    found = environment.fingerprint(cpu)
    assert found.threads == torch.get_num_threads()
    assert found.packages["torch"] == torch.__version__.split("+")[0]
    assert found.device == cpu.device
    assert found.machine == environment.machine_id()
    assert found.cpu
    assert found.cores > 0
    assert found.memory_gib > 0
    assert found.python == platform.python_version()


def test_it_names_nobody() -> None:
    text = environment.fingerprint(find("cpu")).model_dump_json().lower()
    private = [platform.node(), getpass.getuser(), str(uuid.getnode()), environment._identity()]
    assert not [word for word in private if word and len(word) > 3 and word.lower() in text]


@pytest.mark.parametrize(
    ("name", "value"),
    [("_identity", "another"), ("cpu_name", "another"), ("_memory_gib", 7)],
)
def test_another_machine_has_another_id(monkeypatch, name: str, value: object) -> None:
    here = environment.machine_id()
    monkeypatch.setattr(environment, name, lambda: value)
    assert environment.machine_id() != here
    assert len(here) == 16


def test_a_made_up_network_address_is_no_identity(monkeypatch, tmp_path) -> None:
    """uuid.getnode() draws a new one at each call where it finds no card, and says so in a bit."""
    monkeypatch.setattr(environment.Path, "is_file", lambda path: False)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.setattr(uuid, "getnode", lambda: 1 << 40 | 12345)
    assert environment._identity() == ""
    monkeypatch.setattr(uuid, "getnode", lambda: 12345)
    assert environment._identity() == "12345"
