"""How fast a stock may be filled, and over which of its ways next: a token bucket, and deficits over weighted ways.

M. Shreedhar and G. Varghese, "Efficient fair queuing using deficit round robin", IEEE/ACM Trans. Networking 4
(1996) 375, for blocks that one place after another is given to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["Deficits", "TokenBucket"]


class TokenBucket:
    """`rate_bps` in the long run, `burst_bits` at once. What was taken beyond it is owed."""

    __slots__ = ("_at", "_level", "burst_bits", "rate_bps")

    def __init__(self, rate_bps: float, burst_bits: float, now: float) -> None:
        """It begins full."""
        self.rate_bps = rate_bps
        self.burst_bits = burst_bits
        self._level = burst_bits
        self._at = now

    def level(self, now: float) -> float:
        """Bits that may leave; below zero where they are owed. A clock that goes back adds nothing."""
        if now > self._at:
            self._level = min(self.burst_bits, self._level + self.rate_bps * (now - self._at))
        self._at = now
        return self._level

    def take(self, bits: float, now: float) -> None:
        """Bits have left."""
        self._level = self.level(now) - bits

    def change(self, rate_bps: float, burst_bits: float, now: float) -> None:
        """Another rate from now on; what was owed stays owed."""
        level = self.level(now)
        self.rate_bps, self.burst_bits = rate_bps, burst_bits
        self._level = min(level, burst_bits)

    def ready_at(self, bits: float, now: float) -> float | None:
        """When so many bits may leave; None if never."""
        lack = min(bits, self.burst_bits) - self.level(now)
        if lack <= 0.0:
            return now
        return now + lack / self.rate_bps if self.rate_bps > 0.0 else None


class Deficits:
    """Whose turn it is among weighted places: each gets its share of all that is used, to within one block."""

    __slots__ = ("_credit", "_shares")

    def __init__(self, shares: Sequence[float]) -> None:
        total = sum(shares)
        even = [1.0] * len(shares)
        self._shares: Final = [share / total for share in shares] if total > 0.0 else even
        self._credit: Final = [0.0] * len(shares)

    def used(self, place: int, size: float) -> None:
        """A place was given so much."""
        for i, share in enumerate(self._shares):
            self._credit[i] += share * size
        self._credit[place] -= size

    def order(self) -> list[int]:
        """Places with a share, whose turn it is first."""
        return sorted(
            (i for i, share in enumerate(self._shares) if share > 0.0),
            key=lambda i: (-(self._credit[i] + self._shares[i]), i),
        )
