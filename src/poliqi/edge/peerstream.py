"""Frames to and from one other site: four bytes of length, big-endian, then 1 byte to 4 MiB of payload.

The empty frame is the greeting: each end sends one, first, once it believes the other's certificate, and a stream
is handed over when the other's greeting has come, so that both ends know that both agreed. What is sent in one
turn of the event loop leaves together.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from cryptography import x509

from poliqi.base.errors import LinkDown, PoliqiError, ProtocolError
from poliqi.base.ids import KmeId
from poliqi.edge.pqtls import SecureConnection

__all__ = ["FRAME_BYTES", "FrameCutter", "PeerStream"]

FRAME_BYTES: Final = 4 << 20
_HEADER_BYTES: Final = 4
_GREETING: Final = bytes(_HEADER_BYTES)
_BATCH_BYTES: Final = 1 << 17
_UNREAD_BYTES: Final = 8 << 20
_FRAME_COST_BYTES: Final = 64


class FrameCutter:
    """Cuts a stream of bytes into frames; what it keeps is less than one frame."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = bytearray()

    @property
    def is_inside(self) -> bool:
        """True where a frame has begun and not ended."""
        return bool(self._rest)

    def cut(self, data: bytes) -> list[bytes]:
        """The payloads that `data` completes. Raises ProtocolError for a frame that is too long."""
        rest = self._rest
        if rest:
            rest += data
            if len(rest) < _HEADER_BYTES:
                return []
            if len(rest) < _HEADER_BYTES + _length(rest, 0):
                return []
            data, self._rest = bytes(rest), bytearray()
        frames: list[bytes] = []
        at, end = 0, len(data)
        while end - at >= _HEADER_BYTES:
            start = at + _HEADER_BYTES
            stop = start + _length(data, at)
            if stop > end:
                break
            frames.append(data[start:stop])
            at = stop
        if at < end:
            self._rest = bytearray(data[at:])
        return frames


def _length(data: bytes | bytearray, at: int) -> int:
    length = int.from_bytes(data[at : at + _HEADER_BYTES], "big")
    if length > FRAME_BYTES:
        raise ProtocolError(f"the peer announced a frame of {length} bytes; at most {FRAME_BYTES} are allowed")
    return length


class PeerStream:
    """A stream of frames with another site, whose certificate was believed.

    `send` never waits: what the peer does not take is kept, and past `limit_bytes` the peer counts as stuck and the
    stream ends. Reading is done by one task; a reader that lags holds the peer back.
    """

    def __init__(self, limit_bytes: int, admit: Callable[[KmeId], None]) -> None:
        """`admit` raises AuthenticationError for a site that is not wanted on this stream."""
        self.peer = KmeId("")
        self.chain: Sequence[x509.Certificate] = ()
        self.reason = ""
        """Why the stream ended; empty while it lives and where it was closed properly."""
        self._limit_bytes: Final = limit_bytes
        self._admit: Final = admit
        self._connection: SecureConnection | None = None
        self._cutter: Final = FrameCutter()
        self._frames: Final[deque[bytes]] = deque()
        self._parts: list[bytes] = []
        self._parts_bytes = self._unread_bytes = 0
        self._is_scheduled = self._is_greeted = self._is_held = self._is_ended = self._is_closing = False
        self._error: PoliqiError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._settled: Final[asyncio.Future[None]] = asyncio.get_running_loop().create_future()
        self._gone: Final[asyncio.Future[None]] = asyncio.get_running_loop().create_future()

    def attach(self, connection: SecureConnection) -> None:
        """The connection beneath, before its handshake."""
        self._connection = connection

    # --- for the owner

    @property
    def is_open(self) -> bool:
        return self._is_greeted and not (self._is_ended or self._is_closing)

    def send(self, frame: bytes) -> None:
        """Send one frame with whatever else is sent in this turn of the loop; after the end it goes nowhere.

        Raises ValueError for an empty frame and one over 4 MiB.
        """
        if not 0 < len(frame) <= FRAME_BYTES:
            raise ValueError(f"a frame of {len(frame)} bytes: it must have 1 to {FRAME_BYTES}")
        if self._is_ended or self._is_closing:
            return
        self._parts += (len(frame).to_bytes(_HEADER_BYTES, "big"), frame)
        self._parts_bytes += _HEADER_BYTES + len(frame)
        if not self._is_scheduled:
            self._is_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)
        if self.unsent_bytes > self._limit_bytes:
            self.abort(LinkDown(f"{self.peer} is stuck: {self.unsent_bytes} bytes wait, {self._limit_bytes} may"))

    @property
    def unsent_bytes(self) -> int:
        """Bytes sent that the network has not yet taken."""
        return self._parts_bytes + (self._connection.waiting_bytes if self._connection is not None else 0)

    async def read(self) -> bytes | None:
        """The next frame; None where the stream was closed properly, by either end.

        Raises ProtocolError, LinkDown where it ended in another way; frames that came whole are read first.
        """
        while not self._frames:
            if self._is_ended:
                if self._error is not None:
                    raise self._error
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        frame = self._frames.popleft()
        self._unread_bytes -= len(frame) + _FRAME_COST_BYTES
        if self._is_held and self._unread_bytes < _UNREAD_BYTES // 2:
            self._is_held = False
            assert self._connection is not None
            self._connection.go_on()
        return frame

    async def frames(self) -> AsyncIterator[bytes]:
        """Frame after frame until the stream is closed. Raises as `read`."""
        while (frame := await self.read()) is not None:
            yield frame

    def close(self) -> None:
        """Send what was sent, say goodbye, end."""
        if self._is_ended or self._is_closing or self._connection is None:
            return
        if self._is_greeted and self._parts:
            self._connection.write(b"".join(self._parts))
        self._drop_parts()
        self._is_closing = True
        self._connection.close()

    def abort(self, error: PoliqiError | None = None) -> None:
        """End now, with whatever was still to be sent."""
        if self._connection is not None:
            self._connection.abort(error)

    async def wait_ready(self) -> None:
        """Until both ends have agreed. Raises AuthenticationError, ProtocolError, LinkDown where they do not."""
        await asyncio.shield(self._settled)
        if not self._is_greeted:
            raise self._error or LinkDown("the stream was closed at this end")

    async def wait_ended(self) -> None:
        """Until the stream has ended."""
        await asyncio.shield(self._gone)

    # --- called by the connection

    def secured(self, peer: KmeId, chain: Sequence[x509.Certificate]) -> None:
        self._admit(peer)
        self.peer, self.chain = peer, chain
        assert self._connection is not None
        self._connection.write(_GREETING)

    def received(self, data: bytes) -> None:
        for frame in self._cutter.cut(data):
            if not self._is_greeted:
                if frame:
                    raise ProtocolError(f"{self.peer} sent {len(frame)} bytes before its greeting")
                self._is_greeted = True
                _settle(self._settled)
            elif not frame:
                raise ProtocolError(f"{self.peer} sent a second greeting")
            else:
                self._frames.append(frame)
                self._unread_bytes += len(frame) + _FRAME_COST_BYTES
        if self._unread_bytes > _UNREAD_BYTES and not self._is_held:
            self._is_held = True
            assert self._connection is not None
            self._connection.hold()
        self._wake()

    def writable(self) -> None:
        self._flush()

    def ended(self, error: PoliqiError | None) -> None:
        if error is None and self._cutter.is_inside and not self._is_closing:
            error = LinkDown(f"{self.peer} closed the stream inside a frame")
        if error is None and not self._is_greeted and not self._is_closing:
            error = LinkDown("the peer closed the stream before its greeting: its log says why")
        self._is_ended = True
        self._error = error
        self.reason = "" if error is None else str(error)
        self._drop_parts()
        self._wake()
        _settle(self._settled)
        _settle(self._gone)

    # --- inside

    def _wake(self) -> None:
        if self._waiter is not None and (self._frames or self._is_ended):
            _settle(self._waiter)

    def _drop_parts(self) -> None:
        self._parts, self._parts_bytes = [], 0

    def _flush(self) -> None:
        """Seal and send what waits while the network takes it."""
        self._is_scheduled = False
        connection = self._connection
        assert connection is not None
        while self._parts and connection.has_room:
            if self._parts_bytes <= _BATCH_BYTES:
                batch = b"".join(self._parts)
                self._drop_parts()
            else:
                batch = self._take_batch()
            connection.write(batch)

    def _take_batch(self) -> bytes:
        count = size = 0
        while count < len(self._parts) and size < _BATCH_BYTES:
            size += len(self._parts[count])
            count += 1
        batch = b"".join(self._parts[:count])
        del self._parts[:count]
        self._parts_bytes -= size
        return batch


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
