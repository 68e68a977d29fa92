"""Frames on an asyncio stream: four bytes of length, big-endian, then that many bytes of payload.

The length is checked against the limit of the moment before anything is stored, writing waits for the
peer to read (backpressure), and an end of stream inside a frame is an error. An idle peer is not this
module's affair: the session that owns the stream has deadlines of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from poliqi.base.errors import LinkDown, ProtocolError

__all__ = ["HEADER_BYTES", "FrameStream"]

HEADER_BYTES: Final = 4
_JOINED: Final = 1 << 16
_LARGEST: Final = (1 << 32) - 1


class FrameStream:
    """One connection as whole frames. Reading and writing may go on at the same time, each by one task."""

    __slots__ = ("_reader", "_writer")

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, limit: Callable[[], int]) -> bytes | None:
        """The next frame's payload, or None where the peer ended the stream between two frames.

        `limit()` is the largest payload in bytes, asked once the frame's length is known and before any
        of its bytes is kept. Raises ProtocolError for a longer frame, LinkDown where the stream breaks.
        """
        header = await self._exactly(HEADER_BYTES, "the length of a frame", empty_is_end=True)
        if header is None:
            return None
        length, most = int.from_bytes(header, "big"), limit()
        if length > most:
            raise ProtocolError(f"the peer announced a frame of {length} bytes; at most {most} are allowed here")
        return await self._exactly(length, "a frame", empty_is_end=False)

    async def _exactly(self, count: int, what: str, *, empty_is_end: bool) -> bytes | None:
        try:
            return await self._reader.readexactly(count)
        except asyncio.IncompleteReadError as error:
            if empty_is_end and not error.partial:
                return None
            message = f"the connection ended inside {what}: {len(error.partial)} of {count} bytes came"
            raise LinkDown(message) from error
        except OSError as error:
            raise LinkDown(f"the connection broke while waiting for {what}: {error}") from error

    async def write(self, frames: Iterable[bytes]) -> None:
        """Send whole frames, each waiting until the peer has read enough. Raises LinkDown."""
        try:
            for frame in frames:
                if len(frame) > _LARGEST:
                    raise ProtocolError(f"a frame of {len(frame)} bytes cannot be sent; at most {_LARGEST} fit")
                header = len(frame).to_bytes(HEADER_BYTES, "big")
                if len(frame) <= _JOINED:  # one segment a round; writelines would pass over backpressure in 3.12
                    self._writer.write(header + frame)
                else:
                    self._writer.write(header)
                    self._writer.write(frame)
                await self._writer.drain()
        except OSError as error:
            raise LinkDown(f"the connection broke while sending: {error}") from error

    async def close(self) -> None:
        """Close the connection; what the peer did meanwhile no longer matters."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return

    def abort(self) -> None:
        """Drop the connection at once, with whatever was still to be sent."""
        self._writer.transport.abort()
