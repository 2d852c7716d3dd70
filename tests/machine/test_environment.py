import getpass
import platform
import uuid

import pytest
import torch

from benchmark.common.files import read_json
from benchmark.common.results import ResultPaths
from benchmark.machine import environment
from benchmark.machine.accelerators import find


def test_the_same_machine_gives_the_same_bytes(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    contents = []
    for _ in range(2):
        environment.run(find("cpu"), None)  # type: ignore[arg-type]
        contents.append(ResultPaths("cpu").environment.read_bytes())
    assert contents[0] == contents[1]
    assert read_json(ResultPaths("cpu").environment)["status"] == "ok"


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


@pytest.fixture
def bare(monkeypatch) -> None:
    """A machine that is no container and has no name."""
    monkeypatch.setattr(environment, "MACHINE_IDS", ())
    monkeypatch.setattr(environment, "CONTAINER_MARKS", ())
    for name in ("container", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(platform, "system", lambda: "Linux")


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("bit", [0, 1], ids=["multicast", "locally administered"])
def test_a_made_up_network_address_is_no_identity(monkeypatch, bit: int) -> None:
    """uuid.getnode() draws a new one at each call where it finds no card, and says so in a bit;
    containers' cards have addresses that software gave them."""
    monkeypatch.setattr(uuid, "getnode", lambda: 1 << 40 + bit | 12345)
    assert environment._identity() == ""
    monkeypatch.setattr(uuid, "getnode", lambda: 12345)
    assert environment._identity() == "12345"


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("sign", ["mark", "container", "KUBERNETES_SERVICE_HOST"])
def test_containers_of_one_host_are_one_machine_and_those_of_an_image_are_not(
    monkeypatch, tmp_path, sign: str
) -> None:
    for name, text in (("image", "of the image"), ("board", ""), ("start", "of the host\n")):
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(environment, "MACHINE_IDS", (tmp_path / "image",))
    hosts = tmp_path / "unreadable", tmp_path / "board", tmp_path / "start"
    monkeypatch.setattr(environment, "HOST_IDS", hosts)
    assert environment._identity() == "of the image"
    if sign == "mark":
        monkeypatch.setattr(environment, "CONTAINER_MARKS", (tmp_path / "image",))
    else:
        monkeypatch.setenv(sign, "1")
    assert environment._identity() == "of the host"


def test_variables_that_change_what_is_computed_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    assert environment.fingerprint(find("cpu")).settings is None
    monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "BF16")
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/data/somebody")
    monkeypatch.setenv("MKL_CBWR", "")
    found = environment.fingerprint(find("cpu")).settings
    assert found is not None
    assert found.keys() == {"ONEDNN_DEFAULT_FPMATH_MODE", "XLA_FLAGS"}
    assert found["ONEDNN_DEFAULT_FPMATH_MODE"] == "BF16"
    assert "somebody" not in found["XLA_FLAGS"]
