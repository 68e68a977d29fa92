"""Listening sockets that a program leaves to the one that is executed in its place."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from poliqi.edge.handover import Handover, close_left, take_over

NEXT = """
import socket, sys
from poliqi.edge.handover import take_over
host, port = sys.argv[1], int(sys.argv[2])
assert take_over(socket.AF_INET, host, port + 1 if port < 65535 else 1) is None
left = take_over(socket.AF_INET, host, port)
print(left is not None and not left.get_inheritable(), take_over(socket.AF_INET, host, port))
left.accept()[0].sendall(b"here")
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLIQI_LISTENERS", "")


def test_the_next_program_accepts_who_waited(listener: socket.socket) -> None:
    handover = Handover()
    handover.keep([listener])
    host, port = listener.getsockname()
    listener.close()
    with socket.create_connection((host, port), 5) as waiting:
        handover.leave()
        numbers = [int(n) for n in os.environ["POLIQI_LISTENERS"].split(",")]
        done = subprocess.run(
            [sys.executable, "-c", NEXT, host, str(port)],
            pass_fds=numbers,
            capture_output=True,
            timeout=30,
            check=True,
        )
        handover.close()
        assert done.stdout.split() == [b"True", b"None"]
        assert waiting.recv(4) == b"here"


def test_nothing_was_left() -> None:
    assert take_over(socket.AF_INET, "127.0.0.1", 8443) is None


@pytest.mark.parametrize("junk", ["x", "-1", "999999", "0", "1,2", ",,", "٣"])
def test_numbers_that_are_no_listening_sockets_are_passed_over(junk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLIQI_LISTENERS", junk)
    assert take_over(socket.AF_INET, "127.0.0.1", 8443) is None


def test_a_port_that_the_kernel_chooses_is_never_taken_over(listener: socket.socket) -> None:
    handover = Handover()
    handover.keep([listener])
    handover.leave()
    assert take_over(socket.AF_INET, "127.0.0.1", 0) is None
    handover.close()


def test_what_nobody_takes_over_is_closed() -> None:
    left = socket.create_server(("127.0.0.1", 0))
    place = left.getsockname()
    os.environ["POLIQI_LISTENERS"] = str(left.detach())
    close_left()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(place, 2)
    assert "POLIQI_LISTENERS" not in os.environ
