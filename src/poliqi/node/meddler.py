"""Somebody on the line between the two ends of a demonstration's link: messages that are changed or repeated.

Every frame that arrives passes through here, as it would through a machine in the middle. The plant's file says
what is done to it; nobody else is able to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from poliqi.edge.framing import FrameStream
from poliqi.node.plant import SpanState

__all__ = ["MeddledStream"]

_OFTEN: Final = 0.25
"""Share of the frames that are touched: a session has hundreds of them."""


class MeddledStream(FrameStream):
    """A connection whose frames arrive as `look()` lets them: one byte changed, or an earlier frame once more."""

    __slots__ = ("_dice", "_inner", "_last", "_look")

    def __init__(self, inner: FrameStream, look: Callable[[], SpanState], seed: int) -> None:
        self._inner: Final = (
            inner  # the only connection: what the class this one stands in for would hold is unused
        )
        self._look: Final = look
        self._dice: Final = np.random.default_rng([seed, 0x6D6564646C6572])
        self._last: bytes | None = None

    async def read(self, limit: Callable[[], int]) -> bytes | None:
        """The next frame's payload, or None where the peer ended the stream; as `FrameStream.read`."""
        again, self._last = self._last, None
        if again is not None and self._touches(self._look().replay) and len(again) <= limit():
            return again
        frame = await self._inner.read(limit)
        self._last = frame
        if frame and self._touches(self._look().tamper):
            at = int(self._dice.integers(len(frame)))
            changed = frame[at] ^ int(self._dice.integers(1, 256))
            frame = frame[:at] + bytes((changed,)) + frame[at + 1 :]
        return frame

    def _touches(self, is_on: bool) -> bool:
        return is_on and float(self._dice.random()) < _OFTEN

    async def write(self, frames: Iterable[bytes]) -> None:
        """Send whole frames; as `FrameStream.write`."""
        await self._inner.write(frames)

    async def close(self) -> None:
        """Close the connection."""
        await self._inner.close()

    def abort(self) -> None:
        """Drop the connection at once."""
        self._inner.abort()
