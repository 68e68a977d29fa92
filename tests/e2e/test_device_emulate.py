"""`poliqi device emulate` as people run it: two processes that make keys, and two drivers that fetch them."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from contextlib import closing

import pytest
from e2e.command_line import finish, start

from poliqi.edge.network import parse_address
from poliqi.edge.qsn_client import QsnClient, QsnWaits


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def heard(process: subprocess.Popen[str], event: str, seconds: float = 45.0) -> dict[str, object]:
    """The next record of that event; where none comes, what came instead."""
    assert process.stdout is not None
    came: list[str] = []
    too_late = threading.Timer(seconds, process.kill)
    too_late.start()
    try:
        for line in process.stdout:
            came.append(line)
            record = json.loads(line)
            if record["event"] == event:
                return record
    finally:
        too_late.cancel()
    raise AssertionError(f"no {event}, but {came[-20:]}, then {process.communicate()}")


@pytest.mark.timeout(200)
def test_two_emulated_ends_make_keys_for_two_drivers() -> None:
    ports = {"alice": free_port(), "bob": free_port()}
    ends = {
        role: start(
            *("device", "emulate", role, "--json", "--lkms-port", 0, "--pause", 0.05, "--seed", 7),
            *("--port", ports[role], "--partner", f"127.0.0.1:{ports[other]}"),
        )
        for role, other in (("alice", "bob"), ("bob", "alice"))
    }
    try:
        said = {role: heard(end, "listening") for role, end in ends.items()}
        assert all(each["light"] == "simulated" for each in said.values())
        made = {role: heard(end, "key") for role, end in ends.items()}
        assert made["alice"]["id"] == made["bob"]["id"] and made["alice"]["bits"] == made["bob"]["bits"]
        waits = QsnWaits(answer_s=20.0)
        alice, bob = (
            QsnClient(parse_address(str(said[role]["lkms"]), "lkms"), waits=waits) for role in ("alice", "bob")
        )
        with closing(alice), closing(bob):
            taken = alice.fresh(2, 20.0)
            found = bob.named([key.name for key in taken], 20.0)
        assert taken[0].name == made["alice"]["id"]
        assert all(key is not None and key.bits == other.bits for key, other in zip(found, taken, strict=True))
    finally:
        for end in ends.values():
            end.terminate()
        answers = [finish(end) for end in ends.values()]
    assert [(answer.code, answer.err) for answer in answers] == [(0, ""), (0, "")]
