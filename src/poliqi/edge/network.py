"""Connections between the two ends of a link: TCP, kept alive, one at a time.

The stream is neither encrypted nor authenticated here: the session authenticates all of it, and nothing
on it is secret.
"""

from __future__ import annotations

import asyncio
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Protocol

from poliqi.base.errors import ConfigError, LinkDown
from poliqi.edge.framing import FrameStream

__all__ = ["Address", "Connector", "Listener", "Meeting", "keep_alive", "parse_address"]

_BUFFER: Final = 1 << 20
_WAITING: Final = 4
_CONNECT_S: Final = 10.0
_SILENT_S: Final = 30
_ADDRESS: Final = re.compile(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\s:\[\]]+)):(\d{1,5})")


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, option: str) -> Address:
    """Read "HOST:PORT" or "[IPV6]:PORT". Raises ConfigError naming `option`."""
    found = _ADDRESS.fullmatch(text)
    if found is None or int(found[3]) > 65535:
        raise ConfigError(f"{option} {text!r}: write HOST:PORT, such as bovisa.example:9000 or [::1]:9000")
    return Address(found[1] or found[2], int(found[3]))


class Meeting(Protocol):
    """How the two ends come together."""

    async def open(self) -> Address:
        """Get ready; the address that is connected to or listened on. Raises ConfigError, LinkDown."""
        ...

    async def next(self) -> FrameStream:
        """The next connection. Raises LinkDown where there is none now."""
        ...

    async def close(self) -> None:
        """Take no more connections."""
        ...


class Connector:
    """Connects to the peer."""

    def __init__(self, address: Address) -> None:
        self._address: Final = address

    async def open(self) -> Address:
        return self._address

    async def next(self) -> FrameStream:
        a = self._address
        try:
            opening = asyncio.open_connection(a.host, a.port, limit=_BUFFER)
            reader, writer = await asyncio.wait_for(opening, _CONNECT_S)
        except (OSError, TimeoutError) as error:
            reason = f"no answer within {_CONNECT_S:g} s" if isinstance(error, TimeoutError) else str(error)
            raise LinkDown(f"cannot connect to {a}: {reason}") from error
        return _stream(reader, writer)

    async def close(self) -> None:
        return


class Listener:
    """Waits for the peer; connections beyond a few that wait in line are dropped at once."""

    def __init__(self, address: Address) -> None:
        self._address: Final = address
        self._arrived: Final[asyncio.Queue[FrameStream]] = asyncio.Queue(_WAITING)
        self._server: asyncio.Server | None = None

    async def open(self) -> Address:
        a = self._address
        try:
            self._server = await asyncio.start_server(self._accept, a.host, a.port, limit=_BUFFER)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {a}: {error.strerror or error}; name another with --listen"
            ) from error
        return Address(a.host, self._server.sockets[0].getsockname()[1])

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = _stream(reader, writer)
        try:
            self._arrived.put_nowait(stream)
        except asyncio.QueueFull:
            stream.abort()

    async def next(self) -> FrameStream:
        return await self._arrived.get()

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        while not self._arrived.empty():
            self._arrived.get_nowait().abort()


def _stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> FrameStream:
    """Frames on a socket whose kernel notices that the peer is gone."""
    raw = writer.get_extra_info("socket")
    if raw is not None:
        keep_alive(raw)
    return FrameStream(reader, writer)


def keep_alive(raw: socket.socket) -> None:
    """Have the kernel notice within about half a minute that the peer of a TCP socket is gone."""
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", _SILENT_S // 2),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 1000 * _SILENT_S),
    ):
        with suppress(OSError):
            if hasattr(socket, name):
                raw.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
