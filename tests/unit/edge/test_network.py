"""Meeting the peer: addresses, refusals, connections in line."""

from __future__ import annotations

import asyncio
import socket

import pytest

from poliqi.base.errors import ConfigError, LinkDown
from poliqi.edge.network import Address, Connector, Listener, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("bovisa.example:9000", Address("bovisa.example", 9000)),
        ("10.0.0.1:0", Address("10.0.0.1", 0)),
        ("[::1]:9", Address("::1", 9)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text, "--listen") == address
    assert str(address) == text


@pytest.mark.parametrize("text", ["", "9000", ":9000", "host:", "host:65536", "::1:9", "[x]:9", "a b:9", "host:9x"])
def test_what_is_no_address_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError, match="--connect"):
        parse_address(text, "--connect")


def test_listener_and_connector_meet() -> None:
    async def go() -> bytes | None:
        listener = Listener(Address("127.0.0.1", 0))
        here = await Connector(await listener.open()).next()
        there = await listener.next()
        await here.write([b"hello"])
        got = await there.read(lambda: 10)
        await here.close()
        await there.close()
        await listener.close()
        return got

    assert asyncio.run(go()) == b"hello"


def test_absent_peer_is_a_lost_link() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(LinkDown, match=f"cannot connect to 127.0.0.1:{port}"):
        asyncio.run(Connector(Address("127.0.0.1", port)).next())


def test_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}"):
            asyncio.run(Listener(Address("127.0.0.1", port)).open())


def test_line_of_strangers_is_short() -> None:
    async def go() -> int:
        listener = Listener(Address("127.0.0.1", 0))
        address = await listener.open()
        callers = [await Connector(address).next() for _ in range(8)]
        dropped = 0
        for caller in callers:
            try:
                await asyncio.wait_for(caller.read(lambda: 10), 0.3)
                dropped += 1
            except TimeoutError:
                pass
            except LinkDown:
                dropped += 1
            caller.abort()
        await listener.close()
        return dropped

    assert asyncio.run(go()) == 4


def test_kernel_is_asked_to_notice_a_dead_peer() -> None:
    async def go() -> tuple[int, int]:
        listener = Listener(Address("127.0.0.1", 0))
        stream = await Connector(await listener.open()).next()
        raw = stream._writer.get_extra_info("socket")
        alive = raw.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        idle_s = raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        stream.abort()
        await listener.close()
        return alive, idle_s

    alive, idle_s = asyncio.run(go())
    assert alive == 1
    assert idle_s <= 30
