"""How well the city serves, minute by minute: what the month report is made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from poliqi.control.records import Demanded, LinkServed, Served

__all__ = ["DemandNow", "LinkNow", "ServiceClock"]

_PERIOD_S: Final = 60.0
_DEMANDS: Final = 32
"""A minute's record for so many demands and links; of more, one for several minutes."""


@dataclass(frozen=True, slots=True)
class DemandNow:
    """A demand at this moment."""

    name: str
    is_available: bool
    wanted_bps: float
    granted_bps: float
    delivered_bits: float
    """Since the last moment."""


@dataclass(frozen=True, slots=True)
class LinkNow:
    """A link at this moment."""

    link: str
    is_lit: bool
    rate_bps: float


_MOST: Final = 1e15
_MOST_COUNT: Final = (1 << 62) - 1


class ServiceClock:
    """Adds moments up to records."""

    def __init__(self, now: float) -> None:
        self._began = self._at = now
        self._demands: dict[str, list[float]] = {}
        self._links: dict[str, list[float]] = {}
        self._counts = (0, 0, 0)

    def period_s(self) -> float:
        """How long a record is."""
        return _PERIOD_S * max(1, -(-(len(self._demands) + len(self._links)) // (2 * _DEMANDS)))

    def skip(self, now: float) -> None:
        """The time since the last call was not seen: it is in no record."""
        passed, self._at = max(0.0, now - self._at), max(now, self._at)
        self._began += passed

    def pass_by(
        self, demands: Iterable[DemandNow], links: Iterable[LinkNow], counts: tuple[int, int, int], now: float
    ) -> Served | None:
        """The time since the last call was like this; a record where a period is full. `counts`: keys delivered,
        requests, requests refused since the last call.
        """
        passed, self._at = max(0.0, now - self._at), max(now, self._at)
        for d in demands:
            sums = self._demands.setdefault(d.name, [0.0, 0.0, 0.0, 0.0])
            sums[0] += passed if d.is_available else 0.0
            sums[1] += d.wanted_bps * passed
            sums[2] += d.granted_bps * passed
            sums[3] += d.delivered_bits
        for link in links:
            sums = self._links.setdefault(link.link, [0.0, 0.0])
            if link.is_lit:
                sums[0] += passed
                sums[1] += link.rate_bps * passed
        a, b, c = self._counts
        self._counts = (a + counts[0], b + counts[1], c + counts[2])
        seconds = self._at - self._began
        return self._close(seconds) if seconds >= self.period_s() else None

    def _close(self, seconds: float) -> Served:
        demands, links, counts = self._demands, self._links, self._counts
        self._began, self._demands, self._links, self._counts = self._at, {}, {}, (0, 0, 0)
        return Served(
            n=0,
            wall_ns=0,
            seconds=round(seconds, 3),
            demands=tuple(
                Demanded(
                    demand=name,
                    available_s=_kept(available),
                    wanted_bps=_kept(wanted / seconds),
                    granted_bps=_kept(granted / seconds),
                    delivered_bps=_kept(delivered / seconds),
                )
                for name, (available, wanted, granted, delivered) in demands.items()
            ),
            links=tuple(
                LinkServed(link=name, lit_s=_kept(lit_s), key_bits=_kept(bits))
                for name, (lit_s, bits) in links.items()
            ),
            keys_delivered=min(counts[0], _MOST_COUNT),
            requests=min(counts[1], _MOST_COUNT),
            requests_refused=min(counts[2], _MOST_COUNT),
        )


def _kept(figure: float) -> float:
    """A figure as the log holds it, whatever sites say."""
    return min(_MOST, round(figure, 3))
