"""What the controller makes of what sites say: reports are judged, told as events, and passed on to the routes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from poliqi.base.ids import KmeId, LinkId
from poliqi.control.citystate import CityState
from poliqi.control.events import CityEvent, CityEventKind
from poliqi.control.journal import Journal
from poliqi.control.lines import Value
from poliqi.control.linkstate import LinkWatch
from poliqi.control.messages import LightState, Notice, PeerReport, PoolReport, Report
from poliqi.control.pairstock import Pair, pair_of
from poliqi.control.plausible import bad_counters, bad_link, bad_pool, missing_pool
from poliqi.control.records import LinkChanged
from poliqi.control.roster import SiteWatch
from poliqi.control.router import Router
from poliqi.keys.desk_state import EventKind

__all__ = ["Hearing"]

_SKEW_S: Final = 5.0
_PARTED_S: Final = 3.0
_PARTED_LOST_S: Final = 1.0
"""Where one of the two is lost to the controller as well: what its peers say tells whether it is down."""
_NOTICE_S: Final = 600.0
_K = CityEventKind
_STORE: Final = {"store-failed": _K.STORE_FAILED, "store-back": _K.STORE_BACK}
_KNOWN: Final = frozenset(str(kind) for kind in EventKind)
_UNTOLD: Final = frozenset({"low-stock", "relay-done", "peer-up", "peer-down"})
"""Kinds of notices that the city's own events tell better."""


class Hearing:
    """Takes reports and notices in."""

    def __init__(
        self, state: CityState, router: Router, journal: Journal, tell: Callable[[CityEvent], None]
    ) -> None:
        self._state: Final = state
        self._router: Final = router
        self._journal: Final = journal
        self._tell: Final = tell
        self._parted: Final[dict[Pair, float]] = {}
        self._parted_told: Final[set[Pair]] = set()
        self._noticed: Final[dict[tuple[KmeId, str], float]] = {}
        self._rises: Final[dict[LinkId, float]] = {}

    # ---------------------------------------------------------------- reports

    def report(self, watch: SiteWatch, report: Report, now: float, wall_ns: int) -> None:
        """A whole report. What in it cannot be is told and not used."""
        what = bad_counters(watch.report, report)
        if what is not None:
            self.nonsense(watch, "counters", what, now)
            return
        drained, before, counts = watch.drains, watch.report, watch.counts
        watch.report, watch.reported_at = report, now
        if before is not None:
            counts.add(before, report)
        if watch.drains is not drained:
            kind = _K.SITE_DRAINING if watch.drains else _K.SITE_BACK
            self._tell(CityEvent(kind, now, site=watch.kme))
            self._router.change(is_urgent=watch.drains)
        self._clock(watch, (report.wall_ns - wall_ns) / 1e9, now)
        if before is None:
            names = {pool.pool for pool in report.pools}
            for pair, stock in self._state.stocks.items():
                if watch.kme in pair:
                    stock.keep(watch.kme, names)
        self._pools(watch, report, now)
        self._peers(watch, report.peers, now)
        self._links(watch, report, now)
        if watch.has_come_to_sense(now):
            self._tell(CityEvent(_K.SITE_SENSE, now, site=watch.kme))

    def nonsense(self, watch: SiteWatch, topic: str, what: str, now: float) -> None:
        """A site reports what cannot be."""
        if watch.is_new_nonsense(topic, now):
            self._tell(CityEvent(_K.SITE_NONSENSE, now, site=watch.kme, values={"what": what}))

    def _clock(self, watch: SiteWatch, skew_s: float, now: float) -> None:
        watch.skew_s = skew_s
        is_skewed = abs(skew_s) > (0.5 * _SKEW_S if watch.is_skewed else _SKEW_S)
        if is_skewed is not watch.is_skewed and (is_skewed or watch.may_tell("clock", now)):
            watch.is_skewed = is_skewed
            kind = _K.SITE_CLOCK if is_skewed else _K.SITE_CLOCK_RIGHT
            self._tell(CityEvent(kind, now, site=watch.kme, values={"skew_s": round(skew_s, 3)}))

    def _pools(self, watch: SiteWatch, report: Report, now: float) -> None:
        state, told = self._state, {pool.pool: pool for pool in report.pools}
        for name, pool in told.items():
            peer, before = KmeId(pool.peer), watch.pools.get(name)
            what = bad_pool(watch.kme, pool, before, state.city)
            if what is not None:
                self.nonsense(watch, f"pool {name}", what, now)
                self._forget(watch, pool)
            elif peer in state.sites:
                state.stock(watch.kme, peer).heard(watch.kme, pool, now)
            if peer in state.sites and peer != watch.kme:
                watch.pools[name] = pool
                if before is None:
                    self._new_pool(watch, pool)
        for name in [name for name in watch.pools if name not in told]:
            what = missing_pool(watch.pools[name], report)
            if what is None:
                self._pool_gone(watch, watch.pools.pop(name))
            else:
                self.nonsense(watch, f"pool {name}", what, now)
                self._forget(watch, watch.pools[name])

    def _forget(self, watch: SiteWatch, pool: PoolReport) -> None:
        stock = self._state.stocks.get(pair_of(watch.kme, pool.peer))
        if stock is not None:
            stock.forget(watch.kme, pool.pool)

    def _new_pool(self, watch: SiteWatch, pool: PoolReport) -> None:
        if pool.is_relayed:
            self._state.stock(watch.kme, KmeId(pool.peer)).relayed_at.add(watch.kme)
            self._state.table_due(watch.kme)
            self._router.change()

    def _pool_gone(self, watch: SiteWatch, pool: PoolReport) -> None:
        stock = self._state.stocks.get(pair_of(watch.kme, pool.peer))
        if stock is not None:
            stock.forget(watch.kme, pool.pool)
            if pool.is_relayed:
                stock.relayed_at.discard(watch.kme)
                self._state.table_due(watch.kme)
                self._router.change()

    def _links(self, watch: SiteWatch, report: Report, now: float) -> None:
        for told in report.links:
            name = LinkId(told.link)
            link = self._state.links.get(name)
            loss_db = 0.0 if link is None else link.planned_loss_db
            what = bad_link(watch.kme, told, None if link is None else link.link, loss_db)
            if what is not None:
                self.nonsense(watch, f"link {name}", what, now)
                if link is not None and watch.kme in link.link.ends:
                    link.mistrust(watch.kme)
            elif link is not None:
                link.heard(watch.kme, told, now)
        for name in self._state.links_at.get(watch.kme, ()):
            self._judge(name, self._state.links[name], now)

    def _judge(self, name: LinkId, link: LinkWatch, now: float) -> None:
        """A link's state anew."""
        before = link.state
        for event in link.update(now):
            self._tell(event)
        is_lit_change = LightState.LIT in (link.state, before)
        if link.state is not before and (is_lit_change or link.may_record(now)):
            self._journal.write(LinkChanged(n=0, wall_ns=0, link=name, state=link.state))
        rises_at = link.rises_at(now)
        if rises_at is None:
            self._rises.pop(name, None)
        else:
            self._rises[name] = rises_at
        self._router.touch(name)

    # ---------------------------------------------------------------- who is connected to whom

    def _peers(self, watch: SiteWatch, peers: tuple[PeerReport, ...], now: float) -> None:
        state = self._state
        for name in watch.take_peers(peers):
            other = state.sites.get(KmeId(name))
            if other is None or other is watch:
                continue
            pair = pair_of(watch.kme, other.kme)
            if state.are_parted(*pair):
                self._parted.setdefault(pair, now)
                state.judge_lost.add(other.kme)
            else:
                self._met(pair, now)
            for link in state.links_at.get(watch.kme, ()):
                if other.kme in state.links[link].link.ends:
                    self._router.touch(link)

    def _met(self, pair: Pair, now: float) -> None:
        self._parted.pop(pair, None)
        if pair in self._parted_told:
            self._parted_told.discard(pair)
            self._tell(CityEvent(_K.PEERS_MET, now, site=pair[0], values={"other": pair[1]}))

    def _tell_parted(self, now: float) -> None:
        for pair, since in list(self._parted.items()):
            one, other = self._state.sites.get(pair[0]), self._state.sites.get(pair[1])
            if one is None or other is None:
                self._met(pair, now)
            elif not one.is_up and not other.is_up:
                self._parted[pair] = now
            elif not self._state.are_parted(*pair):
                self._met(pair, now)
            elif pair not in self._parted_told and now - since >= (
                _PARTED_S if one.is_up and other.is_up else _PARTED_LOST_S
            ):
                self._parted_told.add(pair)
                self._tell(CityEvent(_K.PEERS_PARTED, now, site=pair[0], values={"other": pair[1]}))

    # ---------------------------------------------------------------- notices

    def notice(self, watch: SiteWatch, notice: Notice, now: float) -> None:
        """An event of a site's key management; of one kind with one peer not more than one in ten minutes."""
        kind = _STORE.get(notice.kind)
        if kind is not None:
            if not watch.may_tell(str(kind), now):
                return
            self._tell(CityEvent(kind, now, site=watch.kme, values={"what": notice.text}))
            return
        topic = notice.kind if notice.kind in _KNOWN else ""
        peer = notice.peer if notice.peer in self._state.sites else ""
        topic = f"{topic} {peer}"
        before = self._noticed.get((watch.kme, topic))
        if notice.kind in _UNTOLD or (before is not None and now - before < _NOTICE_S):
            return
        self._noticed[watch.kme, topic] = now
        values: dict[str, Value] = {"what": notice.text, "kind": notice.kind}
        if notice.peer is not None:
            values["other"] = notice.peer
        self._tell(CityEvent(_K.SITE_NOTICE, now, site=watch.kme, values=values))

    # ---------------------------------------------------------------- time

    @property
    def rises(self) -> list[float]:
        """When held links may count as lit again."""
        return list(self._rises.values())

    def rise(self, now: float) -> None:
        """Links whose time of hold is over."""
        for name in [name for name, at in self._rises.items() if at <= now]:
            link = self._state.links.get(name)
            if link is None:
                del self._rises[name]
            else:
                self._judge(name, link, now)

    def each_second(self, now: float) -> None:
        """What time alone changes: links that nobody speaks of, sites that do not meet."""
        for name, link in self._state.links.items():
            if link.may_change(now):
                self._judge(name, link, now)
            self._state.histories[name].sample(link, self._state.link_stock, now)
        self._tell_parted(now)
