"""A proxy in this process: a near side, a door at the far side, and a server behind it that a test plays."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from played_channels import identity

from bench.played_keys import PlayedSite
from poliqi.apps.settings import Peer
from poliqi.apps.stream.channel import Channel, accept
from poliqi.apps.stream.terms import Policy, StreamRule
from poliqi.apps.tunnel.calls import Call
from poliqi.apps.tunnel.forward import Forwarder
from poliqi.apps.tunnel.messages import PURPOSE
from poliqi.apps.tunnel.service import TunnelService
from poliqi.apps.tunnel.settings import Target, TunnelSettings
from poliqi.base.errors import PoliqiError
from poliqi.edge.network import Address

LIMIT_S = 20.0


@dataclass
class Log:
    """What was said."""

    lines: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, event: str, text: str, **more: Any) -> None:
        del more
        self.lines.append((event, text))

    def of(self, event: str) -> list[str]:
        return [text for said, text in self.lines if said == event]


@dataclass
class Proxy:
    near: Address
    site: PlayedSite
    near_log: Log
    far_log: Log
    streams: list[Channel]
    """The far ends of all streams, in the order of their opening."""

    def connect(self) -> socket.socket:
        return socket.create_connection((self.near.host, self.near.port), LIMIT_S)


def serve(listener: socket.socket, answer: Callable[[socket.socket], None]) -> None:
    """Each caller in a thread, until the listener is closed."""

    def one(connection: socket.socket) -> None:
        with suppress(OSError):
            answer(connection)
        connection.close()

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    threading.Thread(target=run, daemon=True).start()


def echo(connection: socket.socket) -> None:
    """Sends back what comes, then ends."""
    while data := connection.recv(1 << 16):
        connection.sendall(data)


@contextmanager
def proxy(
    server: Callable[[socket.socket], None] = echo,
    *,
    site: PlayedSite | None = None,
    rule: StreamRule | None = None,
    asks_for: str = "echo",
    most: int = 64,
    most_far: int = 64,
    warm: int = 0,
    names_near: bool = True,
) -> Iterator[Proxy]:
    site, rule = site or PlayedSite(), rule or StreamRule()
    mine, yours = identity("near"), identity("far")
    target, door = (socket.create_server(("127.0.0.1", 0), backlog=128) for _ in range(2))
    serve(target, server)
    place = Address("127.0.0.1", target.getsockname()[1])
    allowed = frozenset({mine.sae if names_near else yours.sae})
    near_log, far_log = Log(), Log()
    service = TunnelService(TunnelSettings({"echo": Target("echo", place, allowed)}, (), most_far), far_log)
    streams: list[Channel] = []

    def answer(connection: socket.socket) -> None:
        with suppress(PoliqiError):
            channel = accept(connection, yours, {mine.sae: (mine.contact, rule)}, site.keys(yours.sae))
            streams.append(channel)
            try:
                service.serve(channel)
            finally:
                channel.close()

    serve(door, answer)
    address = Address("127.0.0.1", door.getsockname()[1])
    peer = Peer(yours.contact, "Far", address, rule, StreamRule(Policy.ITS))
    call = Call(mine, peer, site.keys(mine.sae), PURPOSE, address)
    asked = str(place.port) if asks_for == "PORT" else asks_for
    forwarder = Forwarder(Address("127.0.0.1", 0), asked, call, near_log, most, warm)
    try:
        yield Proxy(forwarder.start(), site, near_log, far_log, streams)
    finally:
        forwarder.close()
        service.close()
        for channel in streams:
            channel.close()
        for listener in (target, door):
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
