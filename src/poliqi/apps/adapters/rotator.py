"""The first's end: a new key again and again, until it is told to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from poliqi.apps.adapters.events import Happening
from poliqi.apps.adapters.rotation import CONVERSATION_S, hung_up_after, rotate
from poliqi.apps.adapters.tunnel import Tunnel
from poliqi.apps.keysource import KeySource
from poliqi.apps.stream.channel import Channel
from poliqi.base.errors import KeyExhausted, PoliqiError
from poliqi.edge.keyanswers import KeysNotReady

__all__ = ["Rotator"]

_SOONEST_S: Final = 1.0


class Rotator:
    """`dial` opens a stream to the second; `every_s` is the time from one key to the next."""

    def __init__(
        self,
        tunnel: Tunnel,
        dial: Callable[[], Channel],
        keys: KeySource,
        every_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tunnel: Final = tunnel
        self._dial: Final = dial
        self._keys: Final = keys
        self._every_s: Final = every_s
        self._clock: Final = clock

    def once(self) -> str:
        """Bring a new key into use; its key_ID. Raises as `rotate`."""
        channel = self._dial()
        try:
            with hung_up_after(CONVERSATION_S, channel):
                return rotate(channel, self._tunnel, self._keys, self._clock)
        finally:
            channel.close()

    def run(self, stop: threading.Event) -> None:
        """Rotate every `every_s` until `stop`; what fails is told and tried again, later and later."""
        pause_s = _SOONEST_S
        while not stop.is_set():
            began_s = self._clock()
            try:
                self.once()
            except PoliqiError as error:
                wait_s = min(pause_s, self._every_s)
                pause_s = min(2.0 * pause_s, self._every_s)
                self._tunnel.tell(Happening.FAILED, f"{_why(error)}; tried again in {wait_s:g} s")
            else:
                pause_s = _SOONEST_S
                wait_s = max(0.0, self._every_s - (self._clock() - began_s))
            stop.wait(wait_s)


def _why(error: PoliqiError) -> str:
    """With when there will be keys, where they are what is missing."""
    if not isinstance(error, KeyExhausted):
        return str(error)
    retry_s = error.retry_s if isinstance(error, KeysNotReady) else None
    when = "nobody can say when there will be one" if retry_s is None else f"there will be one in {retry_s:g} s"
    return f"no key: {error}; {when}"
