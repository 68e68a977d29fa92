"""Emulated QSN-d-1 ends and the driver, over real sockets, in both roles, with what goes wrong between them."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from qsn_rig import BRIGHT, HASTY, SMALL, read_frame, running_pair

from poliqi.base.errors import ConfigError, LinkDown, ProtocolError
from poliqi.edge.network import Address
from poliqi.edge.qsn_client import QsnWaits
from poliqi.edge.qsn_emulator import Ports, QsnEmulator, ReplyFaults
from poliqi.link.qsn.emulated import Role, emulated
from poliqi.link.qsn.frames import encode_frame
from poliqi.link.qsn.making import KeyDiscarded
from poliqi.link.qsn.requests import Attribute

SLOW = replace(SMALL, pause_s=0.1)


def until(what: Callable[[], bool], seconds: float = 10.0) -> None:
    """Poll until it is so."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.01)


def command(address: Address, text: bytes, *, answer: bool = True) -> bytes:
    """One frame to that port from a stranger's connection, and its reply."""
    with socket.create_connection((address.host, address.port), 5.0) as raw:
        raw.sendall(encode_frame(text))
        return read_frame(raw) if answer else b""


@pytest.mark.parametrize("leader", list(Role))
def test_two_drivers_read_equal_keys_of_equal_ids(leader: Role) -> None:
    follower = Role.BOB if leader is Role.ALICE else Role.ALICE
    with running_pair() as pair:
        leads, follows = pair.client(leader), pair.client(follower)
        taken = leads.fresh(4, 10.0)
        found = follows.named([key.name for key in taken], 10.0)
        assert len({key.name for key in taken}) == 4
        assert all(key is not None and key.bits == other.bits for key, other in zip(found, taken, strict=True))
        assert all(len(key.bits) > 4 for key in taken)


def test_keys_made_later_are_pushed_to_the_driver_that_waits() -> None:
    with running_pair(SLOW) as pair:
        driver = pair.client(Role.ALICE)
        assert len(driver.fresh(5, 0.0)) < 5
        assert driver.fresh(4, 10.0)


def test_every_port_takes_every_command_as_the_manual_warns() -> None:
    with running_pair() as pair:
        for address in (pair.main[Role.BOB], pair.lkms[Role.ALICE]):
            reply = command(address, b'{"command":"get_attribute","attribute":"wavelength","value":""}')
            assert reply == b'{"status":"Successful","value":"34"}'


def test_a_stranger_flushes_one_end_and_the_drivers_go_on() -> None:
    with running_pair(SLOW) as pair:
        until(lambda: len(pair.news[Role.BOB]) > 1)
        command(pair.lkms[Role.BOB], b'{"command":"Flush keys","attribute":"","value":""}', answer=False)
        leads, follows = pair.client(Role.ALICE), pair.client(Role.BOB, HASTY)
        taken = leads.fresh(6, 10.0)
        found = follows.named([taken[0].name, taken[-1].name], 1.5)
        assert found[0] is None and found[1] is not None
        assert found[1].bits == taken[-1].bits


def test_what_is_set_at_one_end_is_set_at_both() -> None:
    with running_pair() as pair:
        until(lambda: bool(pair.news[Role.BOB]))
        drivers = [pair.client(role) for role in Role]
        command(pair.lkms[Role.BOB], b'{"command":"set_attribute","attribute":"ttl","value":"77"}')
        until(lambda: [driver.attribute(Attribute.TTL) for driver in drivers] == ["77", "77"])
        qber = drivers[0].qber()
        assert qber is not None and qber < 0.11


def test_an_eavesdropper_leaves_no_key_and_the_driver_waits() -> None:
    heard = replace(SMALL, light=replace(BRIGHT, eve_fraction=1.0))
    with running_pair(replace(SMALL, pause_s=0.01), heard) as pair:
        driver = pair.client(Role.ALICE)
        until(lambda: len(pair.news[Role.ALICE]) >= 2)
        assert driver.fresh(1, 0.05) == []
        qber = driver.qber()
        assert qber is not None and 0.11 < qber < 0.5
    discarded = [news for news in pair.news[Role.ALICE] if isinstance(news, KeyDiscarded)]
    assert len(discarded) == len(pair.news[Role.ALICE])


def test_replies_that_are_dropped_cost_a_connection_each() -> None:
    with running_pair(SLOW, faults=ReplyFaults(drop=0.5)) as pair:
        driver, got, down = pair.client(Role.ALICE, HASTY), 0, 0
        for _ in range(60):
            try:
                got += len(driver.fresh(1, 1.0))
            except LinkDown:
                down += 1
            if got and down:
                break
        assert got and down


def test_replies_that_are_garbled_are_refused_and_never_taken_for_keys() -> None:
    with running_pair(faults=ReplyFaults(garble=1.0)) as pair:
        driver = pair.client(Role.BOB)
        for _ in range(5):
            with pytest.raises((ProtocolError, LinkDown)):
                driver.fresh(1, 1.0)


def test_replies_that_are_late_come_all_the_same() -> None:
    with running_pair(faults=ReplyFaults(delay_s=0.1)) as pair:
        driver = pair.client(Role.ALICE, QsnWaits(answer_s=5.0))
        assert driver.fresh(1, 10.0)


def test_garbage_on_a_port_harms_nobody_else() -> None:
    with running_pair() as pair:
        for junk in (b"\xff" * 8, b"GET / HTTP/1.1\r\n\r\n", encode_frame(b"[[[["), encode_frame(b"{}") * 50):
            for address in (pair.main[Role.ALICE], pair.lkms[Role.BOB]):
                with socket.create_connection((address.host, address.port), 5.0) as raw:
                    raw.sendall(junk)
        driver = pair.client(Role.BOB)
        assert driver.fresh(1, 10.0)
    assert any("passed over" in line for line in pair.said)


def test_a_client_that_does_not_read_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("poliqi.edge.qsn_emulator._MOST_UNREAD", 1 << 12)
    ask = json.dumps({"command": "Get keys", "attribute": "", "value": "9"}).encode()
    with running_pair(replace(SMALL, keeps_delivered=True)) as pair:
        address = pair.lkms[Role.ALICE]
        until(lambda: len(pair.news[Role.ALICE]) >= 9)
        with socket.socket() as raw:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            raw.connect((address.host, address.port))
            raw.sendall(encode_frame(ask) * 3000)
            until(lambda: any("does not read" in line for line in pair.said))


@pytest.mark.parametrize("which", ["main", "lkms", "partner"])
def test_addresses_that_strangers_reach_are_refused(which: str) -> None:
    here = Address("127.0.0.1", 0)
    ports = replace(Ports(here, here, here), **{which: Address("192.0.2.7", 6341)})
    device = emulated(Role.ALICE, SMALL, _NoEntropy(), 0.0)
    with pytest.raises(ConfigError, match="declare the interface isolated"):
        QsnEmulator(device, ports)
    QsnEmulator(device, ports, isolated=True)


class _NoEntropy:
    source = "none"

    def draw(self, count: int) -> bytes:
        raise AssertionError(count)


def test_shares_that_are_none_are_refused() -> None:
    for faults in ({"drop": 1.1}, {"garble": -0.1}, {"delay_s": -1.0}):
        with pytest.raises(ConfigError):
            ReplyFaults(**faults)
