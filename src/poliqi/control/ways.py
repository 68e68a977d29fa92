"""Routes of a pair of sites: ways as granted, one where nothing was granted, spares; what each end is told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.allocation import Grant, GrantedWay
from poliqi.control.city import relayed_pool
from poliqi.control.messages import Route
from poliqi.control.pairstock import Pair, pair_of
from poliqi.control.planning import LOW_BITS, UsableLink, Wishes
from poliqi.control.records import LoggedWay, PairRoutes
from poliqi.control.routing import Edge, Limits, Network

__all__ = ["FLOOR_BPS", "Ways", "is_direct", "pair_routes", "same_routes", "site_route", "way_text"]

FLOOR_BPS: Final = 64.0
"""Rate of a pair that was granted nothing: its stock still grows when others have enough."""
_SAME: Final = 0.1
_SAME_BPS: Final = 8.0
_MOST_WAYS: Final = 16

Paths = tuple[tuple[KmeId, ...], ...]


class Ways:
    """Lightest ways over the links that are usable now, and which ways are whole."""

    def __init__(self, sites: Iterable[KmeId], links: Iterable[UsableLink], relays: frozenset[KmeId]) -> None:
        usable = tuple(links)
        self._hops: Final[dict[Pair, list[LinkId]]] = {}
        for link in usable:
            self._hops.setdefault(link.ends, []).append(link.link)
        edges = (Edge(u.link, u.ends, u.capacity_bps, u.stock_bits, LOW_BITS) for u in usable)
        self._relays: Final = relays
        self._network: Final = Network(tuple(sites), tuple(edges), relays)

    def is_whole(self, way: LoggedWay | GrantedWay) -> bool:
        """Whether every hop makes key and every site on the way may carry it."""
        return all(self._is_whole_path(path) for path in way.paths)

    def allows(self, wish: Wishes, way: LoggedWay) -> bool:
        """Whether a way is whole and within what its pair asks for: a single relayed path where one is enough."""
        is_shared = len(way.paths) >= wish.paths or all(len(path) == 2 for path in way.paths)
        is_short = all(len(path) <= wish.max_hops + 1 for path in way.paths)
        relays = (site for path in way.paths for site in path[1:-1])
        return (
            is_shared
            and is_short
            and wish.never_through.isdisjoint(KmeId(site) for site in relays)
            and self.is_whole(way)
        )

    def _is_whole_path(self, path: tuple[str, ...]) -> bool:
        has_hops = all(pair_of(a, b) in self._hops for a, b in pairwise(path))
        return has_hops and self._relays.issuperset(KmeId(site) for site in path[1:-1])

    def lightest(self, pair: Pair, wish: Wishes) -> Paths:
        """What a pair may use now: its link, else as many disjoint ways as it asks for; () where there are none."""
        if pair in self._hops:
            return (pair,)
        return self._found(pair, wish, Limits(wish.never_through, max_hops=wish.max_hops))

    def spare(self, pair: Pair, wish: Wishes, ways: Sequence[LoggedWay]) -> Paths:
        """Paths that share no relay with the ways, and not the pair's own link if they use it; () for none."""
        relays = frozenset(KmeId(site) for way in ways for path in way.paths for site in path[1:-1])
        own = self._hops.get(pair, [])
        is_own_used = any(len(path) == 2 for way in ways for path in way.paths)
        if own and not is_own_used:
            return (pair,)
        return self._found(pair, wish, Limits(wish.never_through | relays, frozenset(own), wish.max_hops))

    def _found(self, pair: Pair, wish: Wishes, limits: Limits) -> Paths:
        if wish.paths == 1:
            way = self._network.shortest(*pair, limits=limits)
            return () if way is None else (way.sites,)
        return tuple(way.sites for way in self._network.disjoint(*pair, wish.paths, limits=limits))


def pair_routes(pair: Pair, wish: Wishes, grants: Sequence[Grant], ways: Ways) -> PairRoutes:
    """A pair's routes by what its demands were granted; the lightest way at a floor's rate for nothing."""
    rates: dict[Paths, float] = {}
    for grant in grants:
        for way in grant.ways:
            paths = way.paths if way.paths[0][0] == pair[0] else tuple(path[::-1] for path in way.paths)
            rates[paths] = rates.get(paths, 0.0) + way.rate_bps
    best = sorted(rates.items(), key=lambda item: (-item[1], item[0]))[:_MOST_WAYS]
    found = [LoggedWay(paths=paths, rate_bps=rate) for paths, rate in best if rate > 0.0]
    found = [way for way in found if ways.allows(wish, way)]
    granted = sum(way.rate_bps for way in found)
    if not found and (paths := ways.lightest(pair, wish)):
        found = [LoggedWay(paths=paths, rate_bps=FLOOR_BPS)]
    spare = ways.spare(pair, wish, found) if found else ()
    spares = (LoggedWay(paths=spare, rate_bps=max(granted, FLOOR_BPS)),) if spare else ()
    return PairRoutes(ends=pair, priority=wish.priority, granted_bps=granted, ways=tuple(found), spares=spares)


def same_routes(old: PairRoutes, new: PairRoutes) -> bool:
    """Whether new routes are so near to the old that nobody need hear of them: same paths, rates within a tenth."""
    if old.priority != new.priority or len(old.ways) != len(new.ways):
        return False
    if [way.paths for way in old.spares] != [way.paths for way in new.spares]:
        return False
    before = {way.paths: way.rate_bps for way in old.ways}
    return all(_is_near(before.get(way.paths), way.rate_bps) for way in new.ways)


def _is_near(old_bps: float | None, new_bps: float) -> bool:
    return old_bps is not None and abs(old_bps - new_bps) <= max(_SAME_BPS, _SAME * old_bps)


def is_direct(way: LoggedWay) -> bool:
    """The pair's own link serves: nothing is relayed."""
    return len(way.paths) == 1 and len(way.paths[0]) == 2


def site_route(site: KmeId, pair: PairRoutes) -> Route:
    """What one end is told: how to fill its half of the relayed stock. No ways where the pair's link serves."""
    to = pair.ends[1] if pair.ends[0] == site else pair.ends[0]

    def way(logged: LoggedWay, share: float) -> Route.Way:
        paths = logged.paths if pair.ends[0] == site else tuple(path[::-1] for path in logged.paths)
        return Route.Way(paths=paths, share=round(share, 6))

    relayed = [w for w in pair.ways if not is_direct(w)]
    rate = sum(w.rate_bps for w in relayed)
    return Route(
        pool=relayed_pool(KmeId(pair.ends[0]), KmeId(pair.ends[1])),
        to=to,
        rate_bps=round(0.5 * (rate or max(pair.granted_bps, FLOOR_BPS)), 3),
        priority=pair.priority,
        ways=tuple(way(w, w.rate_bps / rate) for w in relayed),
        spares=tuple(way(w, 1.0) for w in pair.spares if not is_direct(w)),
    )


def way_text(way: LoggedWay) -> str:
    """A way for people."""
    return " + ".join(" > ".join(path) for path in way.paths)
