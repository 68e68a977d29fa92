"""Frames over a connected socket: one system call for a long frame, one for many short ones; deadlines; cuts."""

from __future__ import annotations

import contextlib
import socket
import time
from functools import cache
from pathlib import Path
from typing import Final

from poliqi.apps.stream.opening import HANDSHAKE_BYTES
from poliqi.base.errors import LinkDown, ProtocolError

__all__ = ["FRAME_BYTES", "HEAD_BYTES", "Wire"]

HEAD_BYTES: Final = 4
FRAME_BYTES: Final = HEAD_BYTES + (256 << 10) + 16
"""The longest frame: a record of 256 KiB with its tag."""
_AHEAD_BYTES: Final = 64 << 10
_BUFFER_BYTES: Final = FRAME_BYTES + _AHEAD_BYTES
_SOCKET_BYTES: Final = 4 << 20
"""Of each direction, in the kernel: 10 Gbit/s over a way of 3 ms; on loopback 8 % faster than what it finds."""
_SILENT_S: Final = 30
"""A connection whose other end does not answer any more is lost after so long."""
_STUCK_S: Final = 120
"""The same, where the other end takes no data: its program may be busy."""


@cache
def _grantable() -> tuple[int, ...]:
    """The socket's buffers that this system lets us have whole: a smaller one would be worse than none."""
    limits = ((socket.SO_SNDBUF, "wmem_max"), (socket.SO_RCVBUF, "rmem_max"))
    granted: list[int] = []
    for option, name in limits:
        with contextlib.suppress(OSError, ValueError):
            if int(Path("/proc/sys/net/core", name).read_text(encoding="utf-8")) >= _SOCKET_BYTES:
                granted.append(option)
    return tuple(granted)


class Wire:
    """One thread reads, others write (one at a time: the caller sees to it). Owns the socket."""

    __slots__ = ("_buffer", "_closed", "_deadline_s", "_end", "_limit", "_socket", "_start", "is_lost")

    def __init__(self, connection: socket.socket, timeout_s: float) -> None:
        """Until `opened`, everything has to be over within `timeout_s`, and frames are short."""
        self._socket: Final = connection
        self._deadline_s: float | None = time.monotonic() + timeout_s
        self._limit = HANDSHAKE_BYTES
        self._buffer: memoryview = memoryview(bytearray(HEAD_BYTES + HANDSHAKE_BYTES + HEAD_BYTES))
        self._start = self._end = 0
        self._closed = False
        self.is_lost = False
        """The connection failed: nothing more can be said over it."""
        if connection.family in (socket.AF_INET, socket.AF_INET6):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _SILENT_S // 2)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _SILENT_S // 6)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * _STUCK_S)
            for option in _grantable():
                connection.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BYTES)

    def opened(self) -> None:
        """The handshake is over: long frames, no deadline."""
        self._deadline_s = None
        self._limit = FRAME_BYTES - HEAD_BYTES
        buffer = memoryview(bytearray(_BUFFER_BYTES))
        have = self._end - self._start
        buffer[:have] = self._buffer[self._start : self._end]
        self._buffer, self._start, self._end = buffer, 0, have
        self._socket.settimeout(None)

    def write(self, frame: bytes | memoryview) -> None:
        """Raises LinkDown."""
        self._limit_time()
        try:
            self._socket.sendall(frame)
        except OSError as error:
            raise self._down(error) from None

    def write_now(self, frame: memoryview) -> None:
        """Write what the socket takes at once: for an alert to a peer that may read no more. Raises LinkDown."""
        try:
            self._socket.send(frame, socket.MSG_DONTWAIT)
        except OSError as error:
            raise self._down(error) from None

    def read(self) -> tuple[int, memoryview, memoryview] | None:
        """The next frame's type, head and body, valid until the next call; None where the other side hung up.

        Raises ProtocolError, LinkDown (also for a cut within a frame).
        """
        if self._end - self._start < HEAD_BYTES and not self._fill(HEAD_BYTES):
            return None
        start = self._start
        head = self._buffer[start : start + HEAD_BYTES]
        need = HEAD_BYTES + (head[1] << 16 | head[2] << 8 | head[3])
        if need - HEAD_BYTES > self._limit:
            raise ProtocolError(f"a frame of {need} bytes is over the limit of {self._limit}: hang up")
        if self._end - start < need:
            self._fill(need)
            start = self._start
            head = self._buffer[start : start + HEAD_BYTES]
        self._start = start + need
        return head[0], head, self._buffer[start + HEAD_BYTES : start + need]

    def _fill(self, need: int) -> bool:
        """Read until `need` bytes are there, and no further than the head of the frame behind a long one."""
        buffer, have = self._buffer, self._end - self._start
        if not have:
            self._start = self._end = 0
        elif self._start:
            # without overlap where it matters: what is left of a long frame's successor are a few bytes
            buffer[:have] = bytes(buffer[self._start : self._end])
            self._start, self._end = 0, have
        stop = min(max(need + HEAD_BYTES, _AHEAD_BYTES), len(buffer))
        receive = self._socket.recv_into
        while self._end < need:
            self._limit_time()
            try:
                count = receive(buffer[self._end : stop])
            except OSError as error:
                raise self._down(error) from None
            if not count:
                if self._end:
                    raise LinkDown(f"the connection was cut {need - self._end} bytes before the end of a record")
                return False
            self._end += count
        return True

    def _limit_time(self) -> None:
        if self._deadline_s is not None:
            left_s = self._deadline_s - time.monotonic()
            if left_s <= 0:
                raise LinkDown("the handshake took too long: try again")
            self._socket.settimeout(left_s)

    def _down(self, error: OSError) -> LinkDown:
        self.is_lost = True
        if self._closed:
            return LinkDown("the stream was closed here")
        if isinstance(error, TimeoutError):
            return LinkDown("the other side was silent for too long: try again")
        return LinkDown(f"the connection was lost: {error.strerror or error}")

    def linger(self, time_s: float) -> None:
        """Write no more, and throw away what still comes, so that the other side reads what was written last."""
        end_s = time.monotonic() + time_s
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            while (left_s := end_s - time.monotonic()) > 0:
                self._socket.settimeout(left_s)
                if not self._socket.recv_into(self._buffer):
                    return

    def close(self) -> None:
        """Hang up; whoever waits in `read` or `write` comes back with LinkDown."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
