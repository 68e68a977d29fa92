"""HTTP/1.1 on the wire: what is answered, what is refused, and who cannot hold the server up."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from http_wire import LIMITS, connected, echo, exchange, one, rest, said, until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kme_fixture import LoopThread, served

from poliqi.edge.http1 import HttpLimits
from poliqi.edge.https import HttpsServer
from poliqi.edge.network import Address

Plain = tuple[HttpsServer, Address, LoopThread, list[str]]


@pytest.fixture(scope="module")
def plain() -> Iterator[Plain]:
    lines: list[str] = []
    with served(echo, None, LIMITS, lines) as (server, where, thread):
        yield server, where, thread, lines


def test_a_request_and_its_answer(plain: Plain) -> None:
    answer = exchange(plain[1], one("POST /a%20b?c=%20", "content-length: 3", body=b"abc"))
    assert said(answer) == {"method": "POST", "path": "/a b", "query": "c=%20", "body": 3, "caller": None}
    assert b"\r\ndate: " in answer
    assert b"\r\nconnection: close\r\n" in answer


def test_chunked_bodies_and_absolute_targets_are_understood(plain: Plain) -> None:
    request = one("POST http://x/q?r", "transfer-encoding: chunked", body=b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert said(exchange(plain[1], request))["body"] == 5
    assert said(exchange(plain[1], request))["path"] == "/q"


def test_answers_in_parts_are_chunked(plain: Plain) -> None:
    answer = exchange(plain[1], one("GET /parts"))
    assert b"transfer-encoding: chunked" in answer
    assert answer.endswith(b'\r\n\r\n5\r\n{"a":\r\n2\r\n1}\r\n0\r\n\r\n')


def test_head_has_no_body(plain: Plain) -> None:
    answer = exchange(plain[1], one("HEAD /x"))
    assert answer.endswith(b"\r\n\r\n")
    assert b"content-length: 0" not in answer


def test_http_1_0_ends_after_one_answer(plain: Plain) -> None:
    answer = exchange(plain[1], b"GET /x HTTP/1.0\r\n\r\n")
    assert said(answer)["path"] == "/x"
    parts = exchange(plain[1], b"GET /parts HTTP/1.0\r\n\r\n")
    assert parts.endswith(b'\r\n\r\n{"a":1}')


def test_pipelined_requests_are_answered_in_order(plain: Plain) -> None:
    names = ["/slow", "/1", "/2", "/3"]
    requests = b"".join(f"GET {name} HTTP/1.1\r\nhost: x\r\n\r\n".encode() for name in names)
    answer = exchange(plain[1], requests + one("GET /last"))
    places = [answer.index(f'"path": "{name}"'.encode()) for name in [*names, "/last"]]
    assert places == sorted(places)


def test_expect_continue_is_answered(plain: Plain) -> None:
    with connected(plain[1]) as link:
        link.sendall(one("POST /x", "expect: 100-continue", "content-length: 2"))
        assert link.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        link.sendall(b"ab")
        assert said(rest(link))["body"] == 2


def test_a_failing_handler_is_500_without_a_word_why(plain: Plain) -> None:
    answer = exchange(plain[1], b"GET /fail HTTP/1.1\r\nhost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.endswith(b'{"message": "Internal Server Error"}')
    assert not any("secret" in line for line in plain[3])


def test_an_answer_that_breaks_off_is_cut(plain: Plain) -> None:
    answer = exchange(plain[1], b"GET /late HTTP/1.1\r\nhost: x\r\n\r\n")
    assert not answer.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\na", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: a\r\n folded: x\r\n\r\n", 400),
        (b"GET /" + b"x" * 3000 + b" HTTP/1.1\r\nhost: a\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nhost: a\r\n" + b"a: b\r\n" * 1000 + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 99999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1389\r\n" + b"a" * 5001 + b"\r\n", 413),
        (b"GET example.org:443 HTTP/1.1\r\nhost: a\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ],
)
def test_what_is_no_request_is_refused_and_hung_up_on(plain: Plain, request_: bytes, status: int) -> None:
    answer = exchange(plain[1], request_)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert b"connection: close" in answer
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["message"]


def test_a_body_that_is_too_long_still_gets_its_answer(plain: Plain) -> None:
    body = b"a" * 200_000
    answer = exchange(plain[1], one("POST /", f"content-length: {len(body)}", body=body))
    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize(
    "begun",
    [b"G", b"GET / HTTP/1.1\r\nhost: x\r\n", b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc"],
)
def test_a_request_that_does_not_end_is_hung_up_on(plain: Plain, begun: bytes) -> None:
    start = time.monotonic()
    with connected(plain[1]) as link:
        link.sendall(begun)
        assert rest(link) == b""
    assert LIMITS.request_s <= time.monotonic() - start


def test_dripping_bytes_does_not_help(plain: Plain) -> None:
    with connected(plain[1]) as link:
        link.settimeout(0.02)
        link.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n")
        for _ in range(200):
            try:
                link.sendall(b"a: b\r\n")
                if link.recv(100) == b"":
                    return
            except TimeoutError:
                continue
            except OSError:
                return
    raise AssertionError("still connected after 200 drips")


@pytest.mark.parametrize("kind", ["header", "trailer"])
def test_a_field_without_an_end_is_cut_off(plain: Plain, kind: str) -> None:
    begun = b"POST / HTTP/1.1\r\nhost: x\r\n"
    if kind == "trailer":
        begun += b"transfer-encoding: chunked\r\n\r\n0\r\n"
    with connected(plain[1]) as link:
        link.sendall(begun)
        try:
            for _ in range(200):
                link.sendall(b"a: " + b"x" * 1000)
        except OSError:
            return
        assert rest(link)[9:12] in (b"", b"413", b"431")


def test_requests_before_a_bad_one_are_answered(plain: Plain) -> None:
    good = b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\nGET /2 HTTP/1.1\r\nhost: x\r\n\r\n"
    answer = exchange(plain[1], good + b"nonsense\r\n\r\n")
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert b"HTTP/1.1 400 " in answer


def test_half_open_and_idle_connections_harm_nobody(plain: Plain) -> None:
    server, where, _, _ = plain
    idle = [socket.create_connection((where.host, where.port)) for _ in range(200)]
    try:
        assert said(exchange(where, one("GET /x")))["path"] == "/x"
        assert server.connections >= 200
    finally:
        for each in idle:
            each.close()


def test_connections_beyond_the_limit_are_turned_away(plain: Plain) -> None:
    server, where, _, _ = plain
    until(lambda: server.connections == 0)
    many = [socket.create_connection((where.host, where.port), timeout=5) for _ in range(LIMITS.connections)]
    try:
        until(lambda: server.connections == LIMITS.connections)
        assert exchange(where, one("GET /x")) == b""
        assert server.refused > 0
    finally:
        for each in many:
            each.close()
    until(lambda: server.connections == 0)
    assert said(exchange(where, one("GET /x")))["path"] == "/x"


def test_draining_finishes_what_is_under_way() -> None:
    with served(echo, None, LIMITS) as (server, where, thread), connected(where) as idle, connected(where) as busy:
        busy.sendall(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        until(lambda: len(server._service.running) == 1)
        thread.run(server.drain())
        answer = rest(busy)
        assert said(answer)["path"] == "/slow"
        assert b"connection: close" in answer
        assert rest(idle) == b""
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((where.host, where.port))


def test_closing_does_not_wait() -> None:
    with served(echo, None, LIMITS) as (server, where, thread), connected(where) as busy:
        busy.sendall(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
        until(lambda: len(server._service.running) == 1)
        thread.run(server.close())
        assert rest(busy) == b""
        assert not server._service.running


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(min_size=1, max_size=300))
def test_no_bytes_bring_the_server_down(plain: Plain, data: bytes) -> None:
    with connected(plain[1]) as link:
        link.sendall(data)
    assert said(exchange(plain[1], one("GET /alive")))["path"] == "/alive"


_CROWD = """
import resource, socket, sys
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
links = [socket.create_connection((sys.argv[1], int(sys.argv[2]))) for _ in range(int(sys.argv[3]))]
sys.stdin.read()
"""


@pytest.mark.soak
def test_ten_thousand_idle_connections_harm_nobody() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 10_500:
        pytest.skip(f"the limit of open files is {hard}; 10,500 are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with served(echo, None, HttpLimits()) as (server, where, _):
            command = [sys.executable, "-c", _CROWD, where.host, str(where.port), "10000"]
            with subprocess.Popen(command, stdin=subprocess.PIPE) as crowd:
                until(lambda: server.connections >= 10_000, 30)
                assert said(exchange(where, one("GET /x")))["path"] == "/x"
                crowd.communicate()
            until(lambda: server.connections == 0, 30)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
