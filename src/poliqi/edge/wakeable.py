"""A blocking TCP connection whose waits another thread can end: what a device driver sits on.

One thread connects, sends and reads; any thread may call `stop`, and the one that waits gets LinkDown.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
import time
from contextlib import suppress
from typing import Final

from poliqi.base.errors import LinkDown
from poliqi.edge.network import Address, keep_alive

__all__ = ["WakeableConnection"]

_READ_BYTES: Final = 1 << 16


class WakeableConnection:
    """At most one connection at a time, to one address. Deadlines are `time.monotonic()` seconds."""

    def __init__(self, address: Address, what: str) -> None:
        self._address: Final = address
        self._what: Final = what
        self._socket: socket.socket | None = None
        self._stopped: Final = threading.Event()
        self._bell, self._ringer = socket.socketpair()

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._socket is not None

    def connect(self, deadline: float) -> None:
        """Connect anew. Raises LinkDown."""
        self.drop()
        raw = socket.socket(socket.AF_INET6 if ":" in self._address.host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            raw.setblocking(False)
            code = raw.connect_ex((self._address.host, self._address.port))
            if code == errno.EINPROGRESS:
                if not self._wait(raw, select.POLLOUT, deadline):
                    raise LinkDown(f"{self._what}: no connection to {self._address} in time")
                code = raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise LinkDown(f"{self._what}: cannot connect to {self._address}: {os.strerror(code)}")
            keep_alive(raw)
            with suppress(OSError):
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except BaseException:
            raw.close()
            raise
        self._socket = raw

    def send(self, data: bytes, deadline: float) -> None:
        """Send all of it. Raises LinkDown, after which there is no connection."""
        left = memoryview(data)
        raw = self._open_socket()
        try:
            while left:
                try:
                    left = left[raw.send(left) :]
                except BlockingIOError:
                    if not self._wait(raw, select.POLLOUT, deadline):
                        raise LinkDown(f"{self._what}: {self._address} does not read what it is sent") from None
        except LinkDown:
            self.drop()
            raise
        except OSError as error:
            raise self._broken(error) from error

    def read(self, deadline: float) -> bytes | None:
        """What has come, waiting for it; None where nothing came in time. Raises LinkDown where it ends."""
        raw = self._open_socket()
        try:
            if not self._wait(raw, select.POLLIN, deadline):
                return None
            data = raw.recv(_READ_BYTES)
        except OSError as error:
            raise self._broken(error) from error
        if not data:
            self.drop()
            raise LinkDown(f"{self._what}: {self._address} ended the connection")
        return data

    def pause(self, until: float) -> None:
        """Wait. Raises LinkDown where another thread stops it."""
        if self._stopped.wait(max(0.0, until - time.monotonic())):
            raise self._closed()

    def drop(self) -> None:
        """Let the connection go, at once."""
        raw, self._socket = self._socket, None
        if raw is not None:
            raw.close()

    def stop(self) -> None:
        """From any thread: end a wait, and every later one at once. The caller's own thread then lets go."""
        self._stopped.set()
        with suppress(OSError):
            self._ringer.send(b".")

    def release(self) -> None:
        """Close everything, once no other thread is in here."""
        self.drop()
        self._bell.close()
        self._ringer.close()

    def _open_socket(self) -> socket.socket:
        if self._stopped.is_set():
            raise self._closed()
        if self._socket is None:
            raise LinkDown(f"{self._what}: there is no connection to {self._address}")
        return self._socket

    def _wait(self, raw: socket.socket, for_what: int, deadline: float) -> bool:
        """Whether the socket is ready before the deadline. Raises LinkDown where another thread stops it."""
        poll = select.poll()
        poll.register(raw, for_what)
        poll.register(self._bell, select.POLLIN)
        left_ms = max(0.0, deadline - time.monotonic()) * 1e3
        ready = poll.poll(min(left_ms, 2**31 - 1))
        if self._stopped.is_set():
            raise self._closed()
        return any(number == raw.fileno() for number, _ in ready)

    def _broken(self, error: OSError) -> LinkDown:
        self.drop()
        return LinkDown(f"{self._what}: the connection to {self._address} broke: {error.strerror or error}")

    def _closed(self) -> LinkDown:
        return LinkDown(f"{self._what}: closed")
