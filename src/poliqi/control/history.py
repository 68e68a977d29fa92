"""What a link did over the last hour, in a ring of coarse samples; the same memory however long the city runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from poliqi.base.ids import LinkId
from poliqi.control.linkstate import LinkWatch
from poliqi.control.view import Sample

__all__ = ["STEP_S", "History", "ring_size"]

STEP_S: Final = 10.0
_MOST: Final = 360
_LEAST: Final = 30
_IN_ALL: Final = 40_000


def ring_size(links: int) -> int:
    """Samples of each link: an hour's, fewer where a city has more than a hundred links."""
    return max(_LEAST, min(_MOST, _IN_ALL // max(1, links)))


class History:
    """One link's ring."""

    __slots__ = ("_next_at", "_ring", "_taken")

    def __init__(self, size: int) -> None:
        self._ring: Final = deque[Sample](maxlen=size)
        self._next_at = float("-inf")
        self._taken: tuple[Sample, ...] | None = ()

    def sample(self, link: LinkWatch, stock_bits: Callable[[LinkId], int], now: float) -> None:
        """Take a sample where one is due; only then the stock is asked for."""
        if now < self._next_at:
            return
        self._next_at = now + STEP_S
        f = link.figures
        is_lit = link.is_lit and link.is_fresh
        self._ring.append(
            Sample(
                at=now,
                key_rate_bps=(f.key_rate_bps if is_lit else 0.0) if link.is_fresh else None,
                qber_key=f.qber_key,
                qber_test=f.qber_test,
                loss_db=f.loss_db,
                stock_bits=stock_bits(link.link.link),
            )
        )
        self._taken = None

    @property
    def samples(self) -> tuple[Sample, ...]:
        """Oldest first; the same tuple until the next sample."""
        if self._taken is None:
            self._taken = tuple(self._ring)
        return self._taken
