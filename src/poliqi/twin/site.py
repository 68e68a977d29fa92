"""A site of a twin: its key management and its agent, driven as the real process drives them, and its disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from poliqi.base.errors import StoreError
from poliqi.base.ids import KmeId, SaeId
from poliqi.control.agent import Agent, AgentRule, Observation
from poliqi.control.messages import LinkReport, PeerReport, PoolReport
from poliqi.keys.desk_state import EventKind, KmeEvent
from poliqi.keys.kme import Kme, SharedPool
from poliqi.keys.marks import Mark
from poliqi.keys.policy import Policy
from poliqi.keys.requests import Block, KeyOrder, Ticket
from poliqi.twin.clock import Clock
from poliqi.twin.invariants import Watch
from poliqi.twin.marked import MarkedEntropy, stretch
from poliqi.twin.network import Network, Stream
from poliqi.twin.store import MemoryStore

__all__ = ["Plan", "SiteSees", "TwinSite"]

_COMMIT_S: Final = 1e-3
"""How long a disk takes to make marks durable."""
_WALL_NS: Final = 1_750_000_000_000_000_000
"""What wall clocks show when a twin begins."""
_REPORT_S: Final = 1.0
_STOPPING_S: Final = 0.5
_LEAST_TICK_S: Final = 1e-3
_OF_PEERS: Final = frozenset({EventKind.PEER_UP, EventKind.PEER_DOWN})


@dataclass(frozen=True, slots=True)
class Plan:
    """How a site is set up."""

    name: KmeId
    pools: tuple[SharedPool, ...]
    peers: tuple[KmeId, ...]
    policy: Policy
    rule: AgentRule


class SiteSees(Protocol):
    """What the world around a site does for it."""

    def links_of(self, site: KmeId) -> tuple[LinkReport, ...]:
        """What the devices at this site say of their light."""
        ...

    def happened(self, site: KmeId, event: KmeEvent) -> None:
        """An event of the site's key management."""
        ...

    def told(self, site: KmeId, frame: bytes) -> None:
        """The controller said something to the site."""
        ...

    def stopped(self, site: KmeId, reason: str) -> None:
        """The site serves nothing any more."""
        ...


class TwinSite:
    """One site through all its starts. Frames of its agent to `controller` may be changed by `lie`."""

    def __init__(
        self,
        plan: Plan,
        seed: int,
        clock: Clock,
        network: Network,
        watch: Watch,
        world: SiteSees,
        tick_s: float,
    ) -> None:
        self.name: str = plan.name
        self.site: Final = plan.name
        self.plan: Final = plan
        self.store: Final = MemoryStore(stretch(f"{seed}/{plan.name}/store", 16))
        self.is_alive = False
        self.skew_s = 0.0
        self.lie: Callable[[bytes], bytes] | None = None
        self.starts = 0
        self.kme: Kme
        self.agent: Agent
        self.requests = 0
        self.refused = 0
        self._seed: Final = seed
        self._clock: Final = clock
        self._network: Final = network
        self._watch: Final = watch
        self._world: Final = world
        self._tick_s: Final = tick_s
        self._remembered: bytes | None = None
        self._streams: Final[dict[str, Stream]] = {}
        self._control: Stream | None = None
        self._is_writing = self._is_failed = self._will_look = False
        self._observed_at = float("-inf")
        self._asked: Final[dict[Ticket, tuple[float, str]]] = {}

    # ---------------------------------------------------------------- life

    def start(self) -> None:
        """Start the process on what is on the disk."""
        self.starts += 1
        entropy = MarkedEntropy(self._seed, f"{self.name}/{self.starts}")
        boot = entropy.draw(16)
        now, plan = self._clock.now, self.plan
        stored = self.store.load(boot)
        self.kme = Kme(plan.name, plan.pools, plan.policy, stored, self.store, entropy, now, plan.peers)
        self.agent = Agent(plan.name, boot.hex(), "twin", plan.rule, self._remembered)
        self._is_writing = self._is_failed = self._will_look = False
        self._observed_at = float("-inf")
        self.is_alive = True
        self._next(self.starts, 0.0)

    def kill(self, *, is_noticed: bool, patience_s: float = 5.0, is_written: bool = False) -> None:
        """End the process: what was not on the disk is gone; what was being written may have come through."""
        if not self.is_alive:
            return
        if is_written and self._is_writing and not self.store.broken:
            self.store.apply(self._under_way)
        self.is_alive = False
        self._streams.clear()
        self._control = None
        self._asked.clear()
        self._network.lose(self, is_noticed=is_noticed, patience_s=patience_s)
        self.kme.close()

    # ---------------------------------------------------------------- what applications and links do

    def order(self, order: KeyOrder) -> Ticket:
        """Ask for keys. The ticket of a process that ends stays without an outcome: its connection ended."""
        self.requests += 1
        return self._ask(self.kme.order(order, self._clock.now), f"an order at {self.name}")

    def fetch(self, caller: str, master: str, key_ids: list[bytes]) -> Ticket:
        """Come for keys by their names."""
        self.requests += 1
        return self._ask(
            self.kme.fetch(SaeId(caller), SaeId(master), key_ids, self._clock.now), f"a fetch at {self.name}"
        )

    def _ask(self, ticket: Ticket, what: str) -> Ticket:
        if ticket.outcome is None:
            self._asked[ticket] = self._clock.now, what
        self.kick()
        return ticket

    def ingest(self, block: Block) -> Ticket:
        """A device brings a block."""
        ticket = self.kme.ingest(block)
        self.kick()
        return ticket

    def light(self, report: LinkReport) -> None:
        """A device says at once that its light changed."""
        if self.is_alive:
            self.agent.light(report, self._clock.now)
            self._tick_agent()

    # ---------------------------------------------------------------- streams

    def began(self, stream: Stream) -> None:
        """A stream stands; a newer one takes the place of the one before."""
        if not self.is_alive:
            return
        other = stream.other(self).name
        if other not in self._peers:
            self._control = stream
            self.agent.connected(self._clock.now)
            self._flush_agent()
            return
        before = self._streams.get(other)
        self._streams[other] = stream
        stream.number[self.name] = self.kme.connected(KmeId(other))
        if before is not None:
            before.close(self)
        self.kick()

    @property
    def _peers(self) -> Mapping[KmeId, object]:
        return self.kme.state.links

    def heard(self, stream: Stream, frame: bytes) -> None:
        """A frame of a peer, or of the controller."""
        now = self._clock.now
        if stream is self._control:
            self.agent.received(frame, now)
            self._world.told(self.site, frame)
            self._flush_agent()
            return
        other = stream.other(self).name
        if self._streams.get(other) is stream:
            self.kme.received(KmeId(other), stream.number[self.name], frame, now)
            self.kick()

    def ended(self, stream: Stream) -> None:
        """A stream is gone."""
        if not self.is_alive:
            return
        if stream is self._control:
            self._control = None
            self.agent.disconnected(self._clock.now)
            self._flush_agent()
            return
        other = stream.other(self).name
        if self._streams.get(other) is stream:
            del self._streams[other]
            self.kme.disconnected(KmeId(other), stream.number[self.name])
            self._observed_at = float("-inf")  # a peer that is gone is news
            self.kick()

    # ---------------------------------------------------------------- the key management's owner

    def kick(self) -> None:
        """Something happened: send what may leave, make durable what must be."""
        kme = self.kme
        kme.flush(self._clock.now)
        if not self._is_writing and not self._is_failed:
            marks, upto = kme.take_marks()
            if marks:
                self._is_writing = True
                self._under_way: list[Mark] = marks
                self._clock.after(_COMMIT_S, partial(self._written, self.starts, marks, upto))
            else:
                kme.committed(upto)
        self._send()
        for event in kme.take_events():
            self.agent.notice(event.kind, event.text, event.peer, self._clock.now)
            self._world.happened(self.site, event)
            if event.kind in _OF_PEERS and self._tick_s > _REPORT_S and not self._will_look:
                self._will_look = True
                self._clock.after(_REPORT_S, partial(self._look, self.starts))
        self._watch.stock(kme)
        self._flush_agent()

    def _written(self, start: int, marks: list[Mark], upto: int) -> None:
        if start != self.starts or not self.is_alive:
            return
        self._is_writing = False
        try:
            self.store.apply(marks)
        except StoreError as error:
            self._fail(f"the key store failed: {error}")
            return
        self.kme.committed(upto)
        self.kick()

    def _fail(self, reason: str) -> None:
        """Serve nothing any more and drop every peer, as the real process does; the agent says why."""
        self._is_failed = True
        self.kme.fail(reason)
        self.agent.notice("store-failed", reason, None, self._clock.now)
        for stream in list(self._streams.values()):
            stream.close(self)
        self._world.stopped(self.site, reason)
        self._flush_agent()
        self._clock.after(_STOPPING_S, partial(self._stop, self.starts))

    def _stop(self, start: int) -> None:
        """A process whose store failed ends; whoever waited for an answer sees the connection end."""
        if start == self.starts:
            self.kill(is_noticed=True)

    def _send(self) -> None:
        for peer, frames in self.kme.take_frames().items():
            stream = self._streams.get(peer)
            if stream is not None:
                for frame in frames:
                    stream.send(self, frame)

    # ---------------------------------------------------------------- the agent's owner

    def _flush_agent(self) -> None:
        agent = self.agent
        routes = agent.take_routes()
        if routes is not None:
            self.kme.fill(routes)
        kept = agent.take_remembered()
        if kept is not None:
            self._remembered = kept
        frames = agent.take_frames()
        if self._control is not None:
            for frame in frames:
                told = frame if self.lie is None else self.lie(frame)
                self._watch.told(told, f"what {self.name} tells the controller")
                self._control.send(self, told)

    def _look(self, start: int) -> None:
        """Peers came or went: the controller hears of it within a second, however slow the pace is."""
        if start == self.starts and self.is_alive:
            self._will_look = False
            self._observe()
            self._tick_agent()

    def _tick_agent(self) -> None:
        now = self._clock.now
        self.agent.tick(now, _WALL_NS + round((now + self.skew_s) * 1e9))
        self._flush_agent()

    def _observe(self) -> None:
        state = self.kme.state
        pools = tuple(
            PoolReport(
                pool=pool.link_id,
                peer=pool.peer,
                is_relayed=pool.is_relayed,
                free_bits=8 * pool.own_bytes,
                stored_bits=8 * pool.stored_bytes,
                capacity_bits=8 * pool.capacity,
                taken_bits=8 * pool.taken_bytes,
                filled_bits=8 * pool.filled_bytes,
            )
            for pool in state.stock.pools.values()
        )
        peers = tuple(PeerReport(site=link.kme, is_connected=link.is_live) for link in state.links.values())
        seen = Observation(
            self._world.links_of(self.site),
            pools,
            peers,
            state.counts.get("keys_delivered", 0),
            self.requests,
            self.refused,
        )
        self.agent.observe(seen, self._clock.now)

    # ---------------------------------------------------------------- time

    def _next(self, start: int, wait_s: float) -> None:
        self._clock.after(wait_s, partial(self._tick, start))

    def _tick(self, start: int) -> None:
        if start != self.starts or not self.is_alive:
            return
        now = self._clock.now
        if not self._is_failed:
            for stuck in self.kme.tick(now):
                stream = self._streams.get(stuck)
                if stream is not None:
                    stream.close(self)
        if now - self._observed_at >= _REPORT_S - _LEAST_TICK_S:
            self._observed_at = now
            self._observe()
        self.agent.tick(now, _WALL_NS + round((now + self.skew_s) * 1e9))
        self.kick()
        self._check_answers(now)
        due = now + self._tick_s
        if self._tick_s < _REPORT_S:
            due = min(due, self.agent.next_timeout(now))
        self._next(start, max(_LEAST_TICK_S, due - now))

    def _check_answers(self, now: float) -> None:
        """Nobody waits too long. Tickets are kept in the order in which they were asked."""
        for ticket in [t for t in self._asked if t.outcome is not None]:
            del self._asked[ticket]
        for since, what in self._asked.values():
            self._watch.answered(now - since, what)
            break
