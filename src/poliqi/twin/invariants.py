"""What must hold in every city at every moment, whatever breaks.

- A key goes to one use: no name and no value is handed out twice to masters, or twice to one slave, and no two keys
  share bits.
- Both ends of a key have the same bits.
- No stock is negative, and what a stock says of itself is the sum of its segments.
- No key stands in anything that a controller hears, says, writes or shows, nor in the log.
- Whoever asks is answered in time.
- Honest processes understand each other: no core raises.
- When everything is mended, keys flow between all pairs again.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from poliqi.base.ids import KmeId
from poliqi.keys.kme import Kme
from poliqi.keys.requests import Key
from poliqi.twin.marked import are_keys, find_key, is_key

__all__ = ["InvariantBroken", "Watch"]

ANSWER_S: Final = 15.0
"""Longest wait for an answer: a peer is given up after ten seconds."""

_WORD: Final = 16
_STEP: Final = 8
_REMEMBERED: Final = 400_000


class InvariantBroken(Exception):
    """Something happened that must not. The text says what, and never holds a key."""


class Watch:
    """Sees every key that is handed out and every word that a controller could see."""

    def __init__(self) -> None:
        self._masters: Final[dict[bytes, tuple[KmeId, bytes]]] = {}
        self._slaves: Final[set[tuple[bytes, KmeId]]] = set()
        self._words: Final[dict[bytes, bytes]] = {}
        self._order: Final[deque[bytes]] = deque()
        self.delivered = 0
        self.fetched = 0
        self.scanned_bytes = 0

    # ---------------------------------------------------------------- keys

    def to_master(self, site: KmeId, keys: list[Key]) -> None:
        """A master was given keys."""
        are_whole = are_keys([key.value for key in keys])
        for key in keys:
            if key.key_id in self._masters:
                raise InvariantBroken(f"key {key.key_id.hex()} was given out twice, at {site} for the second time")
            if not are_whole and not is_key(key.value):
                raise InvariantBroken(f"key {key.key_id.hex()} of {site} was never made by a link or a relay")
            self._claim(key)
            self._masters[key.key_id] = site, key.value
            self._order.append(key.key_id)
            self.delivered += 1
        while len(self._order) > _REMEMBERED:
            self._forget(self._order.popleft())

    def _claim(self, key: Key) -> None:
        """Every 16 bytes of a key are its own: what was given out before shares none with it."""
        value, words = key.value, self._words
        step = _STEP if len(value) % _STEP == 0 else 1  # keys of whole steps begin at whole steps
        for start in range(0, len(value) - _WORD + 1, step):
            other = words.get(value[start : start + _WORD])
            if other is not None:
                raise InvariantBroken(f"keys {other.hex()} and {key.key_id.hex()} share bits")
        for start in range(0, len(value) - _WORD + 1, _STEP):
            words[value[start : start + _WORD]] = key.key_id

    def _forget(self, name: bytes) -> None:
        _, value = self._masters.pop(name)
        for start in range(0, len(value) - _WORD + 1, _STEP):
            self._words.pop(value[start : start + _WORD], None)

    def to_slave(self, site: KmeId, keys: list[Key]) -> None:
        """A slave was given keys."""
        for key in keys:
            known = self._masters.get(key.key_id)
            if known is None:
                raise InvariantBroken(f"{site} was given key {key.key_id.hex()}, which no master has")
            if known[1] != key.value:
                raise InvariantBroken(f"key {key.key_id.hex()} differs between {known[0]} and {site}")
            use = key.key_id, site
            if use in self._slaves:
                raise InvariantBroken(f"key {key.key_id.hex()} was given out twice at {site}")
            self._slaves.add(use)
            self.fetched += 1

    # ---------------------------------------------------------------- stock

    def stock(self, kme: Kme) -> None:
        """Levels of a site's stock."""
        for pool in kme.state.stock.pools.values():
            if pool.own_bytes < 0 or pool.stored_bytes < 0:
                raise InvariantBroken(f"{kme.site}: the stock of {pool.link_id} is negative")

    def books(self, kme: Kme) -> None:
        """Whether the levels are what the segments hold."""
        for pool in kme.state.stock.pools.values():
            stored = sum(r.size for r in pool.segments.values())
            owned = sum(r.size for r in pool.own.values())
            if stored != pool.stored_bytes or pool.own_bytes > owned:
                raise InvariantBroken(
                    f"{kme.site}: {pool.link_id} says {pool.stored_bytes} bytes and {pool.own_bytes} of its own, "
                    f"its segments hold {stored} and {owned}"
                )

    # ---------------------------------------------------------------- what a controller may see

    def told(self, data: bytes, where: str) -> None:
        """Something that a controller hears, says, keeps or shows, or a line of the log."""
        self.scanned_bytes += len(data)
        if find_key(data):
            raise InvariantBroken(f"key material stands in {where}")

    @staticmethod
    def answered(waited_s: float, what: str) -> None:
        """An answer came after so long, or is still waited for."""
        if waited_s > ANSWER_S:
            raise InvariantBroken(f"{what} was not answered within {ANSWER_S:g} s")
