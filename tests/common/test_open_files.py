import resource
from collections.abc import Iterator

import pytest

from benchmark import command_line
from benchmark.common.open_files import ENOUGH, files_left, raise_limit


@pytest.fixture
def low_limit() -> Iterator[int]:
    """Lowers this process's soft limit of open files; the hard limit stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (500, hard))
    yield 500
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def limits() -> tuple[int, int]:
    return resource.getrlimit(resource.RLIMIT_NOFILE)


def test_every_command_raises_the_soft_limit(low_limit: int, workspace, monkeypatch) -> None:
    monkeypatch.setattr(command_line, "_dispatch", lambda options: 0)
    _, hard = limits()
    assert command_line.main(["clean"]) == 0
    assert limits() == (ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH), hard)


def test_a_higher_limit_is_not_lowered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2 * ENOUGH, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", lambda *_: pytest.fail("it was changed"))
    raise_limit()


def test_a_system_that_refuses_is_left_alone(low_limit: int, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("current limit exceeds maximum limit")

    with monkeypatch.context() as patch:
        patch.setattr(resource, "setrlimit", refuse)
        raise_limit()
    assert limits()[0] == low_limit


def test_files_that_are_open_are_not_left(low_limit: int) -> None:
    before = files_left()
    assert 0 < before < low_limit
    with open("/dev/null"), open("/dev/null"):
        assert files_left() == before - 2
