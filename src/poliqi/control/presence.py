"""Which sites are there: who comes, who is lost, and whether enough is known to change routes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from poliqi.base.ids import KmeId
from poliqi.control.citystate import CityState
from poliqi.control.events import CityEvent, CityEventKind
from poliqi.control.journal import Journal
from poliqi.control.records import SiteChanged
from poliqi.control.roster import SiteWatch
from poliqi.control.router import Router

__all__ = ["Presence"]

_SETTLE_S: Final = 5.0
"""So long after the start, or after all were lost, sites have to report before routes change without them."""
_LOST_S: Final = 1.0
"""A site whose stream broke counts as lost after that, or when a neighbour has lost it too."""

_K = CityEventKind


class Presence:
    """Sites that come and go."""

    def __init__(
        self, state: CityState, router: Router, journal: Journal, tell: Callable[[CityEvent], None], now: float
    ) -> None:
        self._state: Final = state
        self._router: Final = router
        self._journal: Final = journal
        self._tell: Final = tell
        self._settles_from = now
        self._has_settled = False

    def came(self, watch: SiteWatch, now: float) -> None:
        """A site said hello."""
        self._settles_from = min(self._settles_from, now)
        if not watch.is_up:
            self._set_up(watch, True, now)

    def _set_up(self, watch: SiteWatch, is_up: bool, now: float) -> None:
        watch.is_up = is_up
        self._journal.write(SiteChanged(n=0, wall_ns=0, site=watch.kme, is_up=is_up))
        self._tell(CityEvent(_K.SITE_CONNECTED if is_up else _K.SITE_LOST, now, site=watch.kme))
        for name in self._state.links_at.get(watch.kme, ()):
            self._router.touch(name)
        self._router.change(is_urgent=not is_up)
        if not any(other.is_up for other in self._state.sites.values()):
            self._has_settled, self._settles_from = False, float("inf")

    def judge(self, now: float) -> None:
        """A site without a stream is lost after a moment, at once where a site that is up has lost it too."""
        suspects = self._state.judge_lost
        for name in sorted(suspects):
            watch = self._state.sites.get(name)
            if watch is None or watch.lost_at is None or not watch.is_up:
                suspects.discard(name)
            elif now >= watch.lost_at + _LOST_S or self._is_missed(watch):
                suspects.discard(name)
                self._set_up(watch, False, now)

    def _is_missed(self, watch: SiteWatch) -> bool:
        others = (self._state.sites.get(KmeId(name)) for name in watch.peers)
        return any(
            other is not None and other.is_up and other.hello is not None and other.peers.get(watch.kme) is False
            for other in others
        )

    def has_settled(self, now: float) -> bool:
        """Whether it is known what there is: every site of the plan reported, or had its time."""
        if not self._has_settled:
            reported = [watch.reported_at for watch in self._state.sites.values()]
            is_all_here = all(at is not None and at >= self._settles_from for at in reported)
            self._has_settled = is_all_here or now >= self._settles_from + _SETTLE_S
        return self._has_settled

    def timeouts(self, now: float) -> Iterator[float]:
        """When time alone changes something."""
        if not self.has_settled(now):
            yield self._settles_from + _SETTLE_S
        for name in self._state.judge_lost:
            watch = self._state.sites.get(name)
            if watch is not None and watch.lost_at is not None:
                yield watch.lost_at + _LOST_S
