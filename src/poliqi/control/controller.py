"""The controller of a city: hears the agents of its sites, decides routes, tells each site its table. Sans-IO.

Its owner hands over frames and time, writes `take_records` down before it sends `take_frames`, and solves
`take_problem` wherever it likes. Only counts, rates and names come here, no key bit. Sites go on without it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import KmeId
from poliqi.control.allocation import Allocation, AllocationProblem
from poliqi.control.city import City, relayed_pool
from poliqi.control.citystate import CityState
from poliqi.control.events import CityEvent, CityEventKind
from poliqi.control.hearing import Hearing
from poliqi.control.journal import Journal
from poliqi.control.messages import (
    Applied,
    ControlMessage,
    Heard,
    Hello,
    Notice,
    Report,
    Table,
    decode,
    encode,
)
from poliqi.control.plandigest import change_text, plan_digest
from poliqi.control.presence import Presence
from poliqi.control.records import Drained, load
from poliqi.control.roster import SiteWatch
from poliqi.control.router import Router
from poliqi.control.sampling import Sampler
from poliqi.control.service import ServiceClock
from poliqi.control.tenure import Tenure
from poliqi.control.view import CityView
from poliqi.control.viewing import demand_views, link_views, pool_views, site_views
from poliqi.control.ways import site_route

__all__ = ["Controller"]

_TICK_S: Final = 1.0
_EVENTS: Final = 500
_WAITING: Final = 10_000

_K = CityEventKind


class Controller:
    """One start of a city's controller."""

    def __init__(
        self, city: City, name: KmeId, instance: str, stored: Sequence[bytes], now: float, wall_ns: int
    ) -> None:
        """`stored` are the lines of its log. Raises ConfigError where they are not its own."""
        loaded = load(stored, city.name)
        self._journal: Final = Journal(loaded.number)
        self._journal.wall_ns = wall_ns
        self._state: Final = CityState(city)
        self._ring: Final = deque[CityEvent](maxlen=_EVENTS)
        self._events: Final = deque[CityEvent](maxlen=_WAITING)
        parts = (self._state, self._journal, self._tell)
        self._tenure: Final = Tenure(name, instance, *parts, loaded, now)
        self._router: Final = Router(*parts)
        self._presence: Final = Presence(self._state, self._router, self._journal, self._tell, now)
        self._hearing: Final = Hearing(self._state, self._router, self._journal, self._tell)
        self._sampler: Final = Sampler(self._state, self._router, ServiceClock(now))
        self._out: Final[dict[KmeId, list[bytes]]] = {}
        self._now = self._ticked_at = now
        self._connections = 0
        self._took_s = 0.0
        for site in loaded.drained:
            if (watch := self._state.sites.get(KmeId(site))) is not None:
                watch.is_draining = True
        self._router.restore(loaded.routes.values())

    @property
    def city(self) -> City:
        """The plan in force."""
        return self._state.city

    @property
    def epoch(self) -> int:
        """Higher with each start; sites obey the highest that they met."""
        return self._tenure.epoch

    def _tell(self, event: CityEvent) -> None:
        self._ring.appendleft(event)
        self._events.append(event)

    # ---------------------------------------------------------------- streams

    def connected(self, site: KmeId, now: float) -> int:
        """A stream of an agent, whose name its certificate proved; the number of the stream."""
        self._now = now
        self._connections += 1
        watch = self._state.sites.get(site)
        if watch is not None:
            watch.begin(self._connections, now)
            self._out.pop(site, None)
        return self._connections

    def disconnected(self, site: KmeId, connection: int, now: float) -> None:
        """A stream is over; of an older one of the site nothing follows."""
        self._now = now
        watch = self._state.sites.get(site)
        if watch is not None and watch.connection == connection:
            watch.end(now)
            self._out.pop(site, None)
            self._state.judge_lost.add(site)
            self._presence.judge(now)
            self._mend(now)

    def received(self, site: KmeId, connection: int, frame: bytes, now: float, wall_ns: int) -> None:
        """A frame of an agent. Raises ProtocolError: drop the stream."""
        self._now, self._journal.wall_ns = now, wall_ns
        watch = self._state.sites.get(site)
        if watch is None:
            raise ProtocolError(f"{site} is no site of {self.city.name}: add it to the plan of the city")
        if watch.connection is None:
            raise ProtocolError(f"{site} joined the plan while its stream stood: say hello on a new one")
        if watch.connection != connection:
            return
        if not watch.may_speak(now, len(frame)):
            self._hearing.nonsense(watch, "flood", "more frames than a site may send", now)
            return
        try:
            message = decode(frame)
            self._heed(watch, message, now, wall_ns)
        except ProtocolError as error:
            self._hearing.nonsense(watch, "frame", str(error)[:200], now)
            raise
        self._presence.judge(now)
        self._mend(now)

    def _heed(self, watch: SiteWatch, message: ControlMessage | None, now: float, wall_ns: int) -> None:
        watch.heard_at = now
        if message is None:
            return
        if isinstance(message, Hello) is (watch.hello is not None):
            raise ProtocolError(f"{watch.kme} sent {type(message).__name__.lower()!r} out of turn")
        match message:
            case Hello():
                self._greeted(watch, message, now)
            case Report():
                self._hearing.report(watch, message, now, wall_ns)
                self._send(watch, encode(Heard(epoch=self.epoch, number=message.number)))
            case Notice():
                self._hearing.notice(watch, message, now)
            case Applied():
                self._applied(watch, message, now)
            case _:
                raise ProtocolError(
                    f"{watch.kme} sent {type(message).__name__.lower()!r}, which only controllers send"
                )

    def _greeted(self, watch: SiteWatch, hello: Hello, now: float) -> None:
        policy = watch.policy
        drained = watch.drains
        if watch.greet(hello):
            watch.forget_start()
            if drained and not watch.drains:
                self._tell(CityEvent(_K.SITE_BACK, now, site=watch.kme))
                self._router.change()
        if watch.policy != policy:
            self._router.change(is_urgent=True)
        self._presence.came(watch, now)
        self._send(watch, self._tenure.welcome())
        if self._tenure.heed(watch.kme, hello, now) and hello.table == watch.table:
            watch.applied = hello.table
        else:
            self._state.tables_due[watch.kme] = None

    def _applied(self, watch: SiteWatch, applied: Applied, now: float) -> None:
        if applied.epoch > self.epoch:
            self._tenure.met_rival(watch.kme, applied.epoch, now)
            return
        if applied.epoch != self.epoch or applied.table > watch.table:
            return
        watch.applied = applied.table
        known = set(watch.refused)
        for text in [text for text in applied.refused if text not in known][:8]:
            if watch.may_tell(f"refused {text[:40]}", now):
                self._tell(CityEvent(_K.SITE_REFUSED, now, site=watch.kme, values={"what": text}))
        watch.refused = applied.refused
        if applied.epoch == self.epoch:
            self._tenure.back(watch.kme, now)

    @property
    def has_rival(self) -> bool:
        """Whether any site obeys another controller: the operator stops one of the two."""
        return self._tenure.has_rival

    def take_charge(self, now: float, wall_ns: int) -> None:
        """By the operator's word, after a rival was met and stopped: a new epoch, above the rival's."""
        self._now, self._journal.wall_ns = now, wall_ns
        self._tenure.take_charge(now)
        for watch in self._state.sites.values():
            watch.table, watch.applied = 0, 0
            self._state.table_due(watch.kme)
            if watch.hello is not None:
                self._send(watch, self._tenure.welcome())

    def _send(self, watch: SiteWatch, frame: bytes) -> None:
        if watch.connection is not None:
            self._out.setdefault(watch.kme, []).append(frame)

    # ---------------------------------------------------------------- plans and drains

    def change(self, city: City, now: float) -> None:
        """A new plan of the same city: sites and links that join or leave, other demands."""
        self._now = now
        if city.name != self.city.name:
            raise ValueError(f"{city.name!r} is another city than {self.city.name!r}: start a controller for it")
        digest, text = plan_digest(city), change_text(self.city, city)
        if digest == plan_digest(self.city):
            return
        version = max(self.city.version + 1, city.version)
        for site in self._state.sites.values():
            if site.kme not in city.site:
                self._out.pop(site.kme, None)
        self._state.take(city)
        self._tenure.forget(self._state.sites, now)
        self._tenure.plan(version, digest, text, now)
        self._router.replan_all()
        self._mend(now)

    def drain(self, site: KmeId, is_draining: bool, now: float) -> None:
        """Lead nothing through a site any more, or again. Raises ValueError for a site that is not of the city."""
        self._now = now
        watch = self._state.sites.get(site)
        if watch is None:
            raise ValueError(f"{site!r} is no site of {self.city.name}")
        if watch.is_draining is is_draining:
            return
        watch.is_draining = is_draining
        self._journal.write(Drained(n=0, wall_ns=0, site=site, is_draining=is_draining))
        self._tell(CityEvent(_K.SITE_DRAINING if is_draining else _K.SITE_BACK, now, site=site))
        self._router.change(is_urgent=is_draining)
        self._mend(now)

    # ---------------------------------------------------------------- time

    def tick(self, now: float, wall_ns: int) -> list[KmeId]:
        """Let time pass; the agents whose stream should be dropped because they say nothing."""
        self._now, self._journal.wall_ns = now, wall_ns
        self._presence.judge(now)
        self._hearing.rise(now)
        stuck: list[KmeId] = []
        if now >= self._ticked_at + _TICK_S:
            self._ticked_at = now
            self._hearing.each_second(now)
            self._sample(now)
            stuck = [watch.kme for watch in self._state.sites.values() if watch.is_stuck(now)]
        self._mend(now)
        return stuck

    def _sample(self, now: float) -> None:
        for event in self._sampler.events(now):
            self._tell(event)
        served = self._sampler.served(now) if self._may_plan(now) else self._sampler.skip(now)
        if served is not None:
            self._journal.write(served)
        if self._tenure.stand():
            self._router.record_all()

    def next_timeout(self, now: float) -> float:
        """When to call `tick` next."""
        due = [self._ticked_at + _TICK_S, *self._presence.timeouts(now), *self._hearing.rises]
        if self._may_plan(now) and (at := self._router.asks_at()) is not None:
            due.append(at)
        return max(now, min(due))

    # ---------------------------------------------------------------- routes

    def _may_plan(self, now: float) -> bool:
        return self._tenure.is_in_charge and self._presence.has_settled(now)

    def _mend(self, now: float) -> None:
        """Routes that broke move at once; not before it is known what there is."""
        if self._may_plan(now):
            self._router.mend(now)

    def take_problem(self) -> AllocationProblem | None:
        """The question to be solved by `control.allocation.allocate`, where it is time for one."""
        return self._router.ask(self._now) if self._may_plan(self._now) else None

    def planned(self, allocation: Allocation, now: float) -> None:
        """The answer. One that comes when all sites were lost is not used."""
        self._now = now
        self._took_s = allocation.effort.solver_s
        if self._may_plan(now):
            self._router.planned(allocation, now)
        else:
            self._router.pass_over()

    # ---------------------------------------------------------------- what goes out

    def take_records(self) -> list[bytes]:
        """Lines for the log: durable before `take_frames` is sent."""
        self._make_tables()
        return self._journal.take()

    def take_frames(self) -> dict[KmeId, list[bytes]]:
        """Frames for the agents that are connected; tables only once `take_records` gave their routes."""
        out = {site: frames for site, frames in self._out.items() if frames}
        self._out.clear()
        return out

    def _make_tables(self) -> None:
        if not (self._tenure.is_in_charge and self._router.has_routes):
            return
        for name in list(self._state.tables_due):
            watch = self._state.sites.get(name)
            if watch is None or (watch.applied == watch.table and not watch.is_table_due):
                del self._state.tables_due[name]
            elif watch.reported_at is not None and watch.is_table_unsent(self._now):
                if watch.is_table_due:
                    watch.table += 1
                watch.sent(self._now)
                self._send(watch, encode(self._table(watch)))

    def _table(self, watch: SiteWatch) -> Table:
        """What a site is told: of each of its pairs whose relayed stock it has."""
        found = [self._router.routes[pair] for pair in self._router.pairs_of.get(watch.kme, ())]
        routes = tuple(
            site_route(watch.kme, pair)
            for pair in found
            if (pair.ways or pair.spares) and relayed_pool(KmeId(pair.ends[0]), KmeId(pair.ends[1])) in watch.pools
        )
        return Table(epoch=self.epoch, table=watch.table, routes=routes)

    def take_events(self) -> list[CityEvent]:
        """What happened since the last call."""
        events = list(self._events)
        self._events.clear()
        return events

    def view(self, now: float) -> CityView:
        """Everything, for pages and metrics."""
        state = self._state
        return CityView(
            city=state.shown_city,
            controller=self._tenure.name,
            epoch=self.epoch,
            now=now,
            is_in_charge=self._tenure.is_in_charge,
            sites=site_views(state.sites.values(), now),
            links=link_views(state, self._router, now),
            pools=pool_views(state.stocks.values()),
            demands=demand_views(state, self._router),
            alarms=(),
            events=tuple(self._ring),
            last_change_s=self._took_s,
        )
