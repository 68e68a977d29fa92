"""Pad of one direction under one-time pad: drawn ahead by its sender, fetched by the other side as it is announced.

Pad is one run of bytes: the announced keys behind each other. Every record takes the next bytes of it, first 32 for
its tag, then as many as its text has; no byte is ever taken twice, and what is left over at the end is wiped.

The first 32 bytes of a key never cover text: those of the first key are the tag key of the handshake's message,
those of every later one are wiped. Else whoever knows a text that is withheld knows a key from its first byte, and
could open a stream that names this key first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from poliqi.apps.keygrade import GradeDemand
from poliqi.apps.keysource import Key, KeySource, Supply
from poliqi.apps.stream.needs import TAG_KEY_BYTES, key_bytes, not_ready
from poliqi.apps.stream.opening import KEYS_MOST
from poliqi.apps.stream.rekey import Asked, Pause, read_grades
from poliqi.apps.stream.terms import Used
from poliqi.base.errors import ConfigError, DataRefused, KeyExhausted, PoliqiError, ProtocolError
from poliqi.base.ids import SaeId
from poliqi.edge.keyanswers import KeysNotReady

__all__ = ["KEPT_BYTES", "Pad", "PadDrawer", "PadFetcher", "pad_demand"]

Bytes = NDArray[np.uint8]

KEPT_BYTES: Final = 2 * TAG_KEY_BYTES
"""What a sender never uses for messages: tags of one announcement and of the end."""
_FIRST_BYTES: Final = 960
_PATIENCE_S: Final = 10.0
_NAMED_MOST: Final = 1024
"""Announcements ahead of their use: those of a message where the site gives the least keys at once."""


def pad_demand(demand: GradeDemand) -> GradeDemand:
    """The same, and information-theoretic."""
    return replace(demand, information_theoretic=True)


class Pad:
    """Bytes that are each taken once."""

    __slots__ = ("_is_begun", "_parts", "_place", "left")

    def __init__(self) -> None:
        self._parts: Final[deque[Bytes]] = deque()
        self._place = 0
        self._is_begun = False
        self.left = 0

    def add(self, keys: Sequence[Key]) -> None:
        """Append keys, in order; the first bytes of each but the very first are nothing. Wipes the keys."""
        views = [key.value.view() for key in keys]
        rest = [view[TAG_KEY_BYTES:] if self._is_begun or place else view for place, view in enumerate(views)]
        self._is_begun = True
        part = np.frombuffer(bytearray().join(rest), np.uint8)
        for key in keys:
            key.value.close()
        self._parts.append(part)
        self.left += len(part)

    def xor(self, data: Bytes, into: Bytes) -> None:
        """Add the next bytes to `data`. Raises ValueError where too few are left; a caller looks first."""
        done, size = 0, len(data)
        while done < size:
            taken = self._next(size - done)
            end = done + len(taken)
            np.bitwise_xor(data[done:end], taken, out=into[done:end])
            taken.fill(0)
            done = end

    def take(self, size: int) -> bytes:
        """The next bytes. Raises as `xor`."""
        out = b""
        while len(out) < size:
            taken = self._next(size - len(out))
            out += taken.tobytes()
            taken.fill(0)
        return out

    def _next(self, most: int) -> Bytes:
        """At most so many bytes, at least one; the caller uses and wipes them."""
        if not self._parts:
            raise ValueError(f"{most} bytes more of pad are wanted and none are left")
        part, place = self._parts[0], self._place
        taken = part[place : place + most]
        count = len(taken)
        self.left -= count
        self._place = place + count
        if self._place == len(part):
            self._parts.popleft()
            self._place = 0
        return taken

    def close(self) -> None:
        """Wipe what is left."""
        for part in self._parts:
            part[:] = 0
        self._parts.clear()
        self.left = 0


class PadDrawer:
    """The sender's: draws keys of its direction, more at a time while the stream goes on, and ahead of use."""

    def __init__(self, source: KeySource, peer: SaeId, demand: GradeDemand, used: list[Used]) -> None:
        self._source, self._peer, self._used = source, peer, used
        self._demand: Final = pad_demand(demand)
        self._limits: Final[Supply] = source.supply(peer)
        self._asked: Asked | None = None
        self._pause: Final = Pause()
        self._last = 0
        self.pad: Final = Pad()

    def first(self) -> tuple[str, ...]:
        """Draw what a handshake takes; the keys' names. Raises KeysNotReady, ConfigError."""
        self._ask(_FIRST_BYTES)
        return self._taken()

    def more(self, size: int) -> tuple[str, ...]:
        """Names of keys to announce now, that the pad then has; none where it is enough. `size`: to be sent next.

        Raises KeysNotReady and what a source raises where the pad does not reach for `size`.
        """
        missing = size + KEPT_BYTES - self.pad.left
        if self._asked is None and (missing > 0 or self._is_low()):
            self._ask(max(missing + TAG_KEY_BYTES, 2 * self._last))
        if missing <= 0 and (self._asked is None or not self._asked.is_done()):
            return ()
        try:
            return self._taken()
        except PoliqiError as error:
            if missing <= 0:
                self._pause.begin(error)
                return ()
            if isinstance(error, KeyExhausted):
                return self._last_resort(missing + TAG_KEY_BYTES, error)
            raise

    def _is_low(self) -> bool:
        return self.pad.left < self._last // 4 and self._pause.is_over()

    def _last_resort(self, size: int, error: KeyExhausted) -> tuple[str, ...]:
        """More was asked for ahead than there is: ask for no more than is needed."""
        try:
            self._ask(size)
            return self._taken()
        except KeysNotReady as again:
            wanted = key_bytes(size, self._limits.most_bytes)
            raise not_ready(self._source, self._peer, wanted, again) from error

    def _ask(self, size: int) -> None:
        """For `size` bytes of pad, or as many as the site gives at once. Raises ConfigError where that is none."""
        limits = self._limits
        each = min(max(limits.least_bytes, size + TAG_KEY_BYTES), limits.most_bytes)
        used = max(1, each - TAG_KEY_BYTES)
        number = min(-(-size // used), limits.most_number, KEYS_MOST)
        if each <= TAG_KEY_BYTES or number * used <= TAG_KEY_BYTES:  # it would not pay for its own announcement
            raise ConfigError(
                f"{number} keys of {each} bytes, the most that the site gives at once, are no pad: raise "
                "`max_size` at both sites"
            )
        self._asked = Asked(lambda: self._source.fresh(self._peer, number, each), self._demand, number)

    def _taken(self) -> tuple[str, ...]:
        if self._asked is None:
            return ()
        asked, self._asked = self._asked, None
        keys = asked.result(_PATIENCE_S)
        self._last = sum(len(key.value) - TAG_KEY_BYTES for key in keys)
        self.pad.add(keys)
        self._used += zip((key.key_id for key in keys), read_grades(keys), strict=True)
        return tuple(key.key_id for key in keys)

    def close(self) -> None:
        """Wipe."""
        if self._asked is not None:
            self._asked.close()
        self.pad.close()


class PadFetcher:
    """The receiver's: fetches keys in the background as they are announced, in order."""

    def __init__(self, source: KeySource, peer: SaeId, demand: GradeDemand, used: list[Used]) -> None:
        self._source, self._peer, self._used = source, peer, used
        self._demand: Final = pad_demand(demand)
        self._named: Final[deque[tuple[str, ...]]] = deque()
        self._asked: Asked | None = None
        self.pad: Final = Pad()

    def fetch(self, ids: tuple[str, ...]) -> None:
        """Fetch these after those announced before. Raises ProtocolError where too many are unused."""
        if not ids or len(self._named) >= _NAMED_MOST:
            raise ProtocolError(f"{_NAMED_MOST} announcements are unused, or one names no key: hang up")
        self._named.append(ids)
        self._go_on()

    def _go_on(self) -> None:
        if self._asked is None and self._named:
            ids = self._named.popleft()
            self._asked = Asked(lambda: self._source.named(self._peer, ids), self._demand, len(ids))

    def need(self, size: int) -> None:
        """Wait until the pad has `size` bytes. Raises ProtocolError where none are announced; as the source."""
        while self.pad.left < size:
            if self._asked is None:
                raise ProtocolError(f"a record takes {size} bytes of pad, {self.pad.left} are announced: hang up")
            asked, self._asked = self._asked, None
            try:
                keys = asked.result(_PATIENCE_S)
            except DataRefused as error:
                text = f"keys that {self._peer} named are not there: open another stream"
                raise KeysNotReady(text, 1.0) from error
            self._go_on()
            self.pad.add(keys)
            self._used += zip((key.key_id for key in keys), read_grades(keys), strict=True)

    def close(self) -> None:
        """Wipe."""
        if self._asked is not None:
            self._asked.close()
        self._named.clear()
        self.pad.close()
