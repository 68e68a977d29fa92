"""The far side of a tunnel: connects callers to the servers that its own file names, and nowhere else.

A caller names a target; whether it exists and whether this caller may have it is one question with one answer, so
that nobody can list what is behind. The caller never names an address.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from poliqi.apps.settings import SaeSettings
from poliqi.apps.stream.channel import Channel
from poliqi.apps.tunnel.messages import OPENED, PURPOSE, read_open, refusal
from poliqi.apps.tunnel.relay import LocalReset, relay, reset
from poliqi.apps.tunnel.settings import Target, TunnelSettings, read_tunnel
from poliqi.base.errors import PoliqiError
from poliqi.base.ids import SaeId

__all__ = ["TunnelService"]

_CONNECT_S: Final = 5.0


class TunnelService:
    """Answers streams of purpose "tunnel 1" (apps.service.Service)."""

    def __init__(self, settings: TunnelSettings, say: Callable[..., None]) -> None:
        """`say(event, text, **more)` writes the log."""
        self._settings = settings
        self._say: Final = say
        self._lock: Final = threading.Lock()
        self._under_way: Final[Counter[SaeId]] = Counter()
        self._is_closed = False

    @property
    def purpose(self) -> str:
        """As Service."""
        return PURPOSE

    def serve(self, channel: Channel) -> None:
        """As Service: one connection after another, until the caller ends the stream."""
        while not self._is_closed:
            message = channel.receive()
            if message is None:
                return
            self._connect(channel, read_open(message))

    def change(self, settings: SaeSettings) -> None:
        """As Service: other targets for connections that begin from now on. Raises ConfigError."""
        self._settings = read_tunnel(settings)

    def close(self) -> None:
        """As Service."""
        self._is_closed = True

    def _connect(self, channel: Channel, asked: str) -> None:
        caller = channel.peer
        target = self._settings.find(caller, asked)
        if target is None:
            self._refuse(channel, asked, f"no target {asked!r} that {caller} may have")
            return
        if not self._enter(caller):
            self._refuse(channel, asked, f"{self._settings.most_connections} connections are under way already")
            return
        try:
            local = self._reach(channel, target)
            if local is not None:
                self._carry(channel, target, local)
        finally:
            with self._lock:
                self._under_way[caller] -= 1

    def _enter(self, caller: SaeId) -> bool:
        with self._lock:
            if self._under_way[caller] >= self._settings.most_connections:
                return False
            self._under_way[caller] += 1
            return True

    def _reach(self, channel: Channel, target: Target) -> socket.socket | None:
        address = target.address
        try:
            return socket.create_connection((address.host, address.port), _CONNECT_S)
        except OSError as error:
            # what the caller learns says nothing about the network behind
            more = f"{address} does not answer: {error.strerror or error}"
            self._refuse(channel, target.name, f"{target.name} does not answer", more)
            return None

    def _refuse(self, channel: Channel, asked: str, reason: str, more: str = "") -> None:
        text = f"{channel.peer} asks for {asked!r}: {more or reason}"
        self._say("tunnel-refused", text, peer=channel.peer, target=asked, level="warning")
        channel.send(refusal(reason))

    def _carry(self, channel: Channel, target: Target, local: socket.socket) -> None:
        try:
            channel.send(OPENED)
            carried = relay(channel, local)
        except LocalReset as error:  # the stream is closed, so the caller's application sees a reset as well
            reset(local)
            self._ended(channel, target, str(error))
        except PoliqiError:
            reset(local)
            raise
        else:
            local.close()
            text = f"{carried.received_bytes} bytes in, {carried.sent_bytes} out"
            self._ended(channel, target, text)

    def _ended(self, channel: Channel, target: Target, text: str) -> None:
        more: dict[str, Any] = {"peer": channel.peer, "target": target.name}
        self._say("tunnel-ended", f"{channel.peer} to {target.name}: {text}", **more)
