"""WireGuard (wireguard-go) with quantum keys, in two network namespaces."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from adapter_hosts import Hosts, missing, read_ping, two_hosts, wait_until, wireguard
from adapter_rig import Ends, two_ends

from bench.played_keys import PlayedSite
from poliqi.apps.adapters.events import Happening
from poliqi.apps.adapters.wireguard import WireGuard
from poliqi.base.errors import LinkDown
from poliqi.base.secret import SecretBytes
from poliqi.edge.entropy import OperatingSystemEntropy

pytestmark = missing("ip", "wg", "wireguard-go", "ping")

INSIDE = "10.8.0.2"


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    with two_hosts(tmp_path) as both:
        yield both


def both_ends(hosts: Hosts, proof_s: float = 12.0) -> tuple[WireGuard, WireGuard]:
    entropy = OperatingSystemEntropy()
    return tuple(WireGuard(name, peer, entropy, proof_s=proof_s) for name, peer in wireguard(hosts))  # type: ignore[return-value]


def handshakes(interface: str) -> int:
    said = subprocess.run(
        ["wg", "show", interface, "latest-handshakes"], capture_output=True, text=True, check=True
    )
    return int(said.stdout.split()[1])


def preshared(interface: str) -> str:
    said = subprocess.run(["wg", "show", interface, "preshared-keys"], capture_output=True, text=True, check=True)
    return said.stdout.split()[1]


def test_no_session_begins_before_the_first_key_and_one_does_with_it(hosts: Hosts) -> None:
    (left, to_right), (right, to_left) = wireguard(hosts)
    entropy = OperatingSystemEntropy()
    with two_ends(WireGuard(left, to_right, entropy), WireGuard(right, to_left, entropy)) as ends:
        assert hosts.ping(INSIDE, 3)[1] == 0
        assert handshakes(left) == handshakes(right) == 0
        assert preshared(left) != preshared(right)
        key_id = ends.rotator().once()
        assert hosts.ping(INSIDE, 3) == (3, 3)
        assert preshared(left) == preshared(right) != "(none)"
        wait_until(lambda: ends.rotated("bravo"))
        assert ends.rotated("alfa") == ends.rotated("bravo") == ends.site.delivered[-1:] == [key_id]


def test_a_wrong_key_at_one_end_gives_no_handshake(hosts: Hosts) -> None:
    left, right = both_ends(hosts)
    with two_ends(left, right) as ends:
        ends.rotator().once()
        left._proof_s = right._proof_s = 1.5
        for end in (left, right):
            end.hold("wrong", SecretBytes(os.urandom(32)))
        with pytest.raises(LinkDown, match=r"no handshake with key wrong within 1\.5 s"):
            left.use("wrong", is_starter=True)
        with pytest.raises(LinkDown):
            right.use("wrong", is_starter=False)


def test_an_earlier_session_without_a_key_is_ended_and_told(hosts: Hosts) -> None:
    ends = both_ends(hosts)
    assert hosts.ping(INSIDE, 2) == (2, 2)
    for end in ends:
        assert "gives this peer no preshared key" in end.open()[0]
    assert hosts.ping(INSIDE, 3)[1] == 0
    assert ends[0].open() == ()


def test_the_interface_keeps_its_private_key_and_its_keepalive(hosts: Hosts) -> None:
    (left, to_right), (right, to_left) = wireguard(hosts, ("persistent-keepalive", "7"))
    entropy = OperatingSystemEntropy()

    def told(what: str) -> str:
        return subprocess.run(["wg", "show", left, what], capture_output=True, text=True, check=True).stdout

    before = told("private-key"), told("persistent-keepalive")
    with two_ends(WireGuard(left, to_right, entropy), WireGuard(right, to_left, entropy)) as ends:
        ends.rotator().once()
    assert (told("private-key"), told("persistent-keepalive")) == before


@pytest.mark.slow
def test_when_keys_run_out_no_further_session_begins(hosts: Hosts) -> None:
    left, right = both_ends(hosts, proof_s=3.0)
    site = PlayedSite(stock_bytes=200)
    with two_ends(left, right, site, longest_s=3.0) as ends, ends.rotating(every_s=1.0):
        wait_until(lambda: len(ends.told(Happening.SHUT)) == 2, 20)
        assert any("no key" in line for line in ends.told(Happening.FAILED))
        # ask for a new session at once: it does not come
        before = handshakes(left._interface)
        left._renew()
        assert hosts.ping(INSIDE, 5)[1] == 0
        assert handshakes(left._interface) == before
        site.stock_bytes = 10_000
        wait_until(lambda: hosts.ping(INSIDE, 1)[1], 15)


def rotate_under_pings(hosts: Hosts, seconds: float, every_s: float) -> tuple[Ends, int, int, list[int]]:
    """Keys are rotated while echo requests go; how many were sent and answered, and handshakes after each key."""
    (left, to_right), (right, to_left) = wireguard(hosts)
    entropy = OperatingSystemEntropy()
    seen: list[int] = []
    with two_ends(WireGuard(left, to_right, entropy), WireGuard(right, to_left, entropy)) as ends:
        ends.rotator().once()
        count = int(seconds / 0.05)
        ping = hosts.start_ping(INSIDE, count, 0.05)
        with ends.rotating(every_s):
            while ping.poll() is None:
                if (now := handshakes(left)) not in seen:
                    seen.append(now)
                time.sleep(0.5)
        sent, answered = read_ping(ping)
    return ends, sent, answered, seen


def check_rotation(ends: Ends, sent: int, answered: int, seen: list[int], least: int) -> None:
    rotated = ends.rotated("alfa")
    assert sent == answered
    assert len(rotated) >= least
    assert len(set(rotated)) == len(rotated)
    # each key had a handshake of its own, which both ends waited for
    assert len(seen) >= len(rotated) - 1
    assert ends.rotated("bravo")[: len(rotated)] == rotated
    assert not ends.told(Happening.FAILED)


@pytest.mark.slow
def test_a_key_every_ten_seconds_for_a_minute_loses_no_packet(hosts: Hosts) -> None:
    found = rotate_under_pings(hosts, 60.0, 10.0)
    check_rotation(*found, least=6)


@pytest.mark.soak
@pytest.mark.timeout(4200)
def test_a_key_every_ten_seconds_for_an_hour_loses_no_packet(hosts: Hosts) -> None:
    found = rotate_under_pings(hosts, 3600.0, 10.0)
    check_rotation(*found, least=350)
