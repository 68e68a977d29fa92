from __future__ import annotations

import hashlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from played_channels import channel_pair
from tunnel_rig import LIMIT_S, echo, proxy

from bench.played_keys import PlayedSite
from poliqi.apps.stream.terms import StreamRule
from poliqi.apps.tunnel.calls import Streams
from poliqi.base.errors import LinkDown


def receive_all(connection: socket.socket) -> bytes:
    parts: list[bytes] = []
    while data := connection.recv(1 << 16):
        parts.append(data)
    return b"".join(parts)


def until(what: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT_S
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_what_is_sent_comes_back_byte_equal() -> None:
    data = os.urandom(3 << 20)
    with proxy() as rig, rig.connect() as near:
        sender = threading.Thread(target=lambda: (near.sendall(data), near.shutdown(socket.SHUT_WR)))
        sender.start()
        assert hashlib.sha256(receive_all(near)).digest() == hashlib.sha256(data).digest()
        sender.join()


def test_a_half_close_lets_the_other_half_go_on() -> None:
    def counts(connection: socket.socket) -> None:
        connection.sendall(b"%d bytes" % len(receive_all(connection)))

    with proxy(counts) as rig, rig.connect() as near:
        near.sendall(b"x" * 1000)
        near.shutdown(socket.SHUT_WR)
        assert receive_all(near) == b"1000 bytes"


def test_the_server_may_end_first_and_still_be_spoken_to() -> None:
    heard: list[bytes] = []

    def ends(connection: socket.socket) -> None:
        connection.sendall(b"hello")
        connection.shutdown(socket.SHUT_WR)
        heard.append(receive_all(connection))

    with proxy(ends) as rig, rig.connect() as near:
        assert receive_all(near) == b"hello"
        near.sendall(b"late")
        near.shutdown(socket.SHUT_WR)
        until(lambda: heard)
    assert heard == [b"late"]


def test_a_thousand_short_connections_need_one_stream() -> None:
    with proxy() as rig:
        for i in range(1000):
            with rig.connect() as near:
                near.sendall(b"%d" % i)
                near.shutdown(socket.SHUT_WR)
                assert receive_all(near) == b"%d" % i
        # a client that saw the end may call again before its stream is back, so a second one may have been opened
        assert len(rig.streams) <= 8


def test_connections_at_once_do_not_mix() -> None:
    def one(i: int) -> bool:
        data = bytes([i]) * 100_000
        with rig.connect() as near:
            sender = threading.Thread(target=lambda: (near.sendall(data), near.shutdown(socket.SHUT_WR)))
            sender.start()
            found = receive_all(near)
            sender.join()
        return found == data

    with proxy() as rig, ThreadPoolExecutor(20) as pool:
        assert all(pool.map(one, range(40)))


def test_a_slow_reader_slows_its_writer_and_nobody_else() -> None:
    written = [0]

    def floods(connection: socket.socket) -> None:
        if connection.recv(1) == b"e":
            echo(connection)
        block = bytes(1 << 16)
        while True:
            connection.sendall(block)
            written[0] += len(block)

    with proxy(floods) as rig, rig.connect() as slow, rig.connect() as quick:
        slow.sendall(b"f")
        until(lambda: written[0] > 1 << 20)
        quick.sendall(b"eping")
        assert quick.recv(4) == b"ping"
        # what the kernel holds in three sockets, and no more: it stands still
        before = -1
        while before != written[0]:
            before = written[0]
            time.sleep(0.2)
        assert written[0] < 64 << 20
        assert len(slow.recv(1 << 16)) > 0


def test_a_server_that_dies_is_a_reset_and_not_an_end() -> None:
    def dies(connection: socket.socket) -> None:
        connection.sendall(b"half of ")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    with proxy(dies) as rig, pytest.raises(ConnectionResetError), rig.connect() as near:
        while near.recv(100):
            pass


def test_a_client_that_dies_is_a_reset_at_the_server() -> None:
    seen: list[str] = []

    def listens(connection: socket.socket) -> None:
        try:
            while connection.recv(100):
                pass
            seen.append("end")
        except ConnectionResetError:
            seen.append("reset")

    with proxy(listens) as rig:
        with rig.connect() as near:
            near.sendall(b"half of ")
            until(lambda: rig.streams and rig.streams[0].usage.received_bytes > 9)
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        until(lambda: seen)
    assert seen == ["reset"]


def test_a_stream_that_is_cut_is_a_reset_at_both_ends() -> None:
    seen: list[str] = []

    def listens(connection: socket.socket) -> None:
        try:
            connection.sendall(b"hello")
            while connection.recv(100):
                pass
            seen.append("end")
        except ConnectionResetError:
            seen.append("reset")

    with proxy(listens) as rig, rig.connect() as near:
        assert near.recv(5) == b"hello"
        rig.streams[0].close()
        with pytest.raises(ConnectionResetError):
            near.recv(1)
        until(lambda: seen)
    assert seen == ["reset"]


def test_a_cut_reaches_an_application_that_does_not_read() -> None:
    def floods(connection: socket.socket) -> None:
        while True:
            connection.sendall(bytes(1 << 16))

    with proxy(floods) as rig, rig.connect() as near:
        near.recv(1)
        until(lambda: rig.streams[0].usage.sent_bytes > 1 << 20)
        rig.streams[0].close()
        with pytest.raises(ConnectionResetError):
            while near.recv(1 << 20):
                pass


def test_a_stream_that_died_while_it_waited_is_replaced() -> None:
    with proxy() as rig:
        for _ in range(2):
            with rig.connect() as near:
                near.sendall(b"x")
                near.shutdown(socket.SHUT_WR)
                assert receive_all(near) == b"x"
            until(lambda: rig.far_log.of("tunnel-ended"))
            rig.streams[-1].close()
        assert len(rig.streams) == 2


def test_without_a_key_the_connection_is_reset_and_the_log_says_when_there_will_be_one() -> None:
    site = PlayedSite(stock_bytes=0, rate_bps=64.0)
    with proxy(site=site) as rig:
        with pytest.raises(ConnectionResetError), rig.connect() as near:
            near.recv(1)
        (line,) = rig.near_log.of("refused")
    assert "no key, so nothing is sent" in line
    assert "expected in 4 s" in line or "expected in 8 s" in line
    assert not rig.streams


def test_a_key_that_runs_out_in_the_middle_is_a_reset() -> None:
    site = PlayedSite(stock_bytes=32)
    rule = StreamRule(rekey_bytes=1 << 20)
    with proxy(lambda c: c.sendall(bytes(8 << 20)), site=site, rule=rule) as rig, rig.connect() as near:
        total = 0
        with pytest.raises(ConnectionResetError):
            while data := near.recv(1 << 16):
                total += len(data)
    assert total <= 1 << 20


@pytest.mark.parametrize("asked", ["echo", "PORT"])
def test_a_target_is_found_by_name_and_by_port(asked: str) -> None:
    with proxy(asks_for=asked) as rig, rig.connect() as near:
        near.sendall(b"ping")
        assert near.recv(4) == b"ping"


@pytest.mark.parametrize("asked", ["other", "22"])
def test_what_the_far_side_does_not_name_cannot_be_reached(asked: str) -> None:
    with proxy(asks_for=asked) as rig:
        with pytest.raises(ConnectionResetError), rig.connect() as near:
            near.recv(1)
        until(lambda: rig.near_log.of("refused"))
    assert f"no target '{asked}' that near may have" in rig.near_log.of("refused")[0]


def test_a_target_of_others_looks_as_if_it_were_not_there() -> None:
    said: list[str] = []
    for names_near, asked in ((False, "echo"), (True, "nothing")):
        with proxy(names_near=names_near, asks_for=asked) as rig:
            with pytest.raises(ConnectionResetError), rig.connect() as near:
                near.recv(1)
            until(lambda: rig.near_log.of("refused"))
            said.append(rig.near_log.of("refused")[0].replace(asked, "X"))
    assert said[0] == said[1]


def test_one_peer_has_so_many_connections_and_keeps_its_streams_when_refused() -> None:
    with proxy(most_far=2) as rig, rig.connect() as one, rig.connect() as two:
        for near in (one, two):
            near.sendall(b"ping")
            assert near.recv(4) == b"ping"
        for _ in range(2):
            with pytest.raises(ConnectionResetError), rig.connect() as third:
                third.recv(1)
        assert len(rig.streams) == 3
        one.shutdown(socket.SHUT_WR)
        assert receive_all(one) == b""

        def is_let_in() -> bool:
            with suppress(OSError), rig.connect() as again:
                again.sendall(b"ping")
                return again.recv(4) == b"ping"
            return False

        until(is_let_in)


def test_connections_beyond_the_near_limit_wait_for_their_turn() -> None:
    with proxy(most=1) as rig, rig.connect() as one:
        one.sendall(b"ping")
        assert one.recv(4) == b"ping"
        with rig.connect() as two:
            two.sendall(b"pong")
            one.shutdown(socket.SHUT_WR)
            assert receive_all(one) == b""
            assert two.recv(4) == b"pong"


def test_warm_streams_are_there_before_anybody_calls() -> None:
    with proxy(warm=2) as rig:
        until(lambda: len(rig.streams) == 2)
        with rig.connect() as near:
            near.sendall(b"ping")
            assert near.recv(4) == b"ping"


def test_a_host_that_never_answers_is_given_up() -> None:
    ours, theirs = channel_pair(purpose="tunnel 1")
    streams = Streams(lambda: ours, 0, answer_s=0.1)
    with pytest.raises(LinkDown):
        streams.open_to("echo")
    streams.close()
    theirs.close()
