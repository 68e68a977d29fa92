"""An application that says what it was asked, and a client that writes raw HTTP: for tests of servers."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from poliqi.edge.http1 import HttpLimits
from poliqi.edge.network import Address

__all__ = ["LIMITS", "connected", "echo", "exchange", "one", "rest", "said", "until"]

LIMITS = HttpLimits(head_bytes=2000, body_bytes=5000, request_s=0.3, idle_s=5.0, connections=300, tick_s=0.05)


async def echo(scope: dict[str, Any], receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    """Says what it was asked; /slow waits, /fail raises, /late raises half-way, /parts comes in parts."""
    path = scope["path"]
    message = await receive()
    if path == "/slow":
        await asyncio.sleep(0.3)
    if path == "/fail":
        raise ValueError("a secret")
    said = {
        "method": scope["method"],
        "path": path,
        "query": scope["query_string"].decode("latin-1"),
        "body": len(message["body"]),
        "caller": None if scope["state"]["caller"] is None else scope["state"]["caller"].name,
    }
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    if path in ("/parts", "/late"):
        for part in (b'{"a":', b"", b"1}"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        if path == "/late":
            raise ValueError("a secret")
        await send({"type": "http.response.body"})
        return
    await send({"type": "http.response.body", "body": json.dumps(said).encode()})


@contextmanager
def connected(where: Address) -> Iterator[socket.socket]:
    with socket.create_connection((where.host, where.port), timeout=5) as link:
        yield link


def rest(link: socket.socket) -> bytes:
    """Everything until the server hangs up."""
    data = b""
    try:
        while part := link.recv(65536):
            data += part
    except ConnectionResetError:
        pass
    return data


def exchange(where: Address, request: bytes) -> bytes:
    with connected(where) as link:
        link.sendall(request)
        return rest(link)


def one(request_line: str, *headers: str, body: bytes = b"") -> bytes:
    lines = [f"{request_line} HTTP/1.1", "host: x", "connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def said(answer: bytes) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK"), answer
    return json.loads(body)


def until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"waited for {timeout_s:g} s"
        time.sleep(0.005)
