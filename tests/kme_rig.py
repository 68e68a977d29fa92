"""Key management of several sites in one thread: a store in memory, wires that can be cut, crashes and copies."""

from __future__ import annotations

import copy
import hashlib
from collections import deque
from dataclasses import dataclass, field, replace

from poliqi.base.errors import ProtocolError, StoreError
from poliqi.base.ids import KmeId, LinkId, SaeId
from poliqi.base.secret import SecretBytes
from poliqi.keys import marks as m
from poliqi.keys.grade import Grade, KeyOrigin
from poliqi.keys.graderule import GradeRule
from poliqi.keys.kme import Kme, PoolSettings
from poliqi.keys.policy import Application, Grant, KeyLimits, Policy
from poliqi.keys.requests import Accepted, Block, Delivered, KeyOrder, Ticket
from poliqi.keys.segment import SegmentState, block_of_number

PHOTONS = Grade(KeyOrigin.PHOTONS, "a proof", 1e-10, ())


class CountedEntropy:
    """Different bytes at every draw, the same in every run of a test."""

    source = "a counter, for tests"

    def __init__(self, seed: str) -> None:
        self._seed, self._count = seed, 0

    def draw(self, count: int) -> bytes:
        self._count += 1
        return hashlib.shake_128(f"{self._seed}/{self._count}".encode()).digest(count)


class MemoryStore:
    """A store that keeps what `apply` was told and nothing else; a deep copy of it is a disk image."""

    def __init__(self, instance: bytes) -> None:
        self.state = m.StoredState(instance, 0, (), 1)
        self.payloads: dict[int, bytes] = {}
        self.seen: set[tuple[str, bytes]] = set()
        self.audit: list[tuple[str, dict[str, object]]] = []
        self.broken = ""

    def image(self) -> MemoryStore:
        twin = MemoryStore(self.state.instance)
        s = self.state
        twin.state = replace(
            s,
            segments=[copy.copy(r) for r in s.segments],
            runs=[copy.copy(r) for r in s.runs],
            peers=dict(s.peers),
            secrets={k: SecretBytes(v.view()) for k, v in s.secrets.items()},
        )
        twin.payloads, twin.seen, twin.audit = dict(self.payloads), set(self.seen), list(self.audit)
        return twin

    def load(self, boot: bytes) -> m.StoredState:
        self.state = replace(
            self.state, generation=self.state.generation + 1, boots=(*self.state.boots, boot)[-64:]
        )
        return self.image().state

    def read(self, number: int) -> SecretBytes:
        if number not in self.payloads:
            raise StoreError(f"segment {number} is gone")
        return SecretBytes(self.payloads[number])

    def has_seen(self, pool: LinkId, block: bytes) -> bool:
        return (pool, block) in self.seen

    def apply(self, marks: list[m.Mark]) -> None:
        if self.broken:
            raise StoreError(self.broken)
        for mark in marks:
            self._apply(mark)

    def _apply(self, mark: m.Mark) -> None:
        s = self.state
        segments = {r.number: r for r in s.segments}
        runs = {r.key: r for r in s.runs}
        match mark:
            case m.Ingested(segment, payload):
                assert segment.number >= s.next_segment
                s.next_segment = segment.number + 1
                s.segments.append(replace(segment, state=SegmentState.STORED, leased=0))
                self.payloads[segment.number] = bytes(payload.view())
                self.seen.add((segment.pool, segment.name.block))
            case m.Readied(number):
                segments[number].state = SegmentState.READY
            case m.Leased(number, upto):
                if number in segments:
                    segments[number].leased = max(segments[number].leased, upto)
            case m.Owned(number, owner):
                segments[number].owner = owner
            case m.Dropped(number):
                s.segments = [r for r in s.segments if r.number != number]
                self.payloads.pop(number, None)
            case m.RunAdded(run):
                s.runs.append(copy.copy(run))
            case m.RunUsed(key, used, user, user_used):
                if key in runs:
                    runs[key].used, runs[key].user, runs[key].user_used = used, user, user_used
            case m.RunDropped(key):
                s.runs = [r for r in s.runs if r.key != key]
            case m.PeerRemembered(peer, memory):
                s.peers[peer] = memory
            case m.SecretKept(peer, name, secret):
                if secret is None:
                    s.secrets.pop((peer, name), None)
                else:
                    s.secrets[peer, name] = SecretBytes(secret.view())
            case m.Audited(event, detail):
                self.audit.append((event, detail))


@dataclass
class Site:
    """One running site."""

    kme: Kme
    store: MemoryStore
    inbox: deque[tuple[KmeId, int, bytes]] = field(default_factory=deque)
    dead: bool = False


class City:
    """Sites in a row of names, each pair that is told so sharing a pool "x-y"; everybody may talk to everybody."""

    def __init__(
        self, names: list[str], pools: list[tuple[str, str]], rule: GradeRule | None = None, **limits: object
    ) -> None:
        self.names = [KmeId(n) for n in names]
        self.rule = rule or GradeRule()
        self.pairs = [(KmeId(a), KmeId(b)) for a, b in pools]
        self.limits = KeyLimits(**limits)  # type: ignore[arg-type]
        self.now = 0.0
        self.boots = 0
        self.sites: dict[KmeId, Site] = {}
        self.wires: dict[frozenset[KmeId], tuple[int, int]] = {}
        for name in self.names:
            self.start(name, MemoryStore(hashlib.sha256(name.encode()).digest()[:16]))

    def policy(self, site: KmeId) -> Policy:
        saes = [Application(SaeId(f"sae-{n}{i}"), n) for n in self.names for i in (1, 2)]
        everyone = frozenset(a.sae for a in saes)
        return Policy(site, saes, [Grant(everyone, everyone, self.rule)], self.rule, self.limits)

    def settings(self, site: KmeId) -> list[PoolSettings]:
        return [
            PoolSettings(LinkId(f"{a}-{b}"), b if a == site else a, low_water=4096)
            for a, b in self.pairs
            if site in (a, b)
        ]

    def new_kme(self, name: KmeId, store: MemoryStore) -> Kme:
        self.boots += 1
        entropy = CountedEntropy(f"{name}/{self.boots}")
        stored = store.load(entropy.draw(16))
        return Kme(name, self.settings(name), self.policy(name), stored, store, entropy, self.now)

    def start(self, name: KmeId, store: MemoryStore) -> None:
        self.sites[name] = Site(self.new_kme(name, store), store)

    def kill(self, name: KmeId) -> MemoryStore:
        """kill -9: what was not committed is gone, peers see the connection end."""
        site = self.sites[name]
        site.dead = True
        for other in self.names:
            if frozenset((name, other)) in self.wires:
                self.cut(name, other)
        return site.store

    def join(self, a: str, b: str) -> None:
        """A stream between two sites."""
        one, two = KmeId(a), KmeId(b)
        if self.sites[one].dead or self.sites[two].dead:
            return
        self.wires[frozenset((one, two))] = (self.sites[one].kme.connected(two), self.sites[two].kme.connected(one))

    def joined(self, a: str, b: str) -> bool:
        return frozenset((KmeId(a), KmeId(b))) in self.wires

    def cut(self, a: str, b: str) -> None:
        """The stream breaks; frames on their way are lost."""
        one, two = KmeId(a), KmeId(b)
        self.wires.pop(frozenset((one, two)), None)
        for here, there in ((one, two), (two, one)):
            site = self.sites[here]
            site.inbox = deque(entry for entry in site.inbox if entry[0] != there)
            if not site.dead:
                link = site.kme.state.links[there]
                site.kme.disconnected(there, link.connection)

    def push(self, name: KmeId) -> bool:
        """Send what may leave, without any help of the disk."""
        site = self.sites[name]
        if site.dead:
            return False
        site.kme.flush(self.now)
        frames = site.kme.take_frames()
        for peer, listed in frames.items():
            if frozenset((name, peer)) in self.wires and not self.sites[peer].dead:
                for frame in listed:
                    self.sites[peer].inbox.append((name, self.sites[peer].kme.state.links[name].connection, frame))
        return bool(frames)

    def commit(self, name: KmeId) -> bool:
        """Make the marks durable and send what waited for them."""
        site = self.sites[name]
        if site.dead:
            return False
        pushed = self.push(name)
        marks, upto = site.kme.take_marks()
        if marks:
            site.store.apply(marks)
        site.kme.committed(upto)
        return self.push(name) or pushed or bool(marks)

    def deliver(self, name: KmeId) -> bool:
        site = self.sites[name]
        if site.dead or not site.inbox:
            return False
        sender, connection, frame = site.inbox.popleft()
        try:
            site.kme.received(sender, connection, frame, self.now)
        except ProtocolError as error:
            raise AssertionError(f"{name} from {sender}: {error}") from error
        return True

    def settle(self) -> None:
        """Run until nothing moves."""
        for _ in range(10_000):
            moved = [self.commit(n) for n in self.names] + [self.deliver(n) for n in self.names]
            if not any(moved):
                return
        raise AssertionError("the sites never come to rest")

    def tick(self, seconds: float) -> None:
        self.now += seconds
        for site in self.sites.values():
            if not site.dead:
                site.kme.tick(self.now)
        self.settle()

    # ---------------------------------------------------------------- shortcuts

    def block(self, a: str, b: str, number: int, size: int, grade: Grade = PHOTONS) -> bytes:
        """The same block at both ends of a pool."""
        pool = next(f"{x}-{y}" for x, y in self.pairs if {x, y} == {a, b})
        key = hashlib.shake_256(f"{pool} {number}".encode()).digest(size)
        for name in (KmeId(a), KmeId(b)):
            site = self.sites[name]
            if not site.dead:
                ticket = site.kme.ingest(Block(LinkId(pool), block_of_number(number), SecretBytes(key), grade))
                self.settle()
                assert isinstance(ticket.outcome, Accepted), ticket.outcome
        self.settle()
        return key

    def order(self, master: str, *slaves: str, number: int = 1, bits: int = 256) -> Ticket:
        names = tuple(SaeId(f"sae-{s}") for s in slaves)
        kme = self.sites[KmeId(master[:-1])].kme
        return kme.order(KeyOrder(SaeId(f"sae-{master}"), names, number, bits), self.now)

    def fetch(self, slave: str, master: str, ids: list[bytes]) -> Ticket:
        kme = self.sites[KmeId(slave[:-1])].kme
        return kme.fetch(SaeId(f"sae-{slave}"), SaeId(f"sae-{master}"), ids, self.now)

    def exchange(self, master: str, slave: str, number: int = 1, bits: int = 256) -> tuple[Delivered, Delivered]:
        """Keys ordered at one site and fetched at the other."""
        ordered = self.order(master, slave, number=number, bits=bits)
        self.settle()
        assert isinstance(ordered.outcome, Delivered), ordered.outcome
        fetched = self.fetch(slave, master, [k.key_id for k in ordered.outcome.keys])
        self.settle()
        assert isinstance(fetched.outcome, Delivered), fetched.outcome
        return ordered.outcome, fetched.outcome
