"""The packet tunnel with a pair of datagram sockets for a device, and the real stream."""

from __future__ import annotations

import ipaddress
import queue
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from played_channels import channel_pair
from tunnel_rig import LIMIT_S, Log

from bench.played_keys import PlayedSite
from poliqi.apps.stream.channel import Channel
from poliqi.apps.stream.terms import StreamRule
from poliqi.apps.tunnel.lines import Caller
from poliqi.apps.tunnel.network import PacketTunnel
from poliqi.apps.tunnel.packets import Sources
from poliqi.base.errors import LinkDown, PoliqiError
from poliqi.edge.keyanswers import KeysNotReady

NETWORK = [ipaddress.ip_network("10.9.0.0/24")]
PLAIN = bytes(10)


def packet(source: str = "10.9.0.1", content: bytes = b"content", header: bytes = PLAIN) -> bytes:
    """An IPv4 packet (RFC 791) behind a virtio_net_hdr; its checksum is of no interest here."""
    size = 20 + len(content)
    addresses = ipaddress.ip_address(source).packed + ipaddress.ip_address("10.9.0.2").packed
    return header + struct.pack(">BBHHHBBH", 0x45, 0, size, 0, 0, 64, 253, 0) + addresses + content


class Played:
    """Hands out the streams that a test puts in."""

    def __init__(self) -> None:
        self.streams: queue.SimpleQueue[Channel | None] = queue.SimpleQueue()
        self.failures: list[PoliqiError | None] = []

    def next(self, failure: PoliqiError | None) -> Channel | None:
        self.failures.append(failure)
        return self.streams.get()

    def close(self) -> None:
        self.streams.put(None)


class End:
    def __init__(self) -> None:
        self.kernel, device = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        for each in (self.kernel, device):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.kernel.settimeout(LIMIT_S)
        device.setblocking(False)
        self.device = device
        self.line, self.log = Played(), Log()
        self.tunnel = PacketTunnel(device.fileno(), self.line, Sources(NETWORK), self.log)
        self.thread = threading.Thread(target=self.tunnel.run)
        self.thread.start()

    def close(self) -> None:
        self.tunnel.close()
        self.thread.join(LIMIT_S)
        assert not self.thread.is_alive()
        self.kernel.close()
        self.device.close()


@contextmanager
def two_ends() -> Iterator[tuple[End, End]]:
    with ExitStack() as stack:
        ends = End(), End()
        for end in ends:
            stack.callback(end.close)
        yield ends


def until(what: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT_S
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)


def join(
    one: End, two: End, site: PlayedSite | None = None, rule: StreamRule | None = None
) -> tuple[Channel, Channel]:
    pair = channel_pair(site=site, rule=rule, purpose="packets 1")
    for end, channel in zip((one, two), pair, strict=True):
        end.line.streams.put(channel)
        until(lambda end=end: end.log.of("up"))
    return pair


def test_packets_arrive_whole_and_in_order() -> None:
    sent = [packet(content=bytes([i % 256]) * (1 + 97 * i % 5000)) for i in range(200)]
    with two_ends() as (one, two):
        join(one, two)
        for each in sent:
            one.kernel.send(each)
        assert [two.kernel.recv(1 << 17) for _ in sent] == sent
        two.kernel.send(packet())
        assert one.kernel.recv(1 << 17) == packet()


def test_the_longest_packet_goes_through() -> None:
    longest = packet(content=bytes(65515))
    with two_ends() as (one, two):
        join(one, two)
        one.kernel.send(longest)
        assert two.kernel.recv(1 << 17) == longest


def test_while_there_is_no_stream_packets_are_dropped_and_not_kept() -> None:
    with two_ends() as (one, two):
        one.kernel.send(packet(content=b"early"))
        until(lambda: one.tunnel.counts["dropped"] == 1)
        join(one, two)
        one.kernel.send(packet(content=b"late"))
        assert two.kernel.recv(1 << 17).endswith(b"late")


def test_after_a_cut_the_next_stream_carries_on() -> None:
    with two_ends() as (one, two):
        pair = join(one, two)
        pair[0].close()
        until(lambda: len(one.line.failures) == 2 and len(two.line.failures) == 2)
        assert all(isinstance(end.line.failures[1], LinkDown) for end in (one, two))
        one.log.lines.clear()
        two.log.lines.clear()
        join(one, two)
        one.kernel.send(packet())
        assert two.kernel.recv(1 << 17) == packet()


def test_a_key_that_runs_out_ends_the_stream_and_says_so() -> None:
    site = PlayedSite(stock_bytes=32, rate_bps=32.0)
    with two_ends() as (one, two):
        join(one, two, site, StreamRule(rekey_bytes=1 << 20))
        big = packet(content=bytes(60_000))
        arrived = 0
        two.kernel.settimeout(0.01)
        while len(one.line.failures) < 2:
            one.kernel.send(big)
            with suppress(TimeoutError):
                arrived += len(two.kernel.recv(1 << 17))
        assert isinstance(one.line.failures[1], KeysNotReady)
        assert 0 < arrived <= 1 << 20
    assert "no key, so nothing is sent" in one.log.of("down")[0]
    assert "expected in 8 s" in one.log.of("down")[0]


@pytest.mark.parametrize(
    "hostile",
    [
        packet(source="10.10.0.1"),
        packet(header=b"\x04" + bytes(9)),
        packet(header=struct.pack("<BBHHHH", 1, 0, 0, 0, 40, 6)),
        packet(header=struct.pack("<BBHHHH", 1, 1, 40, 0, 20, 2), content=bytes(40)),
        packet(header=struct.pack("<BBHHHH", 1, 4, 40, 1400, 20, 2), content=bytes(40)),
        packet(header=struct.pack("<BBHHHH", 0, 1, 40, 1400, 0, 0), content=bytes(40)),
        packet(header=struct.pack("<BBHHHH", 1, 1, 4000, 1400, 20, 2), content=bytes(40)),
        packet(header=struct.pack("<BBHHHH", 1, 3, 40, 1400, 20, 2), content=bytes(40)),
        PLAIN + b"\x45",
        PLAIN + b"\x60" + bytes(20),
        PLAIN + b"\x05" + bytes(40),
    ],
    ids=[
        "a source of somebody else's",
        "an unknown flag",
        "a checksum beyond the end",
        "segments of no size",
        "IPv6 segments of an IPv4 packet",
        "segments without checksum",
        "a head beyond the end",
        "fragments of UDP",
        "a packet of one byte",
        "half an IPv6 header",
        "no IP at all",
    ],
)
def test_a_packet_that_the_peer_must_not_send_never_reaches_the_kernel(hostile: bytes) -> None:
    with two_ends() as (one, two):
        join(one, two)
        one.kernel.send(hostile)
        one.kernel.send(packet())
        assert two.kernel.recv(1 << 17) == packet()
        until(lambda: two.tunnel.counts["dropped"])
        assert two.tunnel.counts["dropped"] == 1


def test_a_message_that_is_no_row_of_packets_ends_the_stream() -> None:
    with ExitStack() as stack:
        end = End()
        stack.callback(end.close)
        ours, theirs = channel_pair(purpose="packets 1")
        end.line.streams.put(ours)
        theirs.send(b"\x00\x00\x00\x05abc")
        until(lambda: len(end.line.failures) == 2)
        assert "a packet of 5 bytes where 3 are left" in str(end.line.failures[1])
        theirs.close()


def test_a_caller_waits_longer_each_time_until_a_stream_has_held() -> None:
    now = [0.0]
    caller = Caller(lambda: channel_pair()[0], clock=lambda: now[0])
    assert caller.pause_s(None) == 0.0
    caller._since_s = 0.0  # as after a try at time 0
    waits = [caller.pause_s(LinkDown("")) for _ in range(9)]
    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]
    now[0] = 31.0
    assert caller.pause_s(LinkDown("")) == 0.0


def test_a_caller_asks_for_key_again_when_its_site_said_so() -> None:
    caller = Caller(lambda: channel_pair()[0], clock=lambda: 0.0)
    assert caller.pause_s(KeysNotReady("", 3.0)) == 3.0
    assert caller.pause_s(KeysNotReady("", 3600.0)) == 15.0
