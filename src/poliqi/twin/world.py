"""A twin: a whole city in one thread, from a scenario and a seed; its log follows from the two to the last byte."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations
from typing import Any, Final

from poliqi.base.errors import ProtocolError
from poliqi.base.ids import KmeId, LinkId
from poliqi.control.agent import AgentRule
from poliqi.control.city import City, relayed_pool
from poliqi.control.events import CityEvent, event_line
from poliqi.control.messages import LightState, LinkReport, Table, decode
from poliqi.keys.desk_state import EventKind, KmeEvent
from poliqi.keys.grade import KeyOrigin
from poliqi.keys.graderule import GradeRule
from poliqi.keys.kme import SharedPool
from poliqi.keys.policy import Application, Grant, KeyLimits, Policy
from poliqi.twin.brain import Brain
from poliqi.twin.clock import Clock, generator
from poliqi.twin.faults import Undo, aim, apply_fault, expected
from poliqi.twin.heal import Healing
from poliqi.twin.invariants import InvariantBroken, Watch
from poliqi.twin.light import Condition
from poliqi.twin.load import Applications, sae_of
from poliqi.twin.network import Network
from poliqi.twin.plant import Plant
from poliqi.twin.result import Alarm, Injected, Point, Result
from poliqi.twin.scenario import Fault, FaultKind, Scenario
from poliqi.twin.site import Plan, TwinSite

__all__ = ["TwinWorld", "run"]

_MOST_SITES_ALL_PAIRS: Final = 16
_POINTS: Final = 400
_VIEWED: Final = 10
"""Samples from one look at what pages would show to the next."""
_ROOM: Final = 4
"""How many times its usual level a stock may hold: one end may use little of its share for long."""
_SWAP_S: Final = 2.0
_PROBE_S: Final = 1.5
_PROBES: Final = "probes"
_PATIENCE_S: Final = 5.0
_RULE: Final = GradeRule(frozenset({KeyOrigin.SIMULATED}))
_TOLD: Final = frozenset(EventKind) - {EventKind.RELAY_DONE, EventKind.LOW_STOCK}
"""Events of a site's key management that stand in the log."""


def run(
    scenario: Scenario,
    seed: int,
    write: Callable[[str], None] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Result:
    """Run a scenario to its end. A broken invariant stands in the result.

    `write` gets the log line by line, `progress` the virtual time (s), a hundred times in all.
    """
    return TwinWorld(scenario, seed, write, progress).run()


class TwinWorld:
    """Everything that a scenario has, and what happens to it."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        write: Callable[[str], None] | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self.scenario: Final = scenario
        self.city: Final[City] = scenario.city
        self.clock: Final = Clock()
        self.watch: Final = Watch()
        self.network: Final = Network(self.clock, generator(seed, "network"), scenario.delay_s, scenario.jitter_s)
        self.result: Final = Result(scenario.name, seed, scenario.duration_s)
        self._seed: Final = seed
        self._write: Final = write
        self._progress: Final = progress
        self._hash: Final = hashlib.sha256()
        self._dice: Final = generator(seed, "faults")
        self._pairs: Final = self._pairs_of(scenario)
        self.sites: Final = {
            plan.name: TwinSite(plan, seed, self.clock, self.network, self.watch, self, scenario.pace.tick_s)
            for plan in self._plans()
        }
        self.plant: Final = Plant(scenario, seed, self.clock, self.network, self.sites)
        self.brains: Final[dict[str, Brain]] = {}
        self._obeys: Final[dict[KmeId, str]] = {}
        """Which controller each site calls."""
        if scenario.controller:
            self._add_brain("controller")
        self.applications: Final = Applications(
            self.city.demands, scenario.load, self.sites, self.clock, generator(seed, "load"), self.watch
        )
        self.healing: Final = Healing(self.city)
        self._undo: Final[dict[int, Undo]] = {}
        self._events: Final[Counter[str]] = Counter()
        self._is_over = False

    # ---------------------------------------------------------------- what there is

    @staticmethod
    def _pairs_of(scenario: Scenario) -> list[tuple[KmeId, KmeId]]:
        if scenario.pairs is not None:
            return [*scenario.pairs]
        names = sorted(s.kme for s in scenario.city.sites)
        if len(names) <= _MOST_SITES_ALL_PAIRS:
            return list(combinations(names, 2))
        return sorted({(min(d.ends), max(d.ends)) for d in scenario.city.demands})

    def _plans(self) -> list[Plan]:
        """Every site: direct stocks of its links, stocks that relays fill, applications that may have keys."""
        s = self.scenario
        names = [site.kme for site in self.city.sites]
        pools: dict[KmeId, list[SharedPool]] = {name: [] for name in names}
        relayed: dict[KmeId, dict[LinkId, KmeId]] = {name: {} for name in names}
        for link in self.city.links:
            for here, there in (link.ends, link.ends[::-1]):
                pools[here].append(SharedPool(link.link, there, _ROOM * s.capacity, s.low_water))
        for a, b in self._pairs:
            pool = relayed_pool(a, b)
            for here, there in ((a, b), (b, a)):
                pools[here].append(SharedPool(pool, there, _ROOM * s.capacity, s.low_water, is_relayed=True))
                relayed[here][pool] = there
        urgent = KeyLimits(max_number=1 << 12, priority=7)
        usual = KeyLimits(max_number=1 << 12, priority=1)
        saes = {
            name: [
                Application(sae_of(name, priority), name, urgent if priority == 7 else usual) for priority in (3, 7)
            ]
            for name in names
        }
        plans: list[Plan] = []
        for name in names:
            peers = tuple(dict.fromkeys(p.peer for p in pools[name]))
            known = [sae for site in (name, *peers) for sae in saes[site]]
            everyone = frozenset(a.sae for a in known)
            policy = Policy(name, known, [Grant(everyone, everyone, _RULE)], _RULE, usual)
            rule = AgentRule(relayed[name], block_bytes=min(4096, s.low_water))
            plans.append(Plan(name, tuple(pools[name]), peers, policy, rule))
        return plans

    def _add_brain(self, name: str) -> Brain:
        brain = Brain(
            name,
            self.city,
            self._seed,
            self.clock,
            self.network,
            self.watch,
            self._said,
            self.scenario.pace.tick_s,
        )
        self.brains[name] = brain
        for site in self.sites.values():
            self._obeys.setdefault(site.site, name)
            self.network.keep_calling(site, brain, partial(self._is_called, site.site, name))
        return brain

    def _is_called(self, site: KmeId, brain: str) -> bool:
        return self._obeys.get(site) == brain

    # ---------------------------------------------------------------- running

    def run(self) -> Result:
        """To the end, or to the first invariant that breaks."""
        result = self.result
        try:
            self._begin()
            self.clock.run(self.scenario.duration_s)
            self._mend()
            self._recover()
        except InvariantBroken as broken:
            result.broken = f"at {self.clock.now:.6f} s: {broken}"
        except ProtocolError as error:
            result.broken = f"at {self.clock.now:.6f} s: honest processes do not understand each other: {error}"
        except Exception as error:
            result.broken = f"at {self.clock.now:.6f} s: {type(error).__name__}: {error}"
            result.trace = error
        self._close()
        return result

    def _begin(self) -> None:
        s = self.scenario
        self._log("begin", scenario=s.name, seed=self._seed, sites=len(self.sites), duration_s=s.duration_s)
        for site in self.sites.values():
            site.start()
        for brain in self.brains.values():
            brain.start()
        for site in self.sites.values():
            for peer in site.plan.peers:
                if site.site < peer:
                    self.network.keep_calling(site, self.sites[peer])
        self._every(s.pace.light_s, self.plant.tick)
        self._every(s.pace.watch_s, self._look_at_all)
        self._every(max(s.pace.watch_s, s.duration_s / _POINTS), self._sample)
        progress = self._progress
        if progress is not None:
            self._every(s.duration_s / 100, lambda: progress(self.clock.now))
        for fault in s.faults:
            self._plan_fault(fault)

    def _every(self, seconds: float, action: Callable[[], None]) -> None:
        def again() -> None:
            action()
            self.clock.after(seconds, again)

        self.clock.after(seconds, again)

    def _look_at_all(self) -> None:
        for site in self.sites.values():
            if site.is_alive:
                self.watch.books(site.kme)

    def _sample(self) -> None:
        """A point of the plot, a line of the log, a look at what pages would show."""
        stock: dict[tuple[KmeId, KmeId], int] = {}
        for site in self.sites.values():
            if site.is_alive:
                for pool in site.kme.state.stock.pools.values():
                    pair = (site.site, pool.peer) if site.site < pool.peer else (pool.peer, site.site)
                    stock[pair] = stock.get(pair, 0) + 8 * pool.own_bytes
        lit = [lit for lit in self.plant.links.values() if lit.light.reading.state is LightState.LIT]
        rate = sum(one.light.reading.key_rate_bps or 0.0 for one in lit)
        self.result.points.append(Point(self.clock.now, rate, stock, frozenset(one.link.link for one in lit)))
        if len(self.result.points) % _VIEWED == 0:
            for brain in self.brains.values():
                if brain.is_alive:
                    brain.view()
        self._log(
            "sample",
            rate_bps=round(rate, 3),
            keys=self.watch.delivered,
            frames=self.network.frames,
            said=self.network.digest,
            stock={f"{a} {b}": bits for (a, b), bits in sorted(stock.items())},
        )

    def _log(self, what: str, **more: Any) -> None:
        line = json.dumps({"t": round(self.clock.now, 6), "what": what, **more}, ensure_ascii=False)
        self.watch.told(line.encode(), "the log")
        self._hash.update(line.encode() + b"\n")
        if self._write is not None:
            self._write(line)

    # ---------------------------------------------------------------- the end

    def _mend(self) -> None:
        """Undo everything, start whatever is down."""
        self._is_over = True
        for undo in [*self._undo.values()]:
            undo()
        self._undo.clear()
        self._log("mended")

    def _recover(self) -> None:
        """Keys flow between all pairs again, in either direction, before the scenario's time to settle is over."""
        began = self.clock.now
        missing = {(a, b) for pair in self._wanted_pairs() for a, b in (pair, pair[::-1])}
        while missing:
            if self.clock.now - began > self.scenario.settle_s:
                pairs = ", ".join(f"{a} to {b}" for a, b in sorted(missing)[:4])
                raise InvariantBroken(
                    f"{self.scenario.settle_s:g} s after everything was mended no keys flow from {pairs} "
                    f"({len(missing)} pairs in all)"
                )
            self.clock.run(self.clock.now + _PROBE_S)
            for a, b in sorted(missing):
                self.applications.exchange(_PROBES, a, b, 1, done=partial(missing.discard, (a, b)))
            self.clock.run(self.clock.now + _PROBE_S)
        self.result.recovered_s = self.clock.now - began
        self.applications.stop()
        self._look_at_all()
        self._log("end", keys=self.watch.delivered, said=self.network.digest)

    def _wanted_pairs(self) -> list[tuple[KmeId, KmeId]]:
        """Pairs between which a way exists at all; without a controller only neighbours."""
        direct = sorted({(min(link.ends), max(link.ends)) for link in self.city.links})
        return sorted({*direct, *self._pairs}) if self.scenario.controller else direct

    def _close(self) -> None:
        r, watch = self.result, self.watch
        r.digest = self._hash.hexdigest()
        r.steps, r.frames = self.clock.steps, self.network.frames
        for lit in self.plant.links.values():
            r.blocks += lit.light.blocks
            r.secret_bits += lit.light.secret_bits
            r.surplus_bits += lit.surplus_bits
        r.served = self.applications.served
        r.events = dict(sorted(self._events.items()))
        r.keys_delivered, r.keys_fetched, r.scanned_bytes = watch.delivered, watch.fetched, watch.scanned_bytes

    # ---------------------------------------------------------------- what sites and controllers say

    def links_of(self, site: KmeId) -> tuple[LinkReport, ...]:
        """What the devices at a site say."""
        return self.plant.reports(site)

    def happened(self, site: KmeId, event: KmeEvent) -> None:
        """An event of a site's key management."""
        self._events[f"site: {event.kind}"] += 1
        if event.kind in _TOLD:
            self._log("site", site=site, kind=event.kind.value, text=event.text)

    def told(self, site: KmeId, frame: bytes) -> None:
        """The controller said something to a site."""
        message = decode(frame) if b'"table"' in frame[:64] else None
        if isinstance(message, Table):
            self.healing.told(site, message, self.clock.now)

    def stopped(self, site: KmeId, reason: str) -> None:
        """A site serves nothing any more."""
        self._log("stopped", site=site, text=reason)

    def _said(self, brain: str, events: list[CityEvent]) -> None:
        for event in events:
            line = event_line(event)
            self._events[event.kind.value] += 1
            self._log("city", by=brain, kind=event.kind.value, text=line)
            if event.kind.value == "alarm-raised":
                self._alarm(event, line)

    def _alarm(self, event: CityEvent, line: str) -> None:
        names = {str(n) for n in (event.site, event.link, event.span, event.demand) if n}
        names |= {str(value) for value in event.values.values() if isinstance(value, str)}
        alarm = Alarm(self.clock.now, str(event.values.get("cause", "")), frozenset(names), line)
        self.result.alarms.append(alarm)
        for injected in self.result.injected:
            if injected.first_alarm is None:
                injected.first_alarm = alarm
            if injected.named_s is None and any(alarm.names(e) for e in injected.expected):
                injected.named_s = alarm.at_s - injected.at_s

    # ---------------------------------------------------------------- faults: when

    def _plan_fault(self, fault: Fault) -> None:
        first_s = fault.at_s
        if fault.every_s is not None:
            first_s += float(self._dice.exponential(fault.every_s))
        self.clock.at(first_s, partial(self._strike, fault))

    def _strike(self, fault: Fault) -> None:
        if self._is_over:
            return
        aimed = aim(fault, self.city, self._dice)
        number = len(self.result.injected)
        injected = Injected(aimed, self.clock.now, expected(aimed))
        self.result.injected.append(injected)
        self._log("fault", number=number, **_words(aimed))
        self._undo[number] = apply_fault(aimed, self, self._dice)
        self.healing.broke(injected, self._dead_hops(), self.clock.now)
        if aimed.for_s is not None:
            self.clock.after(aimed.for_s, partial(self._over, number))
        if fault.every_s is not None:
            self.clock.after(float(self._dice.exponential(fault.every_s)), partial(self._strike, fault))

    def _over(self, number: int) -> None:
        undo = self._undo.pop(number, None)
        if undo is not None:
            undo()
            self.result.injected[number].until_s = self.clock.now
            self.healing.mended(self._dead_hops())
            self._log("repaired", number=number)

    def _dead_hops(self) -> set[frozenset[KmeId]]:
        """Pairs of neighbours none of whose links is of use, and everything around a site without power."""
        alive: dict[frozenset[KmeId], bool] = {}
        for lit in self.plant.links.values():
            hop = frozenset(lit.link.ends)
            alive[hop] = alive.get(hop, False) or not lit.light.condition.is_useless
        return {hop for hop, is_alive in alive.items() if not is_alive}

    # ---------------------------------------------------------------- faults: how

    def later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Do something in a while."""
        self.clock.after(delay_s, action)

    def effect(self, link: LinkId, change: Callable[[Condition], Condition]) -> Undo:
        """Change a link's light until undone."""
        return self.plant.effect(link, change)

    def device(self, link: LinkId, site: KmeId) -> Undo:
        """Stop the device of a link's end."""
        return self.plant.stop_device(link, site)

    def power(self, site: KmeId) -> Undo:
        """Take a site's power: its process ends, unnoticed by its peers, and its devices stand still."""
        devices = self.plant.stop_devices(site)
        process = self._down(site, is_noticed=False)

        def undo() -> None:
            devices()
            process()

        return undo

    def kill(self, site: KmeId) -> Undo:
        """Kill a site's process; its streams end."""
        return self._down(site, is_noticed=True)

    def _down(self, name: KmeId, *, is_noticed: bool) -> Undo:
        site = self.sites[name]
        site.kill(is_noticed=is_noticed, patience_s=_PATIENCE_S, is_written=bool(self._dice.random() < 0.5))

        def undo() -> None:
            if not site.is_alive:
                site.start()

        return undo

    def break_store(self, site: KmeId) -> Undo:
        """Let a site's disk fail: its process ends with the next write, and is started when the disk is mended.

        So that there is a write, somebody asks for a key now and then.
        """
        there = self.sites[site]
        there.store.broken = "no space left on the disk"
        peers = there.plan.peers

        def write(turn: int) -> None:
            if there.store.broken and there.is_alive and peers:
                self.applications.exchange(_PROBES, site, peers[turn % len(peers)], 1)
                self.clock.after(_PROBE_S, partial(write, turn + 1))

        write(0)

        def undo() -> None:
            there.store.broken = ""
            there.kill(is_noticed=True)
            there.start()

        return undo

    def kill_controller(self) -> Undo:
        """Kill the controller."""
        brain = self.brains.get("controller")
        if brain is None or not brain.is_alive:
            return lambda: None
        brain.kill()
        return lambda: None if brain.is_alive else brain.start()

    def rival(self) -> Undo:
        """A second controller is started with a copy of the log; each site reaches now the one, now the other.

        When it is found it is stopped, and the first one is started anew.
        """
        first = self.brains.get("controller")
        if first is None or not first.is_alive or "rival" in self.brains:
            return lambda: None
        second = self._add_brain("rival")
        second.log = [*first.log]
        second.start()
        names = sorted(self.sites)

        def swap() -> None:
            if "rival" in self.brains:
                name = names[int(self._dice.integers(len(names)))]
                before = self._obeys[name]
                self._obeys[name] = first.name if before == second.name else second.name
                self.network.break_stream(name, before)
                self.clock.after(_SWAP_S, swap)

        for _ in names:
            swap()

        def undo() -> None:
            second.kill()
            del self.brains[second.name]
            for site in self.sites.values():
                self.network.stop_calling(site, second)
                self._obeys[site.site] = first.name
            first.kill()
            first.log = max(first.log, second.log, key=len)
            first.start()

        return undo

    def part(self, sites: Sequence[KmeId], *, only_controller: bool) -> Undo:
        """Keep sites apart from the others and the controller, or from the controller alone."""
        others = [name for name in self.sites if name not in sites]
        there = [*self.brains] if only_controller else [*others, *self.brains]
        pairs = [frozenset((str(a), str(b))) for a in sites for b in there]
        self.network.part(pairs, _PATIENCE_S)
        self.plant.renew_all()

        def undo() -> None:
            self.network.heal(pairs)
            self.plant.renew_all()

        return undo

    def break_streams(self, site: KmeId) -> None:
        """Break all streams of a site."""
        for other in [*self.sites, *self.brains]:
            self.network.break_stream(site, other)

    def grow(self, demand: str, factor: float) -> Undo:
        """Let a demand grow."""
        self.applications.factor[demand] *= factor

        def undo() -> None:
            self.applications.factor[demand] /= factor

        return undo

    def lie(self, site: KmeId, lie: Callable[[bytes], bytes]) -> Undo:
        """Let a site's reports be changed."""
        self.sites[site].lie = lie

        def undo() -> None:
            self.sites[site].lie = None

        return undo

    def skew(self, site: KmeId, skew_s: float) -> Undo:
        """Set a site's wall clock wrong."""
        self.sites[site].skew_s += skew_s

        def undo() -> None:
            self.sites[site].skew_s -= skew_s

        return undo


def _words(fault: Fault) -> dict[str, Any]:
    """What a log line says of an aimed fault."""
    kind = fault.kind
    words: dict[str, Any] = {"kind": str(kind)}
    for name in ("span", "group", "site", "link", "demand"):
        value = getattr(fault, name)
        if value is not None:
            words[name] = str(value)
    if kind is FaultKind.PARTITION:
        words["sites"] = list(fault.sites)
    figures = {
        FaultKind.EAVESDROPPER: ("attack", "fraction"),
        FaultKind.DRIFT: ("error",),
        FaultKind.TAP: ("loss_db",),
        FaultKind.RAMAN: ("launch_dbm",),
        FaultKind.GROWTH: ("factor",),
        FaultKind.CLOCK: ("skew_s",),
    }
    words |= {name: getattr(fault, name) for name in figures.get(kind or FaultKind.CUT, ())}
    return words
