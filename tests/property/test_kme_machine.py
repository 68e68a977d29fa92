"""Two sites under every order of events: no bit leaves twice, both ends agree, what was acknowledged can be had.

Blocks come, applications ask, frames move one by one, disks commit or not, streams break, sites crash, are set back
to old images and run twice.
"""

from __future__ import annotations

import hashlib

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from kme_rig import PHOTONS, City, MemoryStore, Site

from poliqi.base.ids import KmeId, LinkId
from poliqi.base.secret import SecretBytes
from poliqi.keys.requests import Block, Delivered, Ticket
from poliqi.keys.segment import block_of_number

NAMES = st.sampled_from(["a", "b"])
OTHER = {"a": "b", "b": "a"}
STEPS = st.sampled_from(["settle", "!a", "!b", ">a", ">b", "<a", "<b"])
THEN = st.one_of(st.just(["settle"]), st.lists(STEPS, max_size=6))


class TwoSites(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.city = City(["a", "b"], [("a", "b")])
        self.bits = b""
        self.blocks = 0
        self.tickets: list[tuple[str, Ticket]] = []
        self.fetches: list[tuple[str, list[bytes], Ticket]] = []
        self.acknowledged: dict[bytes, tuple[str, bytes]] = {}
        self.tried: set[bytes] = set()
        self.to_masters: set[int] = set()
        self.to_slaves: set[int] = set()
        self.images: dict[str, MemoryStore] = {}
        self.copies: dict[str, Site] = {}
        self.is_tainted = False

    @initialize()
    def meet(self) -> None:
        self.city.join("a", "b")
        self.city.settle()
        self.ingest(12_000)

    # ---------------------------------------------------------------- the world

    @rule(size=st.sampled_from([40, 1500, 9000]))
    def ingest(self, size: int) -> None:
        self.blocks += 1
        key = hashlib.shake_256(f"block {self.blocks}".encode()).digest(size)
        self.bits += key
        for site in (*self.city.sites.values(), *self.copies.values()):
            if not site.dead:
                site.kme.ingest(Block(LinkId("a-b"), block_of_number(self.blocks), SecretBytes(key), PHOTONS))

    @rule(master=NAMES, number=st.integers(1, 4), size=st.sampled_from([64, 256, 1024]), then=THEN)
    def order(self, master: str, number: int, size: int, then: list[str]) -> None:
        ticket = self.city.order(f"{master}1", f"{OTHER[master]}1", number=number, bits=size)
        self.tickets.append((master, ticket))
        self.go_on(then)

    @rule(data=st.data(), then=THEN)
    @precondition(lambda self: self.acknowledged)
    def fetch(self, data: st.DataObject, then: list[str]) -> None:
        names = data.draw(st.lists(st.sampled_from(sorted(self.acknowledged)), min_size=1, max_size=3, unique=True))
        master = self.acknowledged[names[0]][0]
        names = [n for n in names if self.acknowledged[n][0] == master]
        ticket = self.city.fetch(f"{OTHER[master]}1", f"{master}1", names)
        self.fetches.append((master, names, ticket))
        self.go_on(then)

    @rule(then=THEN)
    def go_on(self, then: list[str]) -> None:
        """Steps of disks and wires: "!a" commits at a, ">a" sends what may leave a, "<a" reads a frame at a."""
        for step in then:
            if step == "settle":
                self.city.settle()
            else:
                act = {"!": self.city.commit, ">": self.city.push, "<": self.city.deliver}[step[0]]
                act(KmeId(step[1]))
            self.nothing_leaves_twice_and_both_ends_agree()

    @rule(seconds=st.sampled_from([0.5, 20.0]))
    def tick(self, seconds: float) -> None:
        self.city.tick(seconds)

    @rule()
    def cut(self) -> None:
        self.city.cut("a", "b")

    @rule()
    @precondition(lambda self: not self.city.joined("a", "b"))
    def join(self) -> None:
        self.city.join("a", "b")
        self.city.settle()

    @rule(name=NAMES, is_joined=st.booleans())
    def crash(self, name: str, is_joined: bool) -> None:
        store = self.city.kill(name)
        self.drop_pending()
        self.city.start(KmeId(name), store)
        if is_joined:
            self.join()

    @rule(name=NAMES)
    def photograph(self, name: str) -> None:
        self.images[name] = self.city.sites[KmeId(name)].store.image()

    @rule(name=NAMES)
    @precondition(lambda self: self.images and not self.is_tainted)
    def set_back(self, name: str) -> None:
        """One site, never both: two old images of one moment cannot be told from that moment."""
        if name in self.images:
            self.city.kill(name)
            self.drop_pending()
            self.city.start(KmeId(name), self.images[name])
            self.is_tainted = True
            self.join()

    @rule(name=NAMES)
    @precondition(lambda self: not self.is_tainted)
    def copy(self, name: str) -> None:
        """A second copy of a running site, with its disk as it is now."""
        store = self.city.sites[KmeId(name)].store.image()
        self.copies[name] = Site(self.city.new_kme(KmeId(name), store), store)
        self.is_tainted = True

    @rule()
    @precondition(lambda self: self.copies)
    def change_places(self) -> None:
        """The other copy is the one that applications and the peer reach."""
        self.city.cut("a", "b")
        for name in list(self.copies):
            self.copies[name], self.city.sites[KmeId(name)] = self.city.sites[KmeId(name)], self.copies[name]
        self.join()

    def drop_pending(self) -> None:
        """Whoever waited for a crashed site has seen the connection break: the outcome is unknown."""
        for _, names, ticket in self.fetches:
            if ticket.outcome is None:
                self.tried.update(names)

    # ---------------------------------------------------------------- what must hold

    def note(self, places: set[int], value: bytes) -> None:
        start = self.bits.index(value)
        where = set(range(start, start + len(value)))
        assert not where & places, f"bytes {start} to {start + len(value)} left twice"
        places |= where

    @invariant()
    def nothing_leaves_twice_and_both_ends_agree(self) -> None:
        waiting: list[tuple[str, Ticket]] = []
        for master, ticket in self.tickets:
            if isinstance(ticket.outcome, Delivered):
                for key in ticket.outcome.keys:
                    self.note(self.to_masters, key.value)
                    assert key.key_id not in self.acknowledged
                    self.acknowledged[key.key_id] = (master, key.value)
            elif ticket.outcome is None:
                waiting.append((master, ticket))
        self.tickets = waiting
        asked: list[tuple[str, list[bytes], Ticket]] = []
        for master, names, ticket in self.fetches:
            if isinstance(ticket.outcome, Delivered):
                assert [k.key_id for k in ticket.outcome.keys] == names
                for key in ticket.outcome.keys:
                    assert key.value == self.acknowledged[key.key_id][1]
                    self.note(self.to_slaves, key.value)
                self.tried.update(names)
            elif ticket.outcome is None:
                asked.append((master, names, ticket))
        self.fetches = asked

    def teardown(self) -> None:
        """What a master was given and no slave tried to get is there, whatever broke meanwhile."""
        self.city.settle()
        for _, names, ticket in self.fetches:
            if ticket.outcome is None:
                self.tried.update(names)
        if self.is_tainted:
            return
        if not self.city.joined("a", "b"):
            self.city.join("a", "b")
        self.city.settle()
        self.nothing_leaves_twice_and_both_ends_agree()
        for name, (master, value) in self.acknowledged.items():
            ticket = self.city.fetch(f"{OTHER[master]}1", f"{master}1", [name])
            self.city.settle()
            if name in self.tried:
                continue
            assert isinstance(ticket.outcome, Delivered), ticket.outcome
            assert ticket.outcome.keys[0].value == value


TwoSites.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestTwoSites = TwoSites.TestCase
