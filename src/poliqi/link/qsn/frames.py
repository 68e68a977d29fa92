"""Frames of the QSN-d-1: four bytes of length, big-endian, then that many bytes of JSON (docs/spec/qsn-d-1.md)."""

from __future__ import annotations

from typing import Final

from poliqi.base.errors import ProtocolError

__all__ = ["HEADER_BYTES", "MOST_FRAME_BYTES", "FrameReader", "encode_frame"]

HEADER_BYTES: Final = 4
MOST_FRAME_BYTES: Final = 8 << 20
"""Of JSON in one frame: 64 keys of 8,191 bytes in the loosest layout, a number to a line, are 5.8 MB."""


def encode_frame(payload: bytes) -> bytes:
    """The whole frame of one JSON text."""
    if not 1 <= len(payload) <= MOST_FRAME_BYTES:
        raise ValueError(f"a frame of {len(payload)} bytes: 1 to {MOST_FRAME_BYTES} can be sent")
    return len(payload).to_bytes(HEADER_BYTES, "big") + payload


class FrameReader:
    """Cuts what arrives on one connection into frames; of an announced length nothing is kept beforehand."""

    __slots__ = ("_buffer", "_most")

    def __init__(self, most: int = MOST_FRAME_BYTES) -> None:
        self._buffer: Final = bytearray()
        self._most: Final = most

    def receive(self, data: bytes) -> list[bytes]:
        """The JSON texts that are complete now. Raises ProtocolError; the connection is of no use afterwards."""
        self._buffer.extend(data)
        frames: list[bytes] = []
        while (payload := self._next()) is not None:
            frames.append(payload)
        return frames

    def _next(self) -> bytes | None:
        if len(self._buffer) < HEADER_BYTES:
            return None
        length = int.from_bytes(self._buffer[:HEADER_BYTES], "big")
        if self._buffer[0] in b"{[":
            raise ProtocolError("QSN-d-1: JSON came without the four bytes of length before it; is this its port?")
        if not 1 <= length <= self._most:
            raise ProtocolError(f"QSN-d-1: a frame of {length} bytes was announced, 1 to {self._most} are taken")
        end = HEADER_BYTES + length
        if len(self._buffer) < end:
            return None
        payload = bytes(self._buffer[HEADER_BYTES:end])
        del self._buffer[:end]
        return payload
