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
from poliqi.keys.kme import Kme, SharedPool
from poliqi.keys.messages import (
    Give,
    Gone,
    Hello,
    Offers,
    PoolSecret,
    Promise,
    PromiseAnswer,
    Use,
    UseAnswer,
    VoidAnswer,
    decode,
)
from poliqi.keys.policy import Application, Grant, KeyLimits, Policy
from poliqi.keys.requests import Accepted, Block, Delivered, KeyOrder, Ticket
from poliqi.keys.run import RunKey
from poliqi.keys.segment import SegmentName, SegmentRecord, SegmentState, block_of_number

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
        self.had_runs: set[RunKey] = set()
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
        twin.had_runs = set(self.had_runs)
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

    def find(self, pool: str, block: bytes, part: int) -> SegmentRecord | None:
        """A segment by the name that both ends have for it."""
        name = SegmentName(block, part)
        return next((r for r in self.state.segments if r.pool == pool and r.name == name), None)

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
                self.had_runs.add(run.key)
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
            case m.NameUsed(space, name):
                self.seen.add((space, name))
            case m.Audited(event, detail):
                self.audit.append((event, detail))


@dataclass(eq=False)
class Site:
    """One running site. `waiting` is what a peer asked and what this site has not answered yet."""

    name: KmeId
    kme: Kme
    store: MemoryStore
    inbox: deque[tuple[KmeId, int, bytes]] = field(default_factory=deque)
    dead: bool = False
    promised: dict[tuple[KmeId, int], Promise] = field(default_factory=dict)
    uses: dict[tuple[KmeId, int], Use] = field(default_factory=dict)

    def hears(self, peer: KmeId, frame: bytes) -> None:
        """Remember what an answer will be about."""
        match decode(frame):
            case Promise() as promise:
                self.promised[peer, promise.batch] = promise
            case Use() as use:
                self.uses[peer, use.batch] = use
            case _:
                pass

    def says(self, peer: KmeId, frame: bytes) -> None:
        """What a site says must be on its disk when it says it."""
        match decode(frame):
            case Hello() as hello:
                assert hello.boots[-1] == self.store.state.boots[-1]
            case PoolSecret(pool, secret):
                kept = self.store.state.secrets.get((peer, f"pool {pool}"))
                assert kept is not None and kept.view() == secret, "a pool's secret was told before it was kept"
            case Promise(_, runs):
                for run in runs:
                    record = self.store.find(run.pool, run.block, run.part)
                    last = run.offset + run.size * run.count
                    assert record is None or record.leased >= last, "keys were promised beyond the lease on disk"
            case PromiseAnswer(batch, refused):
                for place, run in enumerate(self.promised[peer, batch].runs):
                    is_kept = RunKey(peer, run.number) in self.store.had_runs
                    assert is_kept or place in dict(refused), "keys were acknowledged that are not on disk"
            case UseAnswer(batch, refused):
                runs = {r.key: r for r in self.store.state.runs}
                for place, entry in enumerate(self.uses[peer, batch].entries):
                    run = runs.get(RunKey(self.name, entry.number))
                    mask = int.from_bytes(entry.mask, "little")
                    if run is not None and place not in refused:
                        assert mask & ~run.used == 0, "keys were granted that the disk has as unused"
            case Offers(entries):
                for entry in entries:
                    record = self.store.find(entry.pool, entry.block, entry.part)
                    assert self.store.has_seen(LinkId(entry.pool), entry.block), "a segment not on disk was offered"
                    assert record is None or record.leased >= entry.leased, "a lease was told before it was kept"
            case Gone(entries):
                assert not any(self.store.find(*entry) for entry in entries), "a segment said to be gone is there"
            case Give(entries):
                for entry in entries:
                    record = self.store.find(*entry)
                    assert record is None or record.owner == peer, "a segment was given and kept"
            case VoidAnswer(voided, _):
                left = {r.key for r in self.store.state.runs}
                assert not any(RunKey(peer, number) in left for number in voided)
            case _:
                pass


class City:
    """Sites in a row of names, each pair that is told so sharing a pool "x-y"; everybody may talk to everybody."""

    def __init__(
        self,
        names: list[str],
        pools: list[tuple[str, str]],
        rule: GradeRule | None = None,
        *,
        is_watched: bool = True,
        **limits: object,
    ) -> None:
        self.names = [KmeId(n) for n in names]
        self.rule = rule or GradeRule()
        self.pairs = [(KmeId(a), KmeId(b)) for a, b in pools]
        self.limits = KeyLimits(**limits)  # type: ignore[arg-type]
        self.is_watched = is_watched
        self.now = 0.0
        self.boots = 0
        self.sites: dict[KmeId, Site] = {}
        self.ghosts: list[Site] = []
        self.wires: dict[frozenset[KmeId], dict[KmeId, Site]] = {}
        for name in self.names:
            self.start(name, MemoryStore(hashlib.sha256(name.encode()).digest()[:16]))

    def policy(self, site: KmeId) -> Policy:
        saes = [Application(SaeId(f"sae-{n}{i}"), n) for n in self.names for i in (1, 2)]
        everyone = frozenset(a.sae for a in saes)
        return Policy(site, saes, [Grant(everyone, everyone, self.rule)], self.rule, self.limits)

    def settings(self, site: KmeId) -> list[SharedPool]:
        return [
            SharedPool(LinkId(f"{a}-{b}"), b if a == site else a, low_water=4096)
            for a, b in self.pairs
            if site in (a, b)
        ]

    def new_site(self, name: KmeId, store: MemoryStore) -> Site:
        self.boots += 1
        entropy = CountedEntropy(f"{name}/{self.boots}")
        stored = store.load(entropy.draw(16))
        kme = Kme(name, self.settings(name), self.policy(name), stored, store, entropy, self.now)
        return Site(name, kme, store)

    def start(self, name: KmeId, store: MemoryStore) -> None:
        self.sites[name] = self.new_site(name, store)

    def kill(self, name: KmeId, *, is_noticed: bool = True) -> MemoryStore:
        """kill -9: what was not committed is gone; peers see the connection end, or not (the power went)."""
        site = self.sites[name]
        site.dead = True
        for other in self.names:
            if frozenset((name, other)) in self.wires:
                self.cut(name, other, is_noticed=is_noticed)
        return site.store

    def join(self, a: str, b: str) -> None:
        """A stream between two sites; one that somebody still believes in ends there."""
        one, two = self.sites[KmeId(a)], self.sites[KmeId(b)]
        if one.dead or two.dead:
            return
        self.wires[frozenset((one.name, two.name))] = {one.name: one, two.name: two}
        one.kme.connected(two.name)
        two.kme.connected(one.name)

    def joined(self, a: str, b: str) -> bool:
        return frozenset((KmeId(a), KmeId(b))) in self.wires

    def cut(self, a: str, b: str, *, is_noticed: bool = True) -> None:
        """The stream breaks; frames on their way are lost. Where nobody notices, both ends believe in it."""
        ends = self.wires.pop(frozenset((KmeId(a), KmeId(b))), None)
        sites = ends.values() if ends is not None else (self.sites[KmeId(a)], self.sites[KmeId(b)])
        for site in sites if is_noticed else ():
            there = KmeId(b) if site.name == a else KmeId(a)
            self.hang_up(site, there)

    def hang_up(self, site: Site, there: KmeId) -> None:
        """A site notices that its stream is gone."""
        site.inbox = deque(entry for entry in site.inbox if entry[0] != there)
        if not site.dead:
            site.kme.disconnected(there, site.kme.state.links[there].connection)

    def push(self, name: KmeId) -> bool:
        return self.push_from(self.sites[name])

    def push_from(self, site: Site) -> bool:
        """Send what may leave, without any help of the disk."""
        if site.dead:
            return False
        site.kme.flush(self.now)
        frames = site.kme.take_frames()
        for peer, listed in frames.items():
            wire = self.wires.get(frozenset((site.name, peer)), {})
            for frame in listed:
                if self.is_watched:
                    site.says(peer, frame)
                if wire.get(site.name) is site and not wire[peer].dead:
                    there = wire[peer]
                    there.inbox.append((site.name, there.kme.state.links[site.name].connection, frame))
        return bool(frames)

    def commit(self, name: KmeId) -> bool:
        return self.commit_at(self.sites[name])

    def commit_at(self, site: Site) -> bool:
        """Make the marks durable and send what waited for them."""
        if site.dead:
            return False
        pushed = self.push_from(site)
        marks, upto = site.kme.take_marks()
        if marks:
            site.store.apply(marks)
        site.kme.committed(upto)
        return self.push_from(site) or pushed or bool(marks)

    def deliver(self, name: KmeId) -> bool:
        return self.deliver_at(self.sites[name])

    def deliver_at(self, site: Site) -> bool:
        """Read one frame."""
        if site.dead or not site.inbox:
            return False
        sender, connection, frame = site.inbox.popleft()
        if connection == site.kme.state.links[sender].connection:
            site.hears(sender, frame)
        try:
            site.kme.received(sender, connection, frame, self.now)
        except ProtocolError as error:
            raise AssertionError(f"{site.name} from {sender}: {error}") from error
        return True

    def settle(self) -> None:
        """Run until nothing moves."""
        sites = [*self.sites.values(), *self.ghosts]
        for _ in range(10_000):
            moved = [self.commit_at(s) for s in sites] + [self.deliver_at(s) for s in sites]
            if not any(moved):
                return
        raise AssertionError("the sites never come to rest")

    def tick(self, seconds: float) -> None:
        """Time passes; streams to peers that do not answer are dropped."""
        self.now += seconds
        for site in (*self.sites.values(), *self.ghosts):
            self.tick_at(site)
        self.settle()

    def tick_at(self, site: Site) -> None:
        """One site looks at its clock."""
        for stuck in [] if site.dead else site.kme.tick(self.now):
            if self.wires.get(frozenset((site.name, stuck)), {}).get(site.name) is site:
                self.cut(site.name, stuck)
            else:
                self.hang_up(site, stuck)

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
