"""The desk as pages see it: looked at in a thread, so often as somebody watches, and never by two at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from poliqi.base.errors import PoliqiError
from poliqi.ops.sae_web.desk import Desk, DeskView

__all__ = ["Sight"]

BUSY_S: Final = 0.25
"""So often while files are on their way; figures of stock move slowly."""
IDLE_S: Final = 1.0


class Sight:
    """Satisfies `poliqi.ops.web.live.Changing`."""

    def __init__(
        self, desk: Desk, complain: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._desk: Final = desk
        self._complain: Final = complain
        self._clock: Final = clock
        self._lock: Final = asyncio.Lock()
        self._seen_s = float("-inf")
        self._view: DeskView | None = None
        self.version = 0

    def look(self) -> DeskView:
        """The latest view; `fresh` was asked before."""
        if self._view is None:
            raise RuntimeError("nobody has looked yet")
        return self._view

    async def fresh(self, age_s: float = 0.0) -> DeskView:
        """A view at most so old. Raises PoliqiError where there never was one."""
        asked_s = self._clock()
        async with self._lock:
            if self._view is None or self._seen_s < asked_s - age_s:
                now_s = self._clock()
                try:
                    view = await asyncio.to_thread(self._desk.view)
                except PoliqiError as error:
                    if self._view is None:
                        raise
                    self._complain(str(error))
                else:
                    self._seen_s = now_s
                    if view != self._view:
                        self.version += 1
                    self._view = view
            return self._view

    async def changed(self, version: int) -> int:
        """Wait until something is new; the new version."""
        while self.version == version:
            view = self._view
            is_busy = view is not None and any(not t.state.is_over for t in view.transfers)
            await asyncio.sleep(BUSY_S if is_busy else IDLE_S)
            await self.fresh()
        return self.version
