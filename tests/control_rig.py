"""A city of agents and one controller in memory: streams that carry frames one by one, links that tests light."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import combinations

import msgspec

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import KmeId, LinkId
from poliqi.control.agent import Agent, AgentRule, Observation
from poliqi.control.allocation import Allocation, AllocationProblem, allocate, fast_reroute
from poliqi.control.city import City, Demand, QuantumLink, Site, Span, SpanId, relayed_pool
from poliqi.control.controller import Controller
from poliqi.control.events import CityEvent, CityEventKind
from poliqi.control.messages import LightState, LinkReport, PeerReport, PoolReport
from poliqi.keys.relaying import RelayRoute

WALL_NS = 1_700_000_000_000_000_000
RING = ("aria", "bovisa", "intesa", "leonardo", "santabarbara")
RATE_BPS = 2000.0


def make_city(
    names: Iterable[str] = RING,
    hops: Iterable[tuple[str, str]] | None = None,
    demands: tuple[Demand, ...] = (),
    no_relay: frozenset[str] = frozenset(),
) -> City:
    """A city with a link on each hop, in a ring where none are named; a link is called like "aria-bovisa"."""
    sites = tuple(names)
    pairs = list(hops) if hops is not None else list(zip(sites, (*sites[1:], sites[0]), strict=True))
    return City(
        name="milan",
        sites=tuple(Site(KmeId(s), s, 45.4, 9.2, is_relay=s not in no_relay) for s in sites),
        spans=tuple(Span(SpanId(f"s-{a}-{b}"), (KmeId(a), KmeId(b)), 6.0, 0.3, 2.0) for a, b in pairs),
        links=tuple(
            QuantumLink(LinkId(f"{a}-{b}"), (KmeId(a), KmeId(b)), (SpanId(f"s-{a}-{b}"),), "device")
            for a, b in pairs
        ),
        demands=demands,
    )


def demand(name: str, a: str, b: str, rate_bps: float, priority: int = 3, paths: int = 1) -> Demand:
    """A demand between two sites."""
    return Demand(name, (KmeId(a), KmeId(b)), rate_bps, priority, paths)


@dataclass
class LinkNow:
    """What both ends of a link see of it."""

    state: LightState = LightState.LIT
    key_rate_bps: float | None = RATE_BPS
    qber_key: float | None = 0.02
    qber_test: float | None = 0.025
    loss_db: float | None = 3.8
    noise: float | None = None
    reason: str = ""

    def report(self, link: str) -> LinkReport:
        """As one end says it."""
        return LinkReport(
            link=link,
            state=self.state,
            key_rate_bps=self.key_rate_bps if self.state is LightState.LIT else None,
            qber_key=self.qber_key,
            qber_test=self.qber_test,
            loss_db=self.loss_db,
            noise=self.noise,
            reason=self.reason,
        )


@dataclass
class SiteNow:
    """One site: its agent through all its starts, what it keeps, what its stocks have."""

    name: KmeId
    rule: AgentRule
    agent: Agent
    starts: int = 1
    kept: bytes | None = None
    connection: int | None = None
    is_alive: bool = True
    routes: tuple[RelayRoute, ...] = ()
    to_controller: deque[bytes] = field(default_factory=deque[bytes])
    to_agent: deque[bytes] = field(default_factory=deque[bytes])
    taken_bits: dict[str, int] = field(default_factory=dict[str, int])
    free_bits: dict[str, int] = field(default_factory=dict[str, int])
    says: dict[str, LinkReport] = field(default_factory=dict[str, LinkReport])
    """Reports of links in place of the truth."""
    deaf_to: set[str] = field(default_factory=set[str])
    """Sites that it says are not connected."""
    skew_ns: int = 0
    is_draining: bool = False
    keys_delivered: int = 0


class Rig:
    """Sites and a controller."""

    def __init__(self, city: City, never: dict[str, frozenset[KmeId]] | None = None) -> None:
        self.city = city
        self.now = 100.0
        self.log: list[bytes] = []
        self.events: list[CityEvent] = []
        self.problem: AllocationProblem | None = None
        self.starts = 0
        self.link = {link.link: LinkNow() for link in city.links}
        self.sites: dict[KmeId, SiteNow] = {}
        for site in city.sites:
            self.add_site(site.kme, (never or {}).get(site.kme, frozenset()))
        self.controller = self.start_controller()

    def add_site(self, name: KmeId, never: frozenset[KmeId] = frozenset()) -> SiteNow:
        """A site that is not connected yet."""
        pools = {relayed_pool(name, s.kme): s.kme for s in self.city.sites if s.kme != name}
        rule = AgentRule(pools, never)
        self.sites[name] = SiteNow(name, rule, Agent(name, f"{name}-1", "poliqi test", rule, None))
        return self.sites[name]

    # ---------------------------------------------------------------- the controller

    def start_controller(self, log: list[bytes] | None = None) -> Controller:
        """A start on the log as it is; all streams to an earlier one are gone."""
        self.starts += 1
        if log is not None:
            self.log = log
        self.problem = None
        for site in self.sites.values():
            if site.connection is not None:
                self.cut_stream(site.name, tell_controller=False)
        self.controller = Controller(
            self.city, KmeId("control"), f"start-{self.starts}", tuple(self.log), self.now, self.wall_ns()
        )
        return self.controller

    def wall_ns(self) -> int:
        """The controller's clock."""
        return WALL_NS + round(self.now * 1e9)

    def plan(self) -> Allocation | None:
        """Solve what the controller asks, if it asks."""
        problem = self.controller.take_problem()
        if problem is None:
            return None
        allocation = allocate(problem)
        self.controller.planned(allocation, self.now)
        return allocation

    def plan_fast(self) -> None:
        """The same without a solver, for long random runs."""
        problem = self.controller.take_problem()
        if problem is not None:
            previous = problem.previous or Allocation((), {})
            self.controller.planned(fast_reroute(problem, previous), self.now)

    # ---------------------------------------------------------------- sites

    def observation(self, name: KmeId) -> Observation:
        """What a site's owner sees."""
        site = self.sites[name]
        reports = [self.link[n.link].report(n.link) for n in self.city.links if name in n.ends]
        pools = [
            self.pool_report(site, pool, peer, is_relayed=True)
            for pool, peer in site.rule.pools.items()
            if peer in self.city.site
        ]
        for link in self.city.links:
            if name in link.ends:
                other = link.ends[1] if link.ends[0] == name else link.ends[0]
                pools.append(self.pool_report(site, link.link, other, is_relayed=False))
        peers = [
            PeerReport(site=s.name, is_connected=s.is_alive and s.name not in site.deaf_to)
            for s in self.sites.values()
            if s.name != name
        ]
        return Observation(
            links=tuple(site.says.get(r.link, r) for r in reports),
            pools=tuple(pools),
            peers=tuple(peers),
            keys_delivered=site.keys_delivered,
            requests=site.keys_delivered,
            is_draining=site.is_draining,
        )

    @staticmethod
    def pool_report(site: SiteNow, pool: LinkId, peer: KmeId, *, is_relayed: bool) -> PoolReport:
        """One stock at one site."""
        free = site.free_bits.get(pool, 0 if is_relayed else 100_000)
        return PoolReport(
            pool=pool,
            peer=peer,
            is_relayed=is_relayed,
            free_bits=free,
            stored_bits=2 * free,
            capacity_bits=1 << 30,
            taken_bits=site.taken_bits.get(pool, 0),
            filled_bits=1 << 20,
        )

    def connect(self, name: str) -> None:
        """Open a stream from a site to the controller."""
        site = self.sites[KmeId(name)]
        if site.connection is not None:
            self.cut_stream(site.name)
        site.connection = self.controller.connected(site.name, self.now)
        site.agent.connected(self.now)
        self.take_out(site)

    def connect_all(self) -> None:
        """Every site that runs."""
        for site in self.sites.values():
            if site.is_alive:
                self.connect(site.name)

    def cut_stream(self, name: str, *, tell_controller: bool = True) -> None:
        """A stream breaks: what is on it is lost."""
        site = self.sites[KmeId(name)]
        connection, site.connection = site.connection, None
        site.to_agent.clear()
        site.to_controller.clear()
        if site.is_alive:
            site.agent.disconnected(self.now)
        if connection is not None and tell_controller:
            self.controller.disconnected(site.name, connection, self.now)

    def kill(self, name: str) -> None:
        """A site dies."""
        self.sites[KmeId(name)].is_alive = False
        self.cut_stream(name)

    def restart(self, name: str) -> None:
        """A site starts anew with what it kept; it is not connected."""
        site = self.sites[KmeId(name)]
        self.cut_stream(name)
        site.starts += 1
        site.is_alive = True
        site.routes = ()
        site.taken_bits.clear()
        site.keys_delivered = 0
        site.agent = Agent(site.name, f"{name}-{site.starts}", "poliqi test", site.rule, site.kept)

    def set_link(self, link: str, *, tell: bool = True, **changes: object) -> None:
        """A link changes at both ends; they say so at once."""
        self.link[LinkId(link)] = replace(self.link[LinkId(link)], **changes)  # type: ignore[arg-type]
        for end in self.city.link[LinkId(link)].ends:
            site = self.sites[end]
            if tell and site.is_alive:
                report = site.says.get(link, self.link[LinkId(link)].report(link))
                site.agent.light(report, self.now)

    # ---------------------------------------------------------------- time and frames

    def take_out(self, site: SiteNow) -> None:
        """What an agent wants kept is kept before its frames leave."""
        kept = site.agent.take_remembered()
        if kept is not None:
            site.kept = kept
        frames = site.agent.take_frames()
        if site.connection is not None:
            site.to_controller.extend(frames)
        routes = site.agent.take_routes()
        if routes is not None:
            site.routes = routes

    def deliver_to_controller(self, name: str) -> None:
        """One frame of a site arrives."""
        site = self.sites[KmeId(name)]
        if site.to_controller and site.connection is not None:
            frame = site.to_controller.popleft()
            try:
                self.controller.received(site.name, site.connection, frame, self.now, self.wall_ns())
            except ProtocolError:
                self.cut_stream(name)

    def deliver_to_agent(self, name: str) -> None:
        """One frame of the controller arrives."""
        site = self.sites[KmeId(name)]
        if site.to_agent and site.connection is not None and site.is_alive:
            try:
                site.agent.received(site.to_agent.popleft(), self.now)
            except ProtocolError:
                self.cut_stream(name)
            self.take_out(site)

    def controller_out(self) -> None:
        """The log is written, then frames leave."""
        self.log += self.controller.take_records()
        for name, frames in self.controller.take_frames().items():
            if self.sites[name].connection is not None:
                self.sites[name].to_agent.extend(frames)
        self.events += self.controller.take_events()

    def tick(self) -> None:
        """Everybody's time passes to `now`; agents look at their sites."""
        for site in self.sites.values():
            if site.is_alive:
                site.agent.observe(self.observation(site.name), self.now)
                site.agent.tick(self.now, self.wall_ns() + site.skew_ns)
                self.take_out(site)
        for name in self.controller.tick(self.now, self.wall_ns()):
            self.cut_stream(name)

    def settle(self, *, solve: bool = True) -> None:
        """All frames arrive, all questions are answered, until nothing moves; no time passes."""
        for _ in range(50):
            if solve:
                self.plan()
            else:
                self.plan_fast()
            self.controller_out()
            busy = [s for s in self.sites.values() if s.to_agent or s.to_controller]
            if not busy:
                return
            for site in busy:
                for _ in range(len(site.to_controller)):
                    self.deliver_to_controller(site.name)
                for _ in range(len(site.to_agent)):
                    self.deliver_to_agent(site.name)
        raise AssertionError("agents and controller never come to rest")

    def run(self, seconds: float, step_s: float = 0.5, *, solve: bool = True) -> None:
        """Time passes with everything arriving."""
        for _ in range(round(seconds / step_s)):
            self.now += step_s
            self.tick()
            self.settle(solve=solve)

    # ---------------------------------------------------------------- what tests ask

    def kinds(self) -> list[CityEventKind]:
        """Kinds of all events so far."""
        return [event.kind for event in self.events]

    def told(self, kind: CityEventKind) -> list[CityEvent]:
        """Events of a kind."""
        return [event for event in self.events if event.kind is kind]

    def paths(self, name: str, to: str) -> list[tuple[str, ...]]:
        """Paths over which a site fills its stock with another now."""
        pool = relayed_pool(KmeId(name), KmeId(to))
        return [path for route in self.sites[KmeId(name)].routes if route.pool == pool for path in route.paths]

    def log_records(self) -> list[dict[str, object]]:
        """The log, as any JSON reader sees it."""
        return [msgspec.json.decode(line) for line in self.log]

    def pairs(self) -> list[tuple[KmeId, KmeId]]:
        """Every pair of sites."""
        return list(combinations(sorted(self.sites), 2))


def started(city: City, never: dict[str, frozenset[KmeId]] | None = None) -> Rig:
    """A city in which every site is connected and has its routes."""
    rig = Rig(city, never)
    rig.connect_all()
    rig.tick()
    rig.settle()
    rig.run(1.0)
    return rig
