"""Key requests on their short way through the server: desks that fail, callers that leave, a drain in between."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pytest
from certificates import Authority, client_context
from fake_desk import FakeDesk, fake_pair
from http_wire import LIMITS, rest, until
from kme_fixture import LoopThread, served

from poliqi.base.errors import StoreError
from poliqi.edge.https import HttpsServer
from poliqi.edge.kme_http import KmeApplication
from poliqi.edge.network import Address
from poliqi.edge.tls import TlsFiles
from poliqi.keys.requests import KeyOrder, Outcome

ENC = b"GET /api/v1/keys/sae-b/enc_keys HTTP/1.1\r\nhost: x\r\n\r\n"
STATUS = b"GET /api/v1/keys/sae-b/status HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


class Door:
    """A desk behind a server; `fails` is what its next order raises, `holds` has orders wait until it is done."""

    def __init__(self) -> None:
        self.fails: Exception | None = None
        self.holds: asyncio.Future[None] | None = None
        self.asked = 0
        desk, _ = fake_pair()
        door = self

        class Desk(FakeDesk):
            async def order(self, order: KeyOrder) -> Outcome:
                door.asked += 1
                if door.holds is not None:
                    await door.holds
                if door.fails is not None:
                    raise door.fails
                return await super().order(order)

        self.desk = Desk(desk.kme_id, desk.sites)
        self.lines: list[str] = []


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@contextmanager
def open_door(authority: Authority) -> Iterator[tuple[Door, HttpsServer, Address, LoopThread]]:
    own, door = authority.kme("kme-a"), Door()
    files = TlsFiles(own.certificate, own.key, authority.path)
    with served(KmeApplication(door.desk), files, LIMITS, door.lines) as (server, where, thread):
        yield door, server, where, thread


@contextmanager
def caller(authority: Authority, where: Address) -> Iterator[ssl.SSLSocket]:
    context = client_context(authority, authority.sae("sae-a"))
    with (
        socket.create_connection((where.host, where.port), timeout=5) as link,
        context.wrap_socket(link, server_hostname=where.host) as secured,
    ):
        yield secured


def one_answer(link: ssl.SSLSocket) -> bytes:
    """An answer with its body, by its content-length."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += link.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    [size] = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
    while len(body) < size:
        body += link.recv(65536)
    assert len(body) == size
    return head + b"\r\n\r\n" + body


def hold(door: Door, thread: LoopThread) -> None:
    def make() -> None:
        door.holds = asyncio.get_running_loop().create_future()

    thread.call(make)


def let_go(door: Door, thread: LoopThread) -> None:
    def free() -> None:
        assert door.holds is not None
        door.holds.set_result(None)

    thread.call(free)


def test_a_desk_that_fails_is_503_and_the_connection_goes_on(authority: Authority) -> None:
    with open_door(authority) as (door, _, where, _), caller(authority, where) as link:
        door.fails = StoreError("no space left on /dev/secret")
        link.sendall(ENC)
        answer = one_answer(link)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: " in answer
        assert b"secret" not in answer
        door.fails = None
        link.sendall(ENC)
        assert one_answer(link).startswith(b"HTTP/1.1 200 ")


def test_a_desk_that_breaks_is_500_and_the_connection_ends(authority: Authority) -> None:
    with open_door(authority) as (door, server, where, _):
        with caller(authority, where) as link, caller(authority, where) as other:
            door.fails = ZeroDivisionError("a secret")
            link.sendall(ENC)
            answer = rest(link)
            assert answer.startswith(b"HTTP/1.1 500 ")
            assert b"\r\nconnection: close\r\n" in answer
            assert answer.endswith(b'\r\n\r\n{"message": "Internal Server Error"}')
            door.fails = None
            other.sendall(ENC)
            assert one_answer(other).startswith(b"HTTP/1.1 200 ")
        until(lambda: server.connections == 0)
        assert door.lines == ["127.0.0.1: a request failed inside"]


def test_a_caller_that_leaves_while_its_request_waits_harms_nobody(authority: Authority) -> None:
    with open_door(authority) as (door, server, where, thread):
        hold(door, thread)
        with caller(authority, where) as link:
            link.sendall(ENC)
            until(lambda: door.asked == 1)
        until(lambda: server.connections == 0)
        let_go(door, thread)
        until(lambda: not server._service.running)
        with caller(authority, where) as link:
            link.sendall(ENC)
            assert one_answer(link).startswith(b"HTTP/1.1 200 ")
        assert door.lines == []


def test_what_is_asked_behind_a_waiting_request_is_answered_after_it(authority: Authority) -> None:
    with open_door(authority) as (door, _, where, thread), caller(authority, where) as link:
        hold(door, thread)
        link.sendall(ENC + ENC + STATUS)
        until(lambda: door.asked == 1)
        let_go(door, thread)
        answer = rest(link)
        assert answer.count(b"HTTP/1.1 200 OK") == 3
        assert answer.index(b'"keys"') < answer.rindex(b'"keys"') < answer.index(b'"stored_key_count"')


def test_a_drain_answers_the_request_that_waits_and_then_closes(authority: Authority) -> None:
    with open_door(authority) as (door, server, where, thread):
        with caller(authority, where) as link:
            hold(door, thread)
            link.sendall(ENC)
            until(lambda: door.asked == 1)
            draining: Future[None] = asyncio.run_coroutine_threadsafe(server.drain(10), thread.loop)
            until(lambda: server._service.is_draining)
            let_go(door, thread)
            answer = rest(link)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"\r\nconnection: close\r\n" in answer
        draining.result(10)


def test_a_drain_that_is_over_drops_the_request_that_still_waits(authority: Authority) -> None:
    with open_door(authority) as (door, server, where, thread), caller(authority, where) as link:
        hold(door, thread)
        link.sendall(ENC)
        until(lambda: door.asked == 1)
        thread.run(server.drain(0.05))
        assert rest(link) == b""
        assert not server._service.running
        assert server.connections == 0


def test_a_certificate_revoked_meanwhile_gets_its_answer_and_no_other(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own, door, leaver = authority.kme("kme-a"), Door(), authority.sae("sae-a")
    files = TlsFiles(own.certificate, own.key, authority.path, authority.revoke())
    with served(KmeApplication(door.desk), files, LIMITS, door.lines) as (server, where, thread):
        hold(door, thread)
        context = client_context(authority, leaver)
        with (
            socket.create_connection((where.host, where.port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=where.host) as link,
        ):
            link.sendall(ENC)
            until(lambda: door.asked == 1)
            authority.revoke(leaver)
            thread.call(server.reload)
            let_go(door, thread)
            assert rest(link).count(b"HTTP/1.1 200 OK") == 1
