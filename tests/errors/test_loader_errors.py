import errno
import os
import socket
from multiprocessing.resource_sharer import DupFd

import pytest

from benchmark.errors.loader_errors import explain_loader_errors, ignore_lost_receiver
from benchmark.errors.user_error import UserError, explain_system_errors

TOO_MANY = "Too many open files"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EMFILE, TOO_MANY, "a.png"),  # in this process
        OSError(f"Caught OSError in DataLoader worker process 0.\n[Errno 24] {TOO_MANY}: 'a.png'"),
        RuntimeError(f"{TOO_MANY}. Communication with the workers is no longer possible."),
        RuntimeError(
            f"unable to open shared memory object </torch_1> in read-write mode: {TOO_MANY}"
        ),
        RuntimeError("received 0 items of ancdata"),
    ],
    ids=["own", "worker's", "queue", "shared memory", "socket"],
)
def test_too_many_open_files_are_one_line_with_the_remedy(error: Exception) -> None:
    with (
        pytest.raises(UserError, match=r"^[^\n]*open files[^\n]* Raise [^\n]*ulimit -n [^\n]*$"),
        explain_system_errors(),
        explain_loader_errors(),
    ):
        raise error


def test_other_errors_of_the_system_pass() -> None:
    with pytest.raises(ConnectionResetError), explain_system_errors(), explain_loader_errors():
        raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))


def test_a_worker_prints_nothing_if_the_training_ends_while_it_receives_a_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """multiprocessing passes the lost connection to sys.excepthook, and other errors too."""
    printed: list[type[BaseException]] = []
    monkeypatch.setattr("sys.excepthook", lambda kind, *_: printed.append(kind))
    ignore_lost_receiver()
    lost, closed = DupFd(0), DupFd(0)
    with socket.socket(socket.AF_UNIX) as receiver:
        receiver.connect(lost._id[0])
    os.close(lost.detach())  # the thread has served the receiver before
    assert printed == []
    os.close(closed.detach())
    with pytest.raises((EOFError, ConnectionError)):
        closed.detach()  # a second time: a KeyError in the thread
    os.close(DupFd(0).detach())
    assert printed == [KeyError]
