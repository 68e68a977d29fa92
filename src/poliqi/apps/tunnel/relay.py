"""One TCP connection over one open stream, both ways at once, until both sides have ended.

Two threads, blocking: what waits, waits in the kernel, so a slow reader slows the writer at the far side and
nothing piles up here. An end travels as an end (half-close); whatever else stops one direction stops both, and the
application sees a reset, never a clean end of half a message.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from poliqi.apps.stream.channel import Channel
from poliqi.apps.tunnel.calls import clearer
from poliqi.apps.tunnel.messages import DATA_BYTES, END, Kind, kind_of
from poliqi.base.errors import LinkDown, PoliqiError, ProtocolError

__all__ = ["LocalReset", "Relayed", "relay", "reset", "tune"]

_WAKE_S: Final = 0.5
_NOW: Final = struct.pack("ii", 1, 0)


class LocalReset(LinkDown):
    """The application at this side broke its connection off, or does not take what is sent to it."""


@dataclass(frozen=True, slots=True)
class Relayed:
    """What went through, in bytes: `sent` into the stream, `received` out of it."""

    sent_bytes: int
    received_bytes: int


class _Relay:
    def __init__(self, channel: Channel, local: socket.socket) -> None:
        self.channel: Final = channel
        self.local: Final = local
        self.failure: PoliqiError | None = None
        self.sent_bytes = 0
        self.received_bytes = 0
        self._lock: Final = threading.Lock()

    def fail(self, error: PoliqiError) -> None:
        """Both threads wake up. No FIN is sent, which would look like an end."""
        with self._lock:
            is_first = self.failure is None
            self.failure = clearer(self.failure, error)
        if not is_first:
            return
        with suppress(OSError):
            self.local.shutdown(socket.SHUT_RD)
        self.channel.close()

    def outward(self) -> None:
        """From the application into the stream."""
        try:
            self._send_all()
        except PoliqiError as error:
            self.fail(error)
        except OSError as error:
            self.fail(_broken(error))

    def _send_all(self) -> None:
        buffer = bytearray(1 + DATA_BYTES)
        buffer[0] = Kind.DATA
        message = memoryview(buffer)
        space = message[1:]
        send, receive_into = self.channel.send, self.local.recv_into
        while count := receive_into(space):
            send(message[: count + 1])
            self.sent_bytes += count
        if self.failure is None:
            send(END)

    def inward(self) -> None:
        """From the stream to the application."""
        try:
            self._receive_all()
        except PoliqiError as error:
            self.fail(error)
        except OSError as error:
            self.fail(_broken(error))

    def _receive_all(self) -> None:
        receive = self.channel.receive
        while True:
            message = receive()
            if message is None:
                raise LinkDown("tunnel: the other side ended the stream in the middle of a connection")
            kind = kind_of(message)
            if kind is Kind.DATA:
                self._write(message[1:])
            elif kind is Kind.END:
                with suppress(OSError):
                    self.local.shutdown(socket.SHUT_WR)
                return
            else:
                raise ProtocolError(f"tunnel: message {kind.name.lower()} in the middle of a connection")

    def _write(self, data: memoryview) -> None:
        """All of it; a reader that takes nothing is waited for, but a failure of the other thread is noticed."""
        self.received_bytes += len(data)
        while data:
            try:
                count = self.local.send(data)
            except BlockingIOError:  # SO_SNDTIMEO passed
                if self.failure is not None:
                    return
                continue
            data = data[count:]


def tune(connection: socket.socket) -> None:
    """Small messages leave at once, and a host that is gone is noticed within half a minute where nothing is sent.

    No TCP_USER_TIMEOUT: Linux would end a connection whose reader only pauses.
    """
    options = ("TCP_NODELAY", 1), ("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in options:
        with suppress(OSError):  # not of a Unix socket
            if hasattr(socket, name):
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _broken(error: OSError) -> LocalReset:
    return LocalReset(f"tunnel: the application broke its connection off: {error.strerror or error}")


def relay(channel: Channel, local: socket.socket) -> Relayed:
    """Carry one connection; on return both sides have ended and `channel` can carry another.

    Raises what a channel raises, or LocalReset: the channel is closed then, and `local` is to be `reset`.
    """
    local.settimeout(None)
    local.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, int(_WAKE_S * 1e6)))
    tune(local)
    both = _Relay(channel, local)
    outward = threading.Thread(target=both.outward, name="tunnel out", daemon=True)
    outward.start()
    both.inward()
    outward.join()
    if both.failure is not None:
        raise both.failure
    return Relayed(both.sent_bytes, both.received_bytes)


def reset(local: socket.socket) -> None:
    """Close it so that its other side sees a reset."""
    with suppress(OSError):
        local.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NOW)
    local.close()
